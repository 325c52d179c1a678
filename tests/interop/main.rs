//! `bundle` against the programs it must get on with: Debian's docker-registry, skopeo, podman, umoci, nginx,
//! containerd, docker, openssl and coreutils; moto and in-toto of `PyPI`; on request what is built with Go and what
//! takes long. `scripts/interop.sh` installs Debian's programs and runs this. Where they are installed, so does
//! cargo:
//!
//! ```text
//! cargo test --test interop                        Debian's programs, about a minute
//! cargo test --test interop proxies::              the tests whose names contain this
//! cargo test --test interop -- --include-ignored   all; chaos alone takes CHAOS_SECONDS (3600)
//! ```
//!
//! `BUNDLE` names a program to test instead of the one that was built. `harness` runs the tests, `desk` is what each of
//! them works with, `programs` finds and builds programs, `shop` is the application whose images are transferred.
// Helpers unwrap as tests do, and the harness prints as libtest does; clippy.toml knows only functions that are marked
// as tests. `pub` is what other files here may use.
#![allow(clippy::unwrap_used, clippy::print_stdout, unreachable_pub)]

mod auth;
mod big;
mod certificates;
// For the test `chaos`, which runs its rounds for longer.
#[path = "../it/chaos.rs"]
mod chaos;
mod clients;
mod clouds;
mod conformance;
mod desk;
#[path = "../it/encoders/inputs.rs"]
#[allow(dead_code, reason = "the tests of encoders use the rest")]
mod encoder_inputs;
mod encoders;
mod faults;
mod file;
mod harness;
mod helm;
mod import;
mod look;
mod mirrors;
mod nginx;
mod podman;
mod processes;
mod programs;
mod proxies;
mod push;
mod registries;
mod runtimes;
mod serve;
mod shop;
mod signatures;
#[path = "../it/support/mod.rs"]
mod support;
mod tls;

fn main() -> std::process::ExitCode {
    // The longest first, so that none of them is left over at the end.
    let themes = [
        encoders::tests(),
        clients::tests(),
        helm::tests(),
        signatures::tests(),
        mirrors::tests(),
        file::tests(),
        import::tests(),
        clouds::tests(),
        auth::tests(),
        tls::tests(),
        proxies::tests(),
        serve::tests(),
        runtimes::tests(),
        conformance::tests(),
        faults::tests(),
    ];
    harness::run(themes.concat())
}
