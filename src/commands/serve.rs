//! `bundle serve`: a bundle, or a folder, as an OCI registry.

use std::sync::Arc;

use crate::app::failure::{ExitCode, Failure};
use crate::app::own_file;
use crate::cli::ServeArgs;
use crate::destination::Mapping;
use crate::inputs::{open_bundle, trust};
use crate::serve::{BundleStore, DirectoryError, DirectoryStore, Limits, Notices, ServeOptions, Store, bind};
use crate::session::{Session, console};

pub(super) async fn run(session: &Session, args: &ServeArgs) -> anyhow::Result<ExitCode> {
    let guarded = args.tls_cert.is_some() && args.htpasswd.is_some();
    if !args.address.ip().is_loopback() && !guarded && !args.open {
        return Err(Failure::usage(format!("{} can be reached from other machines", args.address))
            .hint("add --tls-cert, --tls-key and --htpasswd, or --open to allow it")
            .into());
    }
    let mut names = Vec::new();
    let (store, what): (Arc<dyn Store>, String) = match (&args.bundle, &args.dir) {
        (Some(path), _) => {
            let opened = open_bundle::open(Some(path), &args.trust)?;
            trust::tell(&opened.vouched, &session.reporter);
            if let Some(base) = opened.image_store.base() {
                let message = format!("{} is a delta on bundle {base}", path.display());
                return Err(Failure::new(ExitCode::Failed, format!("{message} and incomplete without it"))
                    .hint("make it whole first: bundle repack DELTA --fill-from BASE -o FILE")
                    .into());
            }
            let keep_host = opened.image_store.bundle().keeps_host();
            let mapping = Mapping { keep_host, ..Mapping::default() };
            let store = BundleStore::new(opened.image_store, mapping)?;
            names.extend(store.references().map(|(repository, tag)| format!("{repository}:{tag}")));
            (Arc::new(store), path.display().to_string())
        }
        (None, Some(dir)) => {
            (Arc::new(DirectoryStore::open(dir).map_err(refused)?), dir.display().to_string())
        }
        (None, None) => return Err(Failure::usage("nothing to serve").into()),
    };
    let reporter = session.reporter.clone();
    let options = ServeOptions {
        address: args.address,
        tls: args.tls_cert.clone().zip(args.tls_key.clone()),
        htpasswd: args.htpasswd.clone(),
        read_only: args.bundle.is_some(),
        notices: Notices::new(move |text| reporter.warn(text)),
        limits: Limits::default(),
    };
    let server = bind(options, store).await;
    let server = server.map_err(|error| match error.unusable() {
        Ok(unusable) => Failure::unusable(unusable).into(),
        Err(error) => anyhow::Error::new(error),
    })?;
    for name in names {
        console::print(&format!("{}/{name}\n", server.local_addr()))?;
    }
    let scheme = if args.tls_cert.is_some() { "https" } else { "http" };
    session.reporter.say(&format!("serving {what} on {scheme}://{}; Ctrl-C ends it", server.local_addr()));
    if let Some(file) = &args.address_file {
        // A program that waits for the file must never read half of it.
        own_file::replace(file, server.local_addr().to_string().as_bytes())
            .map_err(|error| Failure::io(file, &error))?;
    }
    let cancel = session.cancel.clone();
    server.run(async move { cancel.cancelled().await }).await;
    Ok(ExitCode::Done)
}

/// A folder that cannot be used as a registry is a usage error.
fn refused(error: DirectoryError) -> anyhow::Error {
    match error.hint() {
        Some(hint) => Failure::usage(error.to_string()).hint(hint).into(),
        None => error.into(),
    }
}
