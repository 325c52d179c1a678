//! Is there a registry at all? `GET /v2/` is answered in many ways; few of them prove that there is none.

use reqwest::Method;
use reqwest::header::WWW_AUTHENTICATE;

use super::RegistryClient;
use super::answer::{SMALL_BODY, explanation};
use super::error::RegistryError;
use super::error_kind::ErrorKind;
use super::http::{Call, Target};
use crate::image::HostName;

/// What answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PingOutcome {
    /// A registry, open or with credentials it accepts.
    Registry { authenticated: bool },
    /// A registry that wants credentials, and there are none.
    NeedsLogin,
    /// Something that may well route registries by path; only a repository can tell.
    Unclear { status: u16 },
}

impl RegistryClient {
    /// Asks `host` whether it is a registry. Refused credentials are an error, and so is an answer that no
    /// registry gives: a web page to everything, or JSON of something else.
    pub async fn ping(&self, host: &HostName) -> Result<PingOutcome, RegistryError> {
        let state = self.0.host(host);
        let call =
            Call::new(&state, Method::GET, Target::Path("/v2/".to_owned()), format!("registry {host}"));
        let answer = self.0.send(&call).await?;
        let status = answer.status.as_u16();
        let authenticated = answer.proof_origin.is_some();
        let speaks = answer.headers.contains_key("docker-distribution-api-version");
        match status {
            401 if authenticated => Err(call.refusal(answer).await),
            401 if speaks || answer.headers.contains_key(WWW_AUTHENTICATE) => Ok(PingOutcome::NeedsLogin),
            200 if speaks => Ok(PingOutcome::Registry { authenticated }),
            200 => {
                let is_html = answer.is_html();
                let body = match answer.read(SMALL_BODY).await {
                    Ok(body) => body,
                    Err(ErrorKind::Content(_)) => return Err(not_a_registry(&call, "a large page", "")),
                    Err(kind) => return Err(call.error(kind)),
                };
                // Registries answer `{}`, `true`, an empty body or a word of their own.
                if is_html || body.trim_ascii_start().starts_with(b"<") {
                    return Err(not_a_registry(&call, "a web page", &explanation(&body).1));
                }
                Ok(PingOutcome::Registry { authenticated })
            }
            _ if answer.is_html() && !speaks && status == 404 => {
                // Path-routed registries have nothing at the root, so this proves nothing either way.
                Ok(PingOutcome::Unclear { status })
            }
            _ => Ok(PingOutcome::Unclear { status }),
        }
    }
}

fn not_a_registry(call: &Call<'_>, what: &str, text: &str) -> RegistryError {
    let text = if text.is_empty() { String::new() } else { format!(" ({text})") };
    call.error(ErrorKind::NotARegistry(format!("it answers /v2/ with {what}{text}")))
}
