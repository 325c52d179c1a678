//! `bundle login` and `bundle logout`: credentials in the file that container tools share.

use super::network;
use crate::cli::{LoginArgs, LogoutArgs};
use crate::failure::{ExitCode, Failure};
use crate::registry::{
    Environment, GivenCredentials, PingOutcome, RegistryClient, remove_login, store_login,
};
use crate::secret::Secret;

pub(super) async fn login(args: &LoginArgs) -> anyhow::Result<ExitCode> {
    let username = match &args.network.username {
        Some(username) => username.clone(),
        None => ask_username()?,
    };
    let password = network::password(&args.network)?;
    if !args.no_check {
        check(args, &username, &password).await?;
    }
    let environment = Environment::of_process();
    let file =
        store_login(args.network.auth_file.as_deref(), &environment, &args.registry, &username, &password)?;
    let done = if args.no_check { "a login for" } else { "logged in to" };
    super::print(&format!("{done} {} as {username}; stored in {}\n", args.registry, file.display()))?;
    Ok(ExitCode::Done)
}

/// Lets the registry say whether it knows user name and password.
async fn check(args: &LoginArgs, username: &str, password: &Secret) -> anyhow::Result<()> {
    let given = GivenCredentials {
        host: args.registry.clone(),
        username: username.to_owned(),
        password: password.clone(),
        origin: "bundle login",
    };
    let client = RegistryClient::new(network::options(&args.network, vec![given]));
    match client.ping(&args.registry).await? {
        PingOutcome::Registry { authenticated: true } => {}
        PingOutcome::Registry { authenticated: false } => super::print(&format!(
            "{} lets everyone in, so the password could not be checked\n",
            args.registry
        ))?,
        PingOutcome::NeedsLogin => {
            let message = format!("{} does not accept this user name and password", args.registry);
            return Err(Failure::new(ExitCode::Denied, message).into());
        }
        PingOutcome::Unclear { status } => {
            let message =
                format!("{} answered {status}, so the password could not be checked", args.registry);
            return Err(Failure::new(ExitCode::Failed, message)
                .hint("check the host name; nothing has been stored")
                .hint("for a web server that bundles are read from, add --no-check")
                .into());
        }
    }
    Ok(())
}

pub(super) fn logout(args: &LogoutArgs) -> anyhow::Result<ExitCode> {
    let environment = Environment::of_process();
    let text = match remove_login(args.auth_file.as_deref(), &environment, &args.registry)? {
        Some(file) => format!("the login for {} is removed from {}\n", args.registry, file.display()),
        None => format!("there was no login for {}\n", args.registry),
    };
    super::print(&text)?;
    Ok(ExitCode::Done)
}

fn ask_username() -> anyhow::Result<String> {
    use std::io::{BufRead, IsTerminal, Write};
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage("no user name").hint("give it with --username").into());
    }
    let _ = write!(std::io::stderr().lock(), "User name: ");
    let mut name = String::new();
    std::io::stdin().lock().read_line(&mut name)?;
    Ok(name.trim().to_owned())
}
