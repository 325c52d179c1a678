//! Authentication at one registry: challenges, tokens, and the one renewal that a request may cause.
//!
//! Tokens are kept per scope, and per what was asked for, since different scopes may lead to the same request. Both are
//! locked while a token is fetched, so 30 parallel requests are one call to the token endpoint. Credentials go to the
//! registry they belong to and to the realm it names over an equally safe connection, nowhere else.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use tokio::time::Instant;
use url::Url;

use super::answer::{Answer, SMALL_BODY};
use super::auth_file::Login;
use super::auth_state::{Asked, Demand, Proof, Token};
use super::body::Payload;
use super::challenge::{self, Challenge};
use super::credentials::{CredentialStore, Credentials};
use super::error::RegistryError;
use super::error_kind::ErrorKind;
use super::host::Host;
use super::login_rules::check_login_at;
use super::options::ClientOptions;
use super::pace::locked;
use super::redact::masked;
use super::scheme::base;
use super::token::{self, Scope, TokenReply, TokenRequest};
use super::transport::Transport;
use super::warnings::Warnings;

/// The parts of the client that authentication needs.
pub(super) struct Authenticator<'a> {
    pub(super) options: &'a ClientOptions,
    pub(super) transport: &'a Transport,
    pub(super) store: &'a CredentialStore,
    pub(super) warnings: &'a Warnings,
}

