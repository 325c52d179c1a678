//! `bundle login` and `bundle logout`: credentials in the file that container tools share.

use crate::app::failure::{ExitCode, Failure};
use crate::app::own_file::is_no_space;
use crate::cli::{LoginArgs, LogoutArgs};
use crate::inputs::clients;
use crate::registry::{
    ClientOptions, Environment, GivenCredentials, PingOutcome, RegistryClient, StoreError, remove_login,
    store_login,
};
use crate::report::{ProgressMode, Reporter};
use crate::secret::Secret;
use crate::session::console;

pub(super) async fn login(args: &LoginArgs) -> anyhow::Result<ExitCode> {
    let username = match &args.network.username {
        Some(username) => username.clone(),
        None => ask_username()?,
    };
    clients::check_username(&username)?;
    let password = clients::password(&args.network)?;
    if !args.no_check {
        check(args, &username, &password).await?;
    }
    let environment = Environment::of_process();
    let file = args.network.auth_file.as_deref();
    let file = store_login(file, &environment, &args.registry, &username, &password).map_err(explain)?;
    let done = if args.no_check { "a login for" } else { "logged in to" };
    console::print(&format!("{done} {} as {username}; stored in {}\n", args.registry, file.display()))?;
    Ok(ExitCode::Done)
}

/// Asks the registry whether it accepts the user name and password.
async fn check(args: &LoginArgs, username: &str, password: &Secret) -> anyhow::Result<()> {
    let given = GivenCredentials {
        host: args.registry.clone(),
        username: username.to_owned(),
        password: password.clone(),
        origin: "bundle login",
    };
    // The file may not exist yet.
    let options = ClientOptions { auth_file: None, ..clients::options(&args.network, vec![given]) };
    let (client, reporter) = (RegistryClient::new(options), Reporter::new(ProgressMode::Auto, 0));
    clients::check(&client, std::slice::from_ref(&args.registry), &reporter)?;
    let outcome = client.ping(&args.registry).await;
    clients::tell_warnings(&client, &reporter);
    match outcome? {
        PingOutcome::Registry { authenticated: true } => {}
        PingOutcome::Registry { authenticated: false } => console::print(&format!(
            "{} accepts requests without a login, so the password could not be checked\n",
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
    let removed = remove_login(args.auth_file.as_deref(), &environment, &args.registry).map_err(explain)?;
    let text = match removed {
        Some(file) => format!("the login for {} is removed from {}\n", args.registry, file.display()),
        None => format!("there was no login for {}\n", args.registry),
    };
    console::print(&text)?;
    Ok(ExitCode::Done)
}

/// An error of the credentials file on this machine, as opposed to one of the registry.
fn explain(error: StoreError) -> Failure {
    let message = error.to_string();
    let code = match error {
        StoreError::Unusable(unusable) => return Failure::unusable(unusable),
        StoreError::Write { error, .. } if is_no_space(&error) => ExitCode::NoSpace,
        StoreError::Write { .. } => ExitCode::Failed,
    };
    Failure::new(code, message).hint("name another file with --auth-file FILE")
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
