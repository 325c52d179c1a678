//! Credential helpers: `docker-credential-<name> get`, the host on stdin, JSON on stdout.
//!
//! Helpers run without a shell, with a timeout and bounded output. Their standard error is discarded.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::environment::Environment;
use crate::app::programs;
use crate::app::unusable::Unusable;
use crate::secret::Secret;

const TIMEOUT: Duration = Duration::from_secs(30);
const MAX_OUTPUT: u64 = 64 * 1024;
const NOT_FOUND: &str = "credentials not found in native keychain";

/// Asks helper `name` for `server`. `None`: it has nothing for this server.
pub(super) async fn get(
    name: &str,
    server: &str,
    environment: &Environment,
) -> Result<Option<(String, Secret)>, Unusable> {
    let program = format!("docker-credential-{name}");
    let path = find(&program, environment)?;
    let exchange = async {
        let mut child = tokio::process::Command::new(path)
            .arg("get")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let mut input = child.stdin.take();
        if let Some(input) = &mut input {
            // A helper may answer without reading; its answer is what counts.
            let _ = input.write_all(format!("{server}\n").as_bytes()).await;
        }
        drop(input);
        let mut output = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            stdout.take(MAX_OUTPUT).read_to_end(&mut output).await?;
        }
        Ok::<_, std::io::Error>((child.wait().await?, output))
    };
    let (status, output) = tokio::time::timeout(TIMEOUT, exchange)
        .await
        .map_err(|_| failed(&program, server, &format!("did not answer within {} s", TIMEOUT.as_secs())))?
        .map_err(|error| failed(&program, server, &format!("failed: {error}")))?;
    if !status.success() {
        if String::from_utf8_lossy(&output).trim() == NOT_FOUND {
            return Ok(None);
        }
        // The output may contain secrets, so it is not repeated.
        return Err(failed(&program, server, &format!("failed for {server} ({status})")));
    }
    let unusable = || failed(&program, server, &format!("gave no usable answer for {server}"));
    let value: serde_json::Value = serde_json::from_slice(&output).map_err(|_| unusable())?;
    let field = |key| value.get(key).and_then(serde_json::Value::as_str);
    let (Some(username), Some(secret)) = (field("Username"), field("Secret")) else {
        return Err(unusable());
    };
    if username.is_empty() && secret.is_empty() {
        return Ok(None);
    }
    Ok(Some((username.to_owned(), Secret::new(secret))))
}

/// The helper on `PATH`. Its name comes from a file, so it must not be a path itself.
fn find(program: &str, environment: &Environment) -> Result<PathBuf, Unusable> {
    if !program.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
        return Err(Unusable::new("the name of a credential helper in the configuration is not usable"));
    }
    let path = environment.raw("PATH").unwrap_or_default();
    programs::find(program, path).ok_or_else(|| {
        Unusable::new(format!("credential helper {program} is configured, but not found on PATH")).hint(
            "install it, or name another credentials file with --auth-file FILE; bundle login writes one",
        )
    })
}

/// The hint with the command that asks the helper the same.
fn failed(program: &str, server: &str, why: &str) -> Unusable {
    Unusable::new(format!("credential helper {program} {why}")).hint(format!(
        "see what it says: echo {server} | {program} get; or name another file with --auth-file FILE"
    ))
}
