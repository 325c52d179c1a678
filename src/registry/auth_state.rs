//! The authentication that one registry requires, and the tokens obtained for it.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use reqwest::header::HeaderValue;
use tokio::time::Instant;
use url::Url;

use super::credentials::Credentials;
use super::pace::locked;
use super::token::Scope;
use crate::app::unusable::Unusable;

/// Limits the memory for a registry whose challenges all differ.
const MOST_ASKED: usize = 1024;

/// The authentication that one registry requires, and the tokens obtained for it.
#[derive(Default)]
pub(super) struct AuthState {
    pub(super) demand: Mutex<Option<Demand>>,
    pub(super) slots: Mutex<HashMap<Scope, Slot>>,
    asked: Mutex<HashMap<Asked, AskedSlot>>,
    /// By repository path.
    pub(super) credentials: tokio::sync::Mutex<HashMap<String, Option<Arc<Credentials>>>>,
    /// Why credentials in a usual place were not used, the first of them.
    pub(super) passed_over: Mutex<Option<Unusable>>,
    pub(super) serial: AtomicU64,
}

pub(super) type Slot = Arc<tokio::sync::Mutex<Option<Token>>>;
pub(super) type AskedSlot = Arc<tokio::sync::Mutex<Option<(Option<Arc<Credentials>>, Token)>>>;

/// The parameters of a token request.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct Asked {
    pub(super) realm: Url,
    pub(super) service: Option<String>,
    pub(super) scopes: Vec<String>,
}

impl AuthState {
    pub(super) fn passed_over(&self) -> Option<Unusable> {
        locked(&self.passed_over).clone()
    }

    pub(super) fn asked(&self, asked: Asked) -> AskedSlot {
        let mut slots = locked(&self.asked);
        if slots.len() >= MOST_ASKED {
            slots.clear();
        }
        Arc::clone(slots.entry(asked).or_default())
    }
}

/// The scheme that a registry requires.
#[derive(Clone, Debug)]
pub(super) enum Demand {
    Basic,
    Bearer { realm: Url, service: Option<String> },
}

#[derive(Clone)]
pub(super) struct Token {
    pub(super) proof: Proof,
    pub(super) renew_at: Instant,
    /// The challenge as the registry sent it, for the renewal.
    pub(super) challenged: Option<String>,
}

/// An `Authorization` header, and where it came from.
#[derive(Clone)]
pub(super) struct Proof {
    pub(super) header: HeaderValue,
    pub(super) origin: Option<String>,
    pub(super) serial: u64,
}
