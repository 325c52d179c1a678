//! Making at the destination what must be there before the first byte: ECR's repositories, Harbor's projects.
//!
//! Most registries make repositories on the first push. For the others there is a list of what is missing, which a
//! dry run prints and a real run makes. Nothing is ever removed or changed.

use std::collections::BTreeSet;

use futures_util::StreamExt;

use super::harbor;
use crate::app::failure::{ExitCode, Explain};
use crate::image::{HostName, Repository};
use crate::registry::{ErrorClass, RegistryClient, RegistryError};

/// Questions to the service at once.
const AT_ONCE: usize = 6;

/// Why something could not be made, or asked for.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {why}")]
pub struct PrepareError {
    what: String,
    why: String,
    pub class: ErrorClass,
    pub hint: Option<String>,
}

impl Explain for PrepareError {
    fn calls_for(&self) -> Option<ExitCode> {
        Some(self.class.exit_code())
    }

    fn hints(&self) -> Vec<String> {
        self.hint.iter().cloned().collect()
    }
}

impl PrepareError {
    pub(super) fn new(what: impl Into<String>, why: impl Into<String>) -> Self {
        let why = crate::report::printable(&why.into());
        Self { what: what.into(), why, class: ErrorClass::Other, hint: None }
    }

    pub(super) fn class(mut self, class: ErrorClass) -> Self {
        self.class = class;
        self
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<RegistryError> for PrepareError {
    fn from(error: RegistryError) -> Self {
        let (class, hint) = (error.class(), error.hint());
        Self { hint, ..Self::new(error.host().to_string(), error.to_string()).class(class) }
    }
}

/// What a destination needs before pushes.
#[derive(Debug)]
pub enum Preparation {
    /// Repositories come into being by pushing.
    None,
    /// Repositories have to exist.
    #[cfg(feature = "ecr")]
    Ecr(Box<super::ecr::Ecr>),
    /// Projects, the first component of every path, have to exist.
    Harbor { client: RegistryClient, host: HostName },
}

impl Preparation {
    /// What is missing for pushes to `repositories`, in order: paths of ECR repositories, names of Harbor projects.
    pub async fn lacking(&self, repositories: &[&Repository]) -> Result<Vec<String>, PrepareError> {
        let names: BTreeSet<&str> = repositories.iter().map(|repository| repository.path()).collect();
        let names: BTreeSet<&str> = match self {
            Self::None => return Ok(Vec::new()),
            #[cfg(feature = "ecr")]
            Self::Ecr(_) => names,
            Self::Harbor { .. } => names.into_iter().map(harbor::project_of).collect(),
        };
        let mut asked = futures_util::stream::iter(names)
            .map(|name| async move { (name, self.has(name).await) })
            .buffered(AT_ONCE);
        let mut lacking = Vec::new();
        while let Some((name, there)) = asked.next().await {
            if !there? {
                lacking.push(name.to_owned());
            }
        }
        Ok(lacking)
    }

    async fn has(&self, name: &str) -> Result<bool, PrepareError> {
        match self {
            Self::None => Ok(true),
            #[cfg(feature = "ecr")]
            Self::Ecr(ecr) => ecr.has(name).await,
            Self::Harbor { client, host } => harbor::has(client, host, name).await,
        }
    }

    /// Makes what [`Self::lacking`] named.
    pub async fn make(&self, name: &str) -> Result<(), PrepareError> {
        match self {
            Self::None => Ok(()),
            #[cfg(feature = "ecr")]
            Self::Ecr(ecr) => ecr.make(name).await,
            Self::Harbor { client, host } => harbor::make(client, host, name).await,
        }
    }

    /// One of the things that are made, and several.
    pub fn nouns(&self) -> (&'static str, &'static str) {
        match self {
            Self::Harbor { .. } => ("Harbor project", "Harbor projects"),
            #[cfg(feature = "ecr")]
            Self::Ecr(_) => ("repository", "repositories"),
            Self::None => ("repository", "repositories"),
        }
    }
}
