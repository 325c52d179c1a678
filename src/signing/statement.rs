//! In-toto statements, version 1 (in-toto/attestation, `spec/v1/statement.md`): something is said of things that are
//! named by their digests. What is said is the predicate.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::image::Digest;

const TYPE: &str = "https://in-toto.io/Statement/v1";
/// The name of a bundle as a subject: the member that determines all others.
pub const BUNDLE_SUBJECT: &str = "bundle.json";
/// Longest statement that is read, in bytes.
pub const MAX_STATEMENT: u64 = 64 << 20;

/// A predicate.
pub trait Predicate: Serialize + DeserializeOwned {
    /// The URI that says which kind it is.
    const TYPE: &'static str;
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement<P> {
    #[serde(rename = "_type")]
    kind: String,
    pub subject: Vec<Subject>,
    predicate_type: String,
    pub predicate: P,
}

/// A subject of a statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    pub name: String,
    /// Hex by algorithm.
    digest: BTreeMap<String, String>,
}

/// Who did something, when, and with what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Circumstances {
    /// The name that was given, or `user@host`.
    pub by: String,
    /// RFC 3339, in UTC.
    pub at: String,
    pub tool: Tool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    pub name: String,
    pub version: String,
}

/// The text on one line.
impl fmt::Display for Circumstances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |text: &str| text.replace(char::is_control, "\u{fffd}");
        write!(f, "by {} at {}", line(&self.by), line(&self.at))
    }
}

/// Just enough of any statement to say which one it is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Preamble {
    #[serde(rename = "_type")]
    kind: String,
    predicate_type: String,
}

/// Which kind of statement JSON is, if it is one: its predicate type.
pub fn predicate_type(json: &[u8]) -> Option<String> {
    let preamble = serde_json::from_slice::<Preamble>(json).ok();
    preamble.filter(|preamble| preamble.kind == TYPE).map(|preamble| preamble.predicate_type)
}

/// Whether JSON is a statement of any kind.
pub fn is_statement(json: &[u8]) -> bool {
    serde_json::from_slice::<Preamble>(json).is_ok_and(|preamble| preamble.kind == TYPE)
}

impl Subject {
    pub fn new(name: impl Into<String>, digest: &Digest) -> Self {
        let digest = BTreeMap::from([(digest.algorithm().name().to_owned(), digest.hex())]);
        Self { name: name.into(), digest }
    }
}

impl<P: Predicate> Statement<P> {
    pub fn new(subject: Vec<Subject>, predicate: P) -> Self {
        Self { kind: TYPE.to_owned(), subject, predicate_type: P::TYPE.to_owned(), predicate }
    }

    /// Reads a statement with this predicate.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let preamble: Preamble = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        if preamble.kind != TYPE {
            return Err(format!("it is {:.100?}, not an in-toto statement", preamble.kind));
        }
        if preamble.predicate_type != P::TYPE {
            return Err(format!(
                "it is of type {:.100?}, and {} is expected",
                preamble.predicate_type,
                P::TYPE
            ));
        }
        serde_json::from_slice(json).map_err(|error| error.to_string())
    }

    /// The same, if it says nothing else: no field that is not known here, and none that another reader could take for one.
    /// Whoever signs it knows all that is said.
    pub fn parse_exactly(json: &[u8]) -> Result<Self, String> {
        let statement = Self::parse(json)?;
        let all: serde_json::Value = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        let known = serde_json::to_value(&statement).map_err(|error| error.to_string())?;
        if all == known { Ok(statement) } else { Err("it has fields that are not known here".to_owned()) }
    }

    /// Whether it is about the bundle with this id.
    pub fn is_about(&self, id: &Digest) -> bool {
        self.subject.contains(&Subject::new(BUNDLE_SUBJECT, id))
    }

    /// The content of its file.
    pub fn to_file(&self) -> Result<String, serde_json::Error> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}
