//! `bundle values`: the Helm values for a destination, from the bundle alone, and the Secret to pull with.

use std::path::Path;

use crate::app::failure::{ExitCode, Failure};
use crate::app::text::typed;
use crate::cli::ValuesArgs;
use crate::cluster_config::{SecretName, ValuesStyle, bundle_values, pull_secret};
use crate::destination::{Destination, Mapping};
use crate::inputs::{clients, open_bundle};
use crate::report::{ProgressMode, Reporter};
use crate::session::{console, output_files};

pub(super) async fn run(args: &ValuesArgs) -> anyhow::Result<ExitCode> {
    let destination: Destination = args.destination.parse().map_err(|e| Failure::usage(format!("{e}")))?;
    let opened = open_bundle::open(Some(&args.bundle), &args.trust)?;
    let bundle = opened.image_store.bundle();
    let mapping = Mapping {
        keep_host: args.mapping.keep_host || bundle.keeps_host(),
        no_synthetic_tags: args.mapping.no_synthetic_tags,
    };
    let style = ValuesStyle { per_image: args.style.per_image, pin: args.style.pin };
    let text = bundle_values(bundle, &destination, mapping, style, &args.only)?;
    if let Some(file) = &args.pull_secret {
        output_files::refuse_overlaps(&[("the bundle", &args.bundle)], &[("--pull-secret", file)])?;
        write_pull_secret(args, &destination, file).await?;
    }
    console::print(&text)?;
    Ok(ExitCode::Done)
}

async fn write_pull_secret(args: &ValuesArgs, destination: &Destination, file: &Path) -> anyhow::Result<()> {
    let name = SecretName::new(&args.secret_name, args.namespace.as_deref());
    let name = name.map_err(|error| Failure::usage(error.to_string()))?;
    if file.as_os_str() == "-" || output_files::is_no_file(file) {
        return Err(Failure::usage("--pull-secret needs a file, not stdout").into());
    }
    let reporter = Reporter::new(ProgressMode::Auto, 0);
    let client = clients::for_destination(&args.network, destination, &reporter)?;
    let config = client.docker_config(destination.host(), destination.prefix()).await;
    clients::tell_warnings(&client, &reporter);
    let Some(config) = config? else {
        let message = format!("no login for {} is stored, and the pull secret needs one", destination.host());
        return Err(Failure::new(ExitCode::Denied, message)
            .hint("give --username, or store it first: bundle login REGISTRY")
            .into());
    };
    let manifest = pull_secret(&name, &config);
    output_files::refuse_overwrite(file, manifest.expose().as_bytes(), args.force, "")?;
    output_files::write_private(file, manifest.expose(), true)?;
    reporter.say(&format!(
        "pull secret for {}: {}\n  kubectl apply -f {}\n  and in pods or charts: imagePullSecrets: [{{ name: {} }}]",
        destination.host(),
        file.display(),
        typed(file),
        name.as_str()
    ));
    Ok(())
}