impl Authenticator<'_> {
    /// The header for a request that has not been challenged yet, if an earlier challenge of the registry is known.
    pub(super) async fn authorize(&self, host: &Host, scope: &Scope) -> Result<Option<Proof>, RegistryError> {
        let demand = locked(&host.auth.demand).clone();
        match demand {
            None => Ok(None),
            Some(Demand::Basic) => self.basic(host, scope, false).await,
            Some(Demand::Bearer { realm, service }) => {
                let slot = Arc::clone(locked(&host.auth.slots).entry(scope.clone()).or_default());
                let mut token = slot.lock().await;
                let challenged = match &*token {
                    Some(token) if token.renew_at > Instant::now() => return Ok(Some(token.proof.clone())),
                    Some(token) => token.challenged.clone(),
                    None => None,
                };
                let wanted = Wanted { realm: &realm, service: service.as_deref(), challenged };
                let fresh = self.token(host, scope, wanted, None).await?;
                Ok(Some(token.insert(fresh).proof.clone()))
            }
        }
    }

    /// The header to answer a 401 with. `refused` is the one that was sent. `None` if there is no better one.
    pub(super) async fn answer_challenge(
        &self,
        host: &Host,
        scope: &Scope,
        answer: &Answer,
        refused: Option<&Proof>,
    ) -> Result<Option<Proof>, RegistryError> {
        let mut challenges = challenges(&answer.headers);
        if !challenges.iter().any(|c| c.scheme == "bearer" || c.scheme == "basic") {
            // Some registries send the challenge at the root only.
            challenges = self.root_challenges(host).await;
        }
        let find = |scheme: &str| challenges.iter().find(|challenge| challenge.scheme == scheme);
        let bearer = find("bearer").and_then(|challenge| Some((challenge, challenge.param("realm")?)));
        if let Some((challenge, realm)) = bearer {
            let result = self.bearer(host, scope, answer, challenge, realm, refused).await;
            if result.is_ok() || find("basic").is_none() {
                return result;
            }
        }
        if find("basic").is_none() {
            return Ok(None);
        }
        *locked(&host.auth.demand) = Some(Demand::Basic);
        let proof = self.basic(host, scope, refused.is_some()).await?;
        Ok(proof.filter(|proof| refused.is_none_or(|refused| refused.header != proof.header)))
    }

    async fn bearer(
        &self,
        host: &Host,
        scope: &Scope,
        answer: &Answer,
        challenge: &Challenge,
        realm: &str,
        refused: Option<&Proof>,
    ) -> Result<Option<Proof>, RegistryError> {
        let refuse = |why: &str| {
            let what = format!("login at {}", host.name);
            Err(RegistryError::new(&host.name, what, ErrorKind::Protocol(why.to_owned())))
        };
        let Ok(realm) = answer.url.join(realm) else {
            return refuse("the token address is not a URL");
        };
        match realm.scheme() {
            "https" => {}
            "http" if answer.url.scheme() == "http" => {}
            "http" => return refuse("its token server asks for credentials over plain HTTP"),
            _ => return refuse("the token address is not http(s)"),
        }
        let service = challenge.param("service").map(str::to_owned);
        *locked(&host.auth.demand) = Some(Demand::Bearer { realm: realm.clone(), service: service.clone() });
        let slot = Arc::clone(locked(&host.auth.slots).entry(scope.clone()).or_default());
        let mut token = slot.lock().await;
        if let Some(token) = &*token
            && refused.is_none_or(|refused| refused.serial != token.proof.serial)
        {
            // Another task has fetched the token meanwhile.
            return Ok(Some(token.proof.clone()));
        }
        let challenged = challenge.param("scope").map(str::to_owned);
        let wanted = Wanted { realm: &realm, service: service.as_deref(), challenged };
        let fresh = self.token(host, scope, wanted, refused).await?;
        Ok(Some(token.insert(fresh).proof.clone()))
    }

    pub(super) async fn basic(
        &self,
        host: &Host,
        scope: &Scope,
        renewed: bool,
    ) -> Result<Option<Proof>, RegistryError> {
        let Some(credentials) = self.credentials(host, &scope.path, renewed).await? else {
            return Ok(None);
        };
        let header = match &credentials.login {
            Login::Basic { username, password } => token::basic(username, password),
            Login::Identity { username, token } => token::basic(username, token),
            Login::Bearer(token) => token::bearer(token),
        };
        let serial = host.auth.serial.fetch_add(1, Ordering::Relaxed);
        Ok(header.map(|header| Proof { header, origin: Some(credentials.origin.clone()), serial }))
    }

    /// The credentials for a path, looked up once; `renewed` looks again, since helpers' secrets expire.
    async fn credentials(
        &self,
        host: &Host,
        path: &str,
        renewed: bool,
    ) -> Result<Option<Arc<Credentials>>, RegistryError> {
        let mut known = host.auth.credentials.lock().await;
        if !renewed && let Some(credentials) = known.get(path) {
            return Ok(credentials.clone());
        }
        let looked = self.store.lookup(&host.name, path, renewed).await.map_err(|why| {
            RegistryError::new(
                &host.name,
                format!("credentials for {}", host.name),
                ErrorKind::Credentials(why),
            )
        })?;
        for unusable in looked.passed_over {
            self.warnings.add(format!("{unusable}; continuing without it"));
            locked(&host.auth.passed_over).get_or_insert(unusable);
        }
        let found = looked.found.map(Arc::new);
        known.insert(path.to_owned(), found.clone());
        Ok(found)
    }

    /// A fresh token. Credentials that the endpoint refuses are looked up anew once (helpers' secrets expire).
    async fn token(
        &self,
        host: &Host,
        scope: &Scope,
        wanted: Wanted<'_>,
        refused: Option<&Proof>,
    ) -> Result<Token, RegistryError> {
        let mut credentials = self.credentials(host, &scope.path, refused.is_some()).await?;
        // An anonymous token may come from any token server.
        if credentials.is_some() {
            let what = format!("token for {}", described(host, scope));
            check_login_at(self.options, wanted.realm, &host.name, &what)?;
        }
        let slot = host.auth.asked(Asked {
            realm: wanted.realm.clone(),
            service: wanted.service.map(str::to_owned),
            scopes: scope.parameters(wanted.challenged.as_deref()),
        });
        let mut slot = slot.lock().await;
        if let Some((with, token)) = &*slot
            && *with == credentials
            && token.renew_at > Instant::now()
            && refused.is_none_or(|refused| refused.serial != token.proof.serial)
        {
            return Ok(token.clone());
        }
        let mut reply = self.fetch(host, scope, &wanted, credentials.as_deref()).await;
        if let Err(error) = &reply
            && matches!(error.status(), Some(400 | 401 | 403))
            && credentials.is_some()
        {
            let again = self.credentials(host, &scope.path, true).await?;
            if again != credentials {
                credentials = again;
                reply = self.fetch(host, scope, &wanted, credentials.as_deref()).await;
            }
        }
        let reply = reply?;
        let origin = credentials.as_ref().map(|credentials| credentials.origin.clone());
        let header = token::bearer(&reply.token).ok_or_else(|| {
            let kind = ErrorKind::Protocol(
                "the token contains characters that are not allowed in a header".to_owned(),
            );
            RegistryError::new(&host.name, format!("token for {}", host.name), kind)
        })?;
        let serial = host.auth.serial.fetch_add(1, Ordering::Relaxed);
        let proof = Proof { header, origin, serial };
        let renew_at = Instant::now() + reply.life - (reply.life / 4).min(Duration::from_secs(30));
        let token = Token { proof, renew_at, challenged: wanted.challenged };
        *slot = Some((credentials, token.clone()));
        Ok(token)
    }

    async fn fetch(
        &self,
        host: &Host,
        scope: &Scope,
        wanted: &Wanted<'_>,
        credentials: Option<&Credentials>,
    ) -> Result<TokenReply, RegistryError> {
        let login = credentials.map(|credentials| &credentials.login);
        if let Some(Login::Bearer(token)) = login {
            return Ok(TokenReply { token: token.clone(), life: Duration::from_mins(1) });
        }
        let scopes = scope.parameters(wanted.challenged.as_deref());
        let what = format!("token for {} from {}", described(host, scope), masked(wanted.realm));
        let failed = |kind| RegistryError::new(&host.name, what.clone(), kind);
        let origin = credentials.map(|credentials| credentials.origin.clone());
        // The request that needs the token repeats transient failures.
        let request = |post| token::request(wanted.realm, wanted.service, &scopes, login, post);
        let mut answer = self.ask_for_token(request(true)).await.map_err(failed)?;
        if matches!(answer.status.as_u16(), 404 | 405) && matches!(login, Some(Login::Identity { .. })) {
            answer = self.ask_for_token(request(false)).await.map_err(failed)?;
        }
        if matches!(answer.status.as_u16(), 404 | 410) {
            // A 404 of the token server must not be mistaken for a missing image.
            let why = format!("there is no token server: it answered {}", answer.status.as_u16());
            return Err(failed(ErrorKind::Protocol(why)));
        }
        if !answer.status.is_success() {
            return Err(failed(answer.into_refusal(origin, false).await));
        }
        let body = answer.read(SMALL_BODY).await.map_err(failed)?;
        token::reply(&body).ok_or_else(|| {
            failed(ErrorKind::Protocol("the token server answered without a token".to_owned()))
        })
    }

    async fn ask_for_token(&self, request: TokenRequest) -> Result<Answer, ErrorKind> {
        let mut headers = HeaderMap::new();
        match request {
            TokenRequest::Get { url, authorization } => {
                if let Some(authorization) = authorization {
                    headers.insert(AUTHORIZATION, authorization);
                }
                self.transport.exchange(&url, Method::GET, headers, &Payload::Empty, false).await
            }
            TokenRequest::Post { url, form } => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
                let body = Payload::Bytes(form.expose().to_owned().into());
                self.transport.exchange(&url, Method::POST, headers, &body, false).await
            }
        }
    }

    async fn root_challenges(&self, host: &Host) -> Vec<Challenge> {
        let Ok(base) = base(self.options, self.transport, host).await else {
            return Vec::new();
        };
        let Ok(url) = base.join("/v2/") else {
            return Vec::new();
        };
        let empty = (HeaderMap::new(), Payload::Empty);
        match self.transport.exchange(&url, Method::GET, empty.0, &empty.1, true).await {
            Ok(answer) => challenges(&answer.headers),
            Err(_) => Vec::new(),
        }
    }
}

struct Wanted<'a> {
    realm: &'a Url,
    service: Option<&'a str>,
    challenged: Option<String>,
}

/// Whether a 401 says that the token is valid but lacks the scope.
pub(super) fn asks_for_more(headers: &HeaderMap) -> bool {
    challenges(headers).iter().any(|challenge| challenge.param("error") == Some("insufficient_scope"))
}

fn challenges(headers: &HeaderMap) -> Vec<Challenge> {
    challenge::parse(headers.get_all(WWW_AUTHENTICATE).iter().map(HeaderValue::as_bytes))
}

fn described(host: &Host, scope: &Scope) -> String {
    if scope.path.is_empty() { host.name.to_string() } else { format!("{}/{}", host.name, scope.path) }
}
