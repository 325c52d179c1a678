//! Creates what a destination needs before the first push: ECR's repositories, Harbor's projects.
//!
//! Most registries make repositories on the first push. For the others there is a list of what is missing, which a
//! dry run prints and a real run makes. Nothing is ever removed or changed.

use std::collections::BTreeSet;

use futures_util::StreamExt;

use super::harbor;
use super::prepare_error::PrepareError;
use crate::image::{HostName, Repository};
use crate::registry::RegistryClient;

/// Maximum number of concurrent requests to the service.
const AT_ONCE: usize = 6;

/// What a destination needs before pushes.
#[derive(Debug)]
pub enum Preparation {
    /// A push creates the repository.
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

    /// Creates one item that [`Self::lacking`] returned.
    pub async fn make(&self, name: &str) -> Result<(), PrepareError> {
        match self {
            Self::None => Ok(()),
            #[cfg(feature = "ecr")]
            Self::Ecr(ecr) => ecr.make(name).await,
            Self::Harbor { client, host } => harbor::make(client, host, name).await,
        }
    }

    /// The noun for what is created: singular and plural.
    pub fn nouns(&self) -> (&'static str, &'static str) {
        match self {
            Self::Harbor { .. } => ("Harbor project", "Harbor projects"),
            #[cfg(feature = "ecr")]
            Self::Ecr(_) => ("repository", "repositories"),
            Self::None => ("repository", "repositories"),
        }
    }
}
