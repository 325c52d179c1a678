//! The distribution-spec's own suite against the embedded registry.

use crate::desk::Desk;
use crate::harness::{Tested, tests};
use crate::programs::go_program;
use crate::registries::Served;

tests![conformance.on_request()];

const PACKAGE: &str =
    "github.com/opencontainers/distribution-spec/conformance@v0.0.0-20260831232431-97274622c111";

/// All of its APIs and kinds of content.
fn conformance(desk: &Desk) -> Tested {
    let program = go_program("conformance", PACKAGE)?;
    let served = Served::folder(desk, "registry");
    let ran = desk.run(&program, &[]).envs(&[
        ("OCI_REGISTRY", &served.address),
        ("OCI_TLS", "disabled"),
        ("OCI_RESULTS_DIR", &desk.at("results")),
        ("OCI_API_BLOBS_UPLOAD_CANCEL", "true"),
        ("OCI_API_BLOBS_DIGEST_HEADER", "true"),
        ("OCI_API_MANIFESTS_DIGEST_HEADER", "true"),
    ]);
    let said = ran.ok().stdout;
    // Skipped: a mount without `from`, where the registry would have to guess. Disabled: features that are optional.
    let count = |state: &str| {
        let is_of = |line: &&str| {
            let result =
                line.strip_prefix("  ").filter(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()));
            result.and_then(|rest| rest.rsplit_once(".:")).is_some_and(|(_, found)| found.trim() == state)
        };
        said.lines().filter(is_of).count()
    };
    let (pass, skip, disabled) = (count("Pass"), count("Skip"), count("Disabled"));
    assert!(pass > 0, "{said}");
    Ok(format!("{pass} kinds of requests and of content pass, {skip} skipped, {disabled} disabled"))
}
