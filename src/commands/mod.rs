//! One command per file. This file has the dispatch, the runtime and the signal handling.

mod arguments;
mod catalog;
mod diff;
mod ending;
mod export;
mod helm;
mod import;
mod inspect;
mod inventory;
mod keygen;
mod login;
mod manifest_check;
mod manifests;
mod manual;
mod mirrors;
mod parity;
mod provenance;
mod repack;
mod review;
mod serve;
mod sign;
mod unpack;
mod values;
mod verify;
mod verify_form;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use std::time::Duration;

use crate::app::failure::{ExitCode, Failure};
use crate::app::stop::{self, StopSignal};
use crate::cli::{CatalogCommand, Cli, Command};
use crate::session::Session;

pub use arguments::refuse;

/// Runs one command and returns its exit code. Errors have been printed when this returns.
pub fn run(cli: Cli) -> ExitCode {
    crate::report::conceal(arguments::secrets());
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return ending::show_error(&anyhow::Error::new(error).context("starting"), false),
    };
    let as_json = reports_as_json(&cli.command);
    // Ctrl-C in a pager is handled by the pager. If this program ended, the pager would lose the terminal.
    let is_read = matches!(cli.command, Command::Help { .. });
    let cancel = CancellationToken::new();
    let result = runtime.block_on(async {
        // Signals are handled before anything is opened that may block.
        let registered =
            signal(SignalKind::interrupt()).and_then(|one| Ok((one, signal(SignalKind::terminate())?)));
        let watched = watch(registered.ok().filter(|_| !is_read), cancel.clone(), as_json);
        let watching = tokio::spawn(watched);
        let result = Box::pin(dispatch(cli.command, cancel)).await;
        watching.abort();
        result
    });
    // Blocking reads of stdin or of a dead mount must not keep the program alive when it is done.
    runtime.shutdown_background();
    result.unwrap_or_else(|error| ending::show_error(&error, as_json))
}

async fn dispatch(command: Command, cancel: CancellationToken) -> anyhow::Result<ExitCode> {
    match command {
        Command::Export(args) => {
            Box::pin(export::run(&Session::new(&args.output_style, cancel), &args)).await
        }
        Command::Import(args) => {
            Box::pin(import::run(&Session::new(&args.output_style, cancel), &args)).await
        }
        Command::Verify(args) => verify::run(&Session::new(&args.output_style, cancel), &args).await,
        Command::Inspect(args) => inspect::run(&Session::new(&args.output_style, cancel), &args).await,
        Command::Serve(args) => serve::run(&Session::new(&args.output_style, cancel), &args).await,
        Command::Diff(args) => diff::run(&args),
        Command::Review(args) => review::run(&args),
        Command::Repack(args) => {
            Box::pin(repack::run(&Session::new(&args.output_style, cancel), &args)).await
        }
        Command::Unpack(args) => {
            Box::pin(unpack::run(&Session::new(&args.output_style, cancel), &args)).await
        }
        Command::Mirrors(args) => mirrors::run(&args),
        Command::Sign(args) => sign::run(&Session::new(&args.output_style, cancel), &args),
        Command::Keygen(args) => keygen::run(&args),
        Command::Values(args) => values::run(&args).await,
        Command::Login(args) => login::login(&args).await,
        Command::Logout(args) => login::logout(&args),
        Command::Completions { shell } => manual::completions(shell),
        Command::Man { dir, html, force } => manual::man(dir.as_deref(), html.as_deref(), force),
        Command::Help { words } => manual::help(&words),
        Command::Catalog(command) => catalog::run(&command, cancel).await,
    }
}

/// Whether stderr is written as JSON events, one per line; the final error is then one too.
fn reports_as_json(command: &Command) -> bool {
    let output = match command {
        Command::Export(args) => &args.output_style,
        Command::Import(args) => &args.output_style,
        Command::Verify(args) => &args.output_style,
        Command::Inspect(args) => &args.output_style,
        Command::Serve(args) => &args.output_style,
        Command::Sign(args) => &args.output_style,
        Command::Repack(args) => &args.output_style,
        Command::Unpack(args) => &args.output_style,
        Command::Catalog(CatalogCommand::Lock(args)) => &args.output_style,
        Command::Catalog(CatalogCommand::Lint(args)) => &args.output_style,
        Command::Catalog(CatalogCommand::Discover(args)) => &args.output_style,
        // Commands without the flag follow the variable.
        _ => return arguments::ask_for_json(&[]),
    };
    output.progress == crate::report::ProgressMode::Json
}

/// The first SIGINT or SIGTERM asks the command to stop where it can resume later; the second ends it at once.
#[expect(clippy::exit, reason = "the second signal asks for the end at once")]
async fn watch(registered: Option<(Signal, Signal)>, cancel: CancellationToken, as_json: bool) {
    let Some((mut interrupt, mut terminate)) = registered else { return };
    loop {
        let signal = tokio::select! {
            _ = interrupt.recv() => StopSignal::Interrupt,
            _ = terminate.recv() => StopSignal::Terminate,
        };
        if stop::request(signal) {
            // The second signal.
            std::process::exit(ExitCode::from(signal) as i32);
        }
        cancel.cancel();
        tokio::spawn(end_if_blocked(as_json));
    }
}

/// How long a run may take to stop that may be waiting for the reader of its output.
const PATIENCE: Duration = Duration::from_secs(1);

/// Ends the program if it still waits for the reader of its output a moment after a signal.
#[expect(clippy::exit, reason = "the thread that would return waits for a reader that may never read")]
async fn end_if_blocked(as_json: bool) {
    tokio::time::sleep(PATIENCE).await;
    if let Some(left) = stop::blocked() {
        let code = ending::show_error(&Failure::interrupted(left).into(), as_json);
        std::process::exit(code as i32);
    }
}
