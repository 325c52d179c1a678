//! Harbor: repositories live in projects, and a push to a project that does not exist fails (goharbor/harbor#966).
//!
//! Projects are made private, through Harbor's API v2.0 with the user name and password of the registry; a robot account
//! needs the permission to create projects.

use serde_json::{Value, json};

use super::prepare_error::PrepareError;
use crate::image::HostName;
use crate::registry::{ErrorClass, RegistryClient};

/// The project of a repository path: its first component.
pub(super) fn project_of(path: &str) -> &str {
    path.split('/').next().unwrap_or(path)
}

/// Whether `host` answers as Harbor does.
pub async fn is_harbor(client: &RegistryClient, host: &HostName) -> bool {
    let asked = client.operator_api(host, "/api/v2.0/ping", None).await;
    asked.is_ok_and(|(status, body)| status == 200 && body.trim_ascii() == b"Pong")
}

/// Whether the project exists, as far as this account can see: HEAD answers 200 or 404, GET lists by name.
pub(super) async fn has(
    client: &RegistryClient,
    host: &HostName,
    project: &str,
) -> Result<bool, PrepareError> {
    let path = format!("/api/v2.0/projects?name={project}&page_size=100");
    let (status, body) = client.operator_api(host, &path, None).await?;
    if status != 200 {
        return Err(refused(&format!("looking up project {project} at {host}"), status, &body));
    }
    // The parameter matches parts of names too.
    let found: Value = serde_json::from_slice(&body).unwrap_or_default();
    let named = |entry: &Value| entry.get("name").and_then(Value::as_str) == Some(project);
    Ok(found.as_array().is_some_and(|list| list.iter().any(named)))
}

pub(super) async fn make(
    client: &RegistryClient,
    host: &HostName,
    project: &str,
) -> Result<(), PrepareError> {
    let body = json!({ "project_name": project, "metadata": { "public": "false" } });
    let (status, body) = client.operator_api(host, "/api/v2.0/projects", Some(&body)).await?;
    // 409: the project exists, created by somebody else or invisible to this account.
    match status {
        201 | 409 => Ok(()),
        _ => Err(refused(&format!("creating project {project} at {host}"), status, &body)),
    }
}

fn refused(what: &str, status: u16, body: &[u8]) -> PrepareError {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let said = value.pointer("/errors/0/message").and_then(Value::as_str).unwrap_or_default();
    let error = PrepareError::new(what, format!("Harbor answered {status} {said}").trim_end().to_owned());
    match status {
        401 | 403 => error
            .class(ErrorClass::Denied)
            .hint("use an account that may create projects, or create them by hand"),
        404 => error.hint("this host has no Harbor API: leave out --create-projects"),
        _ => error,
    }
}
