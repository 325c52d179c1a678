//! `bundle unpack`: writes the content of a bundle as an OCI layout, without compression.

use super::ending;
use crate::app::failure::{ExitCode, Failure};
use crate::cli::UnpackArgs;
use crate::export::finish::SourceBundle;
use crate::export::job::ExportJob;
use crate::export::unpack::{self, UnpackTarget};
use crate::image::ArtifactKind;
use crate::request::of_bundles::{self, FromBundles, OfBundles};
use crate::session::run_report::RunReport;
use crate::session::{Session, output_files};

/// Blobs that are read ahead while others are written.
const JOBS: usize = 2;

pub(super) async fn run(session: &Session, args: &UnpackArgs) -> anyhow::Result<ExitCode> {
    let write = args.write();
    let inputs: Vec<_> = std::iter::once(&args.bundle)
        .chain(&args.fill_from)
        .map(|path| ("a bundle", path.as_path()))
        .collect();
    let report_file = args.report.file.as_deref();
    let outputs: Vec<_> = std::iter::once(("the output", args.output.as_path()))
        .chain(report_file.map(|path| ("the report", path)))
        .collect();
    output_files::refuse_overlaps(&inputs, &outputs)?;
    let target = UnpackTarget::of(&args.output, args.force)?;
    let wanted = FromBundles {
        bundles: std::slice::from_ref(&args.bundle),
        fill_from: &args.fill_from,
        trust: &args.trust,
        selection: args.selection(),
        platforms: &args.platform,
        keep_urls: false,
        base: None,
    };
    let OfBundles { mut loaded, bundles, content } = of_bundles::load(&wanted)?;
    if let Some(requires) = &loaded.request.base {
        let message = format!("it is a delta, and some of its blobs are only in its base {}", requires.base);
        return Err(Failure::new(ExitCode::Failed, format!("{}: {message}", args.bundle.display()))
            .hint("unpack it with its base: --fill-from BASE")
            .into());
    }
    loaded.request.with = ArtifactKind::ALL.to_vec();
    let origin = bundles.first().map(|image_store| SourceBundle::of(&args.bundle, image_store.as_ref()));
    let origin = origin.transpose()?.flatten();
    let mut report = RunReport::new("unpack", report_file);
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
    let result = Box::pin(unpack::run(&job, &target, &mut report)).await;
    ending::close(&report, result, &session.reporter)
}
