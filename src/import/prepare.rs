//! Prepares a destination before the first byte is sent: creates what is missing, and checks write access to every
//! repository.

use std::collections::BTreeSet;

use futures_util::StreamExt;

use crate::app::failure::{Explain, Failure};
#[cfg(feature = "ecr")]
use crate::app::foreign_text;
use crate::cli::ImportArgs;
use crate::destination::{Destination, Preparation, is_harbor};
use crate::image::Repository;
use crate::plan::ImportPlan;
use crate::registry::{ErrorClass, RegistryClient, RegistryError};
use crate::session::preflight::Preflight;
use crate::session::{NOTHING_SENT, Session};

/// How write access is checked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Probe {
    /// By logging in, which leaves nothing behind.
    Login,
    /// By opening an upload and cancelling it.
    Upload,
}

/// A destination, and the settings to prepare it for an import.
pub(crate) struct Preparing<'a> {
    pub(crate) session: &'a Session,
    pub(crate) client: &'a RegistryClient,
    pub(crate) destination: &'a Destination,
    pub(crate) jobs: usize,
}

impl Preparing<'_> {
    /// The preparation that this destination needs.
    // Only the requests to AWS are awaited.
    #[cfg_attr(not(feature = "ecr"), allow(clippy::unused_async))]
    pub(crate) async fn preparation(
        &self,
        plan: &ImportPlan,
        args: &ImportArgs,
    ) -> anyhow::Result<Preparation> {
        let host = self.destination.host();
        if plan.image_uploads.is_empty() {
            return Ok(Preparation::None);
        }
        if args.create_projects {
            let client = self.client.clone();
            return Ok(Preparation::Harbor { client, host: host.clone() });
        }
        #[cfg(feature = "ecr")]
        if let Some(ecr) = crate::destination::ecr::EcrHost::of(host) {
            let options = args.ecr.options()?;
            // Boxed because loading AWS's configuration is a large future that few imports need.
            let ecr = Box::pin(crate::destination::ecr::Ecr::new(ecr, self.client, options));
            return Ok(Preparation::Ecr(Box::new(self.session.stoppable(NOTHING_SENT, ecr).await?)));
        }
        Ok(Preparation::None)
    }

    /// Creates what is missing, and reports it.
    pub(crate) async fn make(&self, preparation: &Preparation, lacking: &[String]) -> anyhow::Result<()> {
        for name in lacking {
            self.session.stoppable(NOTHING_SENT, preparation.make(name)).await??;
            self.session.reporter.say(&format!("created {} {name}", preparation.nouns().0));
        }
        Ok(())
    }

    /// The check of write access that a dry run can make: it opens no upload, so it cannot be certain of success.
    pub(crate) async fn look_for_access(
        &self,
        plan: &ImportPlan,
        lacking: &[String],
        preflight: &mut Preflight,
    ) {
        const WHAT: &str = "access";
        // Repositories that do not exist yet cannot be checked.
        if !lacking.is_empty() {
            preflight.fine(WHAT, "unknown: the repositories have to be created first");
            return;
        }
        let let_in = self.check_access(plan, Probe::Login).await;
        let text = match plan.repositories().len() {
            0 => "nothing to send".to_owned(),
            1 => "login succeeds for the one repository; whether it accepts uploads is unknown".to_owned(),
            all => {
                format!("login succeeds for all {all} repositories; whether they accept uploads is unknown")
            }
        };
        preflight.check(WHAT, let_in.map(|()| text));
    }

    /// Checks write access to every repository before the first byte; returns all refusals at once, with what to
    /// create.
    pub(crate) async fn check_access(&self, plan: &ImportPlan, probe: Probe) -> Result<(), Failure> {
        let checks = futures_util::stream::iter(plan.repositories())
            .map(|repository| async move {
                let result = match probe {
                    Probe::Login => self.client.check_push_login(repository).await,
                    Probe::Upload => self.client.check_push_access(repository).await,
                };
                (repository, result)
            })
            .buffer_unordered(self.jobs)
            .collect::<Vec<_>>();
        let mut refused: Vec<_> = self
            .session
            .stoppable(NOTHING_SENT, checks)
            .await?
            .into_iter()
            .filter_map(|(repository, result)| result.err().map(|error| (repository, error)))
            .collect();
        refused.sort_by_key(|(repository, _)| (*repository).clone());
        let Some((_, first)) = refused.first() else {
            return Ok(());
        };
        let mut hints = self.what_to_create(&refused).await;
        hints.extend(first.hint().filter(|_| hints.is_empty()));
        let list = told(&refused);
        let message = format!("{} cannot be written to:\n{}", self.destination, list.join("\n"));
        let code = refused[0].1.exit_code();
        let mut failure = Failure::new(code, message);
        failure.hints = hints;
        Err(failure)
    }

    /// What is missing at the destination, as far as the refusals show. Harbor answers 401, 403 or 404 if a project is
    /// missing, so it is asked for its projects.
    async fn what_to_create(&self, refused: &[(&Repository, RegistryError)]) -> Vec<String> {
        let of_class = |class| refused.iter().filter(move |(_, error)| error.class() == class);
        let repositories: Vec<&Repository> = of_class(ErrorClass::NotFound)
            .chain(of_class(ErrorClass::Denied))
            .map(|(repository, _)| *repository)
            .collect();
        let host = self.destination.host();
        if !repositories.is_empty() && is_harbor(self.client, host).await {
            let harbor = Preparation::Harbor { client: self.client.clone(), host: host.clone() };
            match harbor.lacking(&repositories).await {
                Ok(lacking) if !lacking.is_empty() => {
                    let list = lacking.join("\n");
                    return vec![format!(
                        "create these Harbor projects, or let --create-projects create them:\n{list}"
                    )];
                }
                _ => {}
            }
        }
        let missing: Vec<String> =
            of_class(ErrorClass::NotFound).map(|(repository, _)| repository.path().to_owned()).collect();
        match owners(&missing).as_slice() {
            [] => Vec::new(),
            owners => vec![
                format!(
                    "create these repositories at {host} first, or the project, organization or user that they begin \
                     with: {}",
                    owners.join(", ")
                ),
                format!("or choose a prefix that already exists: -d {host}/PREFIX"),
            ],
        }
    }
}

