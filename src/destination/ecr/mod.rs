//! Amazon ECR: repositories are made when they are missing, and the password comes from AWS's own chain of credentials
//! (environment, profile, single sign-on, web identity, container, machine) when no file has one.
//!
//! ECR refuses pushes to repositories that do not exist (plexsystems/sinker#55), and its passwords live twelve hours.

mod connector;
mod host;

use std::collections::HashMap;
use std::fmt;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_ecr::Client;
use aws_sdk_ecr::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ecr::types::{
    EncryptionConfiguration, EncryptionType, ImageScanningConfiguration, ImageTagMutability,
};
use base64::Engine as _;
use futures_util::future::BoxFuture;

pub use host::EcrHost;

use super::prepare_error::PrepareError;
use crate::image::HostName;
use crate::registry::{CredentialProvider, ErrorClass, RegistryClient};
use crate::secret::Secret;

/// A password is renewed this long before it expires, in seconds.
const MARGIN: i64 = 15 * 60;

/// How missing repositories are created.
#[derive(Clone, Debug, Default)]
pub struct EcrOptions {
    pub immutable_tags: bool,
    pub scan_on_push: bool,
    /// A KMS key for the images; without one ECR's own encryption.
    pub kms_key: Option<String>,
    /// A lifecycle policy, as JSON.
    pub lifecycle: Option<String>,
}

/// The service behind one registry of Amazon ECR.
#[derive(Debug)]
pub struct Ecr {
    host: EcrHost,
    client: Client,
    options: EcrOptions,
}

impl Ecr {
    /// Credentials are looked up with the first request.
    pub async fn new(host: EcrHost, http: &RegistryClient, options: EcrOptions) -> Self {
        let client = Client::new(&configuration(Some(&host.region), http).await);
        Self { host, client, options }
    }

    /// Whether a repository exists.
    pub async fn has(&self, path: &str) -> Result<bool, PrepareError> {
        let asked =
            self.client.describe_repositories().registry_id(&self.host.account).repository_names(path);
        match asked.send().await {
            Ok(_) => Ok(true),
            Err(error) if code(&error) == Some("RepositoryNotFoundException") => Ok(false),
            Err(error) => Err(refused(&format!("looking up repository {path}"), &error)),
        }
    }

    /// Creates a repository. One that was created by somebody else meanwhile is not an error.
    pub async fn make(&self, path: &str) -> Result<(), PrepareError> {
        let EcrOptions { immutable_tags, scan_on_push, kms_key, lifecycle } = &self.options;
        let mutability =
            if *immutable_tags { ImageTagMutability::Immutable } else { ImageTagMutability::Mutable };
        let mut making = self
            .client
            .create_repository()
            .registry_id(&self.host.account)
            .repository_name(path)
            .image_tag_mutability(mutability)
            .image_scanning_configuration(
                ImageScanningConfiguration::builder().scan_on_push(*scan_on_push).build(),
            );
        if let Some(key) = kms_key {
            let encryption =
                EncryptionConfiguration::builder().encryption_type(EncryptionType::Kms).kms_key(key);
            let what = format!("creating repository {path}");
            let encryption =
                encryption.build().map_err(|error| PrepareError::new(what, error.to_string()))?;
            making = making.encryption_configuration(encryption);
        }
        match making.send().await {
            Err(error) if code(&error) != Some("RepositoryAlreadyExistsException") => {
                return Err(refused(&format!("creating repository {path}"), &error));
            }
            _ => {}
        }
        if let Some(policy) = lifecycle {
            let putting = self.client.put_lifecycle_policy().registry_id(&self.host.account);
            let put = putting.repository_name(path).lifecycle_policy_text(policy).send().await;
            put.map_err(|error| refused(&format!("setting the lifecycle policy of {path}"), &error))?;
        }
        Ok(())
    }
}

/// AWS's own configuration, as its tools find it, for a region if one is given. `http` carries the requests.
pub(crate) async fn configuration(region: Option<&str>, http: &RegistryClient) -> SdkConfig {
    let mut loader =
        aws_config::defaults(BehaviorVersion::latest()).http_client(connector::Connector::new(http.clone()));
    if let Some(region) = region {
        loader = loader.region(Region::new(region.to_owned()));
    }
    loader.load().await
}

/// Passwords for ECR's registries, from AWS credentials.
pub struct EcrLogin {
    http: RegistryClient,
    /// By host, with the second (Unix time) at which each ends.
    known: tokio::sync::Mutex<HashMap<HostName, (Secret, i64)>>,
}

impl EcrLogin {
    /// `http` carries the requests; its own credentials are not used.
    pub fn new(http: RegistryClient) -> Self {
        Self { http, known: tokio::sync::Mutex::default() }
    }

    async fn password(&self, host: &HostName, ecr: EcrHost, renewed: bool) -> Result<Secret, String> {
        let mut known = self.known.lock().await;
        let now = jiff::Timestamp::now().as_second();
        if let Some((password, end)) = known.get(host)
            && !renewed
            && now + MARGIN < *end
        {
            return Ok(password.clone());
        }
        let client = Client::new(&configuration(Some(&ecr.region), &self.http).await);
        let asked = client.get_authorization_token().send().await;
        let answer = asked.map_err(|error| refused(&format!("a login for {host}"), &error).to_string())?;
        let unusable = || format!("AWS answered without a login for {host}");
        let data = answer.authorization_data().first().ok_or_else(unusable)?;
        let token = data.authorization_token().ok_or_else(unusable)?;
        let pair = base64::engine::general_purpose::STANDARD.decode(token).map_err(|_| unusable())?;
        let pair = String::from_utf8(pair).map_err(|_| unusable())?;
        let password = Secret::new(pair.strip_prefix("AWS:").ok_or_else(unusable)?);
        let end = data.expires_at().map_or(now, aws_sdk_ecr::primitives::DateTime::secs);
        known.insert(host.clone(), (password.clone(), end));
        Ok(password)
    }
}

impl fmt::Debug for EcrLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EcrLogin").finish_non_exhaustive()
    }
}

impl CredentialProvider for EcrLogin {
    fn credentials<'a>(
        &'a self,
        host: &'a HostName,
        renewed: bool,
    ) -> BoxFuture<'a, Result<Option<(String, Secret)>, String>> {
        Box::pin(async move {
            let Some(ecr) = EcrHost::of(host) else {
                return Ok(None);
            };
            let password = self.password(host, ecr, renewed).await?;
            Ok(Some(("AWS".to_owned(), password)))
        })
    }

    fn origin(&self) -> &'static str {
        "the AWS credentials"
    }
}

fn code<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> Option<&str> {
    error.code()
}

/// A failed request in words: AWS's code and message, or the innermost cause.
fn refused<E, R>(what: &str, error: &SdkError<E, R>) -> PrepareError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: fmt::Debug,
{
    let what = format!("Amazon ECR, {what}");
    if let Some(code) = error.code() {
        let why = format!("{code}: {}", error.message().unwrap_or_default());
        let denied = code.contains("AccessDenied") || code.contains("Token") || code.contains("Signature");
        let class = if denied { ErrorClass::Denied } else { ErrorClass::Other };
        return PrepareError::new(what, why).class(class);
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let class = match error {
        SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) => ErrorClass::Unreachable,
        _ => ErrorClass::Other,
    };
    PrepareError::new(what, cause.to_string()).class(class)
}
