//! HTTP for AWS's crates, through the client that also speaks to registries: the same authorities, the same proxies.

use std::fmt;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::HttpError;
use aws_smithy_types::body::SdkBody;

use crate::registry::RegistryClient;

/// The timeout if the caller sets none.
const LONGEST: Duration = Duration::from_mins(1);

#[derive(Clone)]
pub(super) struct Connector {
    client: RegistryClient,
    timeout: Duration,
}

impl Connector {
    pub(super) fn new(client: RegistryClient) -> Self {
        Self { client, timeout: LONGEST }
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

impl HttpClient for Connector {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        // Outside of AWS there is no metadata service, which only a timeout shows, so it is short.
        let wishes = [settings.connect_timeout(), settings.read_timeout()];
        let timeout = wishes.into_iter().flatten().min().unwrap_or(LONGEST);
        SharedHttpConnector::new(Self { client: self.client.clone(), timeout })
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let this = self.clone();
        HttpConnectorFuture::new(async move {
            let exchange = this.exchange(request);
            let late = |_| ConnectorError::timeout("no answer in time".into());
            tokio::time::timeout(this.timeout, exchange).await.map_err(late)?
        })
    }
}

impl Connector {
    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let request = request.try_into_http1x().map_err(|e| ConnectorError::user(e.into()))?;
        let request = request.map(|body| body.bytes().map(<[u8]>::to_vec).unwrap_or_default());
        let answer =
            self.client.service(request).await.map_err(|kind| ConnectorError::io(kind.to_string().into()))?;
        answer.map(SdkBody::from).try_into().map_err(|e: HttpError| ConnectorError::user(e.into()))
    }
}