/// The first parts of `paths`: most registries require them to exist before they create repositories below.
fn owners(paths: &[String]) -> Vec<&str> {
    let owners: BTreeSet<&str> =
        paths.iter().map(|path| path.split_once('/').map_or(path.as_str(), |(owner, _)| owner)).collect();
    owners.into_iter().collect()
}

/// Each reason once, after the repositories that it applies to. The text of a reason may contain the repository, so
/// reasons are compared by what the registry answered.
fn told(refused: &[(&Repository, RegistryError)]) -> Vec<String> {
    let mut reasons: Vec<(&RegistryError, Vec<&Repository>)> = Vec::new();
    for (repository, error) in refused {
        match reasons.iter_mut().find(|(known, _)| known.is_like(error)) {
            Some((_, repositories)) => repositories.push(repository),
            None => reasons.push((error, vec![repository])),
        }
    }
    let lines = reasons.into_iter().map(|(error, repositories)| {
        let mut names = repositories.into_iter();
        let mut text = names.next().map(|first| format!("{first}: {error}")).unwrap_or_default();
        for name in names {
            text.push_str("\n  the same for ");
            text.push_str(&name.to_string());
        }
        text
    });
    lines.collect()
}

/// Maximum size of a lifecycle policy in bytes. ECR's own limit is 30,720 characters.
#[cfg(feature = "ecr")]
const MAX_LIFECYCLE: u64 = 1 << 20;

#[cfg(feature = "ecr")]
impl crate::cli::EcrArgs {
    /// Reads and parses a lifecycle policy here, so that invalid JSON is reported before anything is sent.
    fn options(&self) -> anyhow::Result<crate::destination::ecr::EcrOptions> {
        let read = |path: &std::path::PathBuf| {
            let usage = |why: String| Failure::usage(format!("--ecr-lifecycle {}: {why}", path.display()));
            let place = format!("--ecr-lifecycle {}", path.display());
            let text = foreign_text::named(path, MAX_LIFECYCLE);
            let text = text.map_err(|error| Failure::unusable(error.about(place)))?;
            serde_json::from_str::<serde::de::IgnoredAny>(&text).map_err(|error| usage(error.to_string()))?;
            Ok::<_, Failure>(text)
        };
        Ok(crate::destination::ecr::EcrOptions {
            immutable_tags: self.ecr_immutable_tags,
            scan_on_push: self.ecr_scan_on_push,
            kms_key: self.ecr_kms_key.clone(),
            lifecycle: self.ecr_lifecycle.as_ref().map(read).transpose()?,
        })
    }
}
