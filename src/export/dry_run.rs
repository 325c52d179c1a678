//! A dry run: prints the plan and any problems, and writes nothing.

use std::path::Path;

use super::job::ExportJob;
use super::resolve::manifest_cache::ManifestCache;
use super::text;
use crate::app::failure::ExitCode;
use crate::cli::ResultFormat;
use crate::plan::ExportPlan;
use crate::session::console;
use crate::session::run_report::RunReport;

pub(crate) async fn run(
    job: &ExportJob<'_>,
    target: Option<&Path>,
    report: &mut RunReport,
) -> anyhow::Result<ExitCode> {
    let cache = ManifestCache::anonymous()?;
    let resolved = job.resolve(&cache, report).await?;
    let plan =
        ExportPlan::new(job.request, &resolved.resolution, job.signature_source(), &cache, &mut |_| Ok(()))?;
    let preflight = job.preflight(&plan, target);
    let allowed = job.enforce(&plan, &cache, report);
    match job.session.format {
        ResultFormat::Json => {
            let mut value = text::plan_json(&plan);
            value["preflight"] = preflight.json();
            console::print_json(&value)?;
        }
        ResultFormat::Human => {
            let plan = text::plan_text(&plan, job.content, &cache);
            console::print(&format!("{plan}\n{}", preflight.text()))?;
        }
    }
    allowed?;
    if !job.write.skip_preflight {
        preflight.judge()?;
    }
    Ok(job.ended(report))
}
