//! AWS credentials for object storage, from where AWS's own tools have them: environment, profiles, SSO, containers,
//! instances.

use std::sync::Arc;

use aws_config::SdkConfig;
use aws_credential_types::provider::ProvideCredentials;
use object_store::CredentialProvider;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsCredential};

use crate::registry::RegistryClient;

/// `builder` with the region and the credentials of AWS's chain, unless a set of variables has said otherwise.
pub(super) async fn with_chain(builder: AmazonS3Builder, client: &RegistryClient) -> AmazonS3Builder {
    let config = crate::destination::ecr::configuration(None, client).await;
    let has = |key| builder.get_config_value(&key).is_some();
    let needs_region = !has(AmazonS3ConfigKey::Region) && !has(AmazonS3ConfigKey::DefaultRegion);
    let region = config.region().filter(|_| needs_region).map(ToString::to_string);
    let mut builder = builder.with_credentials(Arc::new(Chain(config)));
    if let Some(region) = region {
        builder = builder.with_region(region);
    }
    builder
}

struct Chain(SdkConfig);

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Chain")
    }
}

#[async_trait::async_trait]
impl CredentialProvider for Chain {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let refuse =
            |why: String| object_store::Error::Unauthenticated { path: String::new(), source: why.into() };
        let provider = self.0.credentials_provider();
        let provider = provider.ok_or_else(|| refuse("there are no AWS credentials".to_owned()))?;
        let found = provider.provide_credentials().await.map_err(|error| refuse(error.to_string()))?;
        Ok(Arc::new(AwsCredential {
            key_id: found.access_key_id().to_owned(),
            secret_key: found.secret_access_key().to_owned(),
            token: found.session_token().map(str::to_owned),
        }))
    }
}
