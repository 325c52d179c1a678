//! `bundle unpack`: writes the content of a bundle as an OCI layout, without compression.

use super::ending;
use crate::app::failure::{ExitCode, Failure};
use crate::cli::{BaseContentChoice, ResultFormat, UnpackArgs};
use crate::export::finish::SourceBundle;
use crate::export::job::ExportJob;
use crate::export::unpack::{self, UnpackTarget};
use crate::image::ArtifactKind;
use crate::inputs::bundle_name::is_address;
use crate::request::of_bundles::{self, FromBundles, OfBundles};
use crate::session::run_report::RunReport;
use crate::session::{Session, output_files};

/// Blobs that are read ahead while others are written.
const JOBS: usize = 2;

pub(super) async fn run(session: &Session, args: &UnpackArgs) -> anyhow::Result<ExitCode> {
    check_paths(args)?;
    let mut report = RunReport::new("unpack", args.report.file.as_deref());
    let result = write(session, args, &mut report).await;
    ending::close(&report, result, &session.reporter)
}

/// Refuses inputs that cannot be read here, and outputs that would change an input or the result.
fn check_paths(args: &UnpackArgs) -> anyhow::Result<()> {
    let bundles = || std::iter::once(&args.bundle).chain(&args.fill_from);
    for path in bundles() {
        if path.as_os_str() == "-" {
            return Err(Failure::usage("`bundle unpack` cannot read from stdin")
                .hint("write the bundle to a file first")
                .into());
        }
        if is_address(path) {
            return Err(Failure::usage(format!("{}: `bundle unpack` reads files", path.display()))
                .hint("download the file first; verify, inspect and import read addresses")
                .into());
        }
    }
    let inputs: Vec<_> = bundles().map(|path| ("the bundle", path.as_path())).collect();
    let is_stdout = args.output.as_os_str() == "-";
    let output = (!is_stdout).then_some(("the output", args.output.as_path()));
    let report = args.report.file.as_deref().map(|path| ("the report", path));
    let outputs: Vec<_> = output.into_iter().chain(report).collect();
    output_files::refuse_overlaps(&inputs, &outputs)?;
    // A folder must have exactly the files of the bundle.
    output_files::refuse_inside(&inputs, &outputs)?;
    output_files::refuse_inside(output.as_slice(), report.as_slice())?;
    if is_stdout && args.output_style.format == ResultFormat::Json {
        return Err(Failure::usage("stdout is taken by the content, so `--format json` has no place")
            .hint("write the result with --report FILE")
            .into());
    }
    Ok(())
}

async fn write(session: &Session, args: &UnpackArgs, report: &mut RunReport) -> anyhow::Result<ExitCode> {
    let write = args.write();
    let target = UnpackTarget::of(&args.output, args.force)?;
    let wanted = FromBundles {
        bundles: std::slice::from_ref(&args.bundle),
        fill_from: &args.fill_from,
        trust: &args.trust,
        rows: &args.rows,
        platforms: &args.platform,
        keep_urls: false,
        base: None,
        compact: false,
        base_content: BaseContentChoice::None,
    };
    let OfBundles { mut loaded, bundles, content } = of_bundles::load(&wanted)?;
    if let Some(requires) = &loaded.request.base {
        let lacking = crate::report::count(requires.blobs.len(), "blob");
        let message = format!("it is a delta, and {lacking} of it can be only in its base {}", requires.base);
        return Err(Failure::new(ExitCode::Failed, format!("{}: {message}", args.bundle.display()))
            .hint("unpack it with its base: --fill-from BASE")
            .into());
    }
    loaded.request.with = ArtifactKind::ALL.to_vec();
    let origin = bundles.first().map(|image_store| SourceBundle::of(&args.bundle, image_store.as_ref()));
    let origin = origin.transpose()?.flatten();
    let job = ExportJob {
        session,
        write: &write,
        keep_going: false,
        jobs: JOBS,
        content: &content,
        signer: None,
        origin: origin.as_ref(),
        policy: None,
        materials: &loaded.materials,
        request: &loaded.request,
    };
    Box::pin(unpack::run(&job, &target, report)).await
}
