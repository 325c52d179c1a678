//! `bundle` carries container images across an air gap.
//!
//! **Where to look.** Each subcommand is a module of [`commands`]: it reads its flags ([`cli`]), runs one engine and
//! prints the result. The two engines, [`export`] and [`import`], describe their steps in their `mod.rs`; neither uses
//! the other. A [`request`] says which images are wanted. [`inputs`] reads what a run needs before it begins (bundle,
//! keys, policy, network settings). [`session`] holds cancellation, output, reports and sidecar files.
//!
//! **Export.** The images of a catalog become references, and each reference becomes a digest; only manifests and
//! configs are fetched for that. [`plan::ExportPlan`] then holds the distinct blobs, every offset and the final size,
//! and can be printed. Each blob is fetched from its registry, hashed while it streams, and written at its final
//! offset; a journal makes this resumable. The last steps are the seek table, sync, rename and `.sha256`.
//!
//! **Import.** The head of the file is enough to plan: first the targets and their collisions, then what the
//! destination already has, then [`plan::ImportPlan`], in which each missing blob is uploaded to one repository and
//! mounted into the others. Blobs are hashed while they stream. As soon as the blobs of an image have arrived, its
//! children, its index and its tag are pushed, and the registry is asked to return them. The last steps are the values
//! file and the report.
//!
//! **Below the engines.** [`image`] has references, digests and manifests. [`registry`] is the only module that sends
//! HTTP ([`remote`] borrows its connections to read bundles over the network). [`archive`] is the only module that
//! knows the file format; [`compact`] is the smaller form of a blob in it, and [`encoders`] make the compressed bytes again.
//! [`destination`] maps names and prepares registries. [`plan`] decides, and uses neither
//! network nor files. [`signing`] signs and verifies bundles; [`provenance`] records who made a bundle and what
//! arrived; [`policy`] limits what may cross the gap; [`review`] shows people what they approve. [`catalog`] finds,
//! checks and locks images; [`cluster_config`] writes what a cluster needs afterwards; [`serve`] is the embedded
//! registry; [`manual`] is the documentation. [`app`] is the lowest module: errors and exit codes, file access, sizes
//! and times. No module uses one above it; `tests/it/architecture.rs` lists what each module may use.

mod app;
pub mod archive;
pub mod catalog;
pub mod cli;
mod cluster_config;
pub mod commands;
pub mod compact;
pub mod destination;
pub mod encoders;
mod error_text;
mod export;
mod facts;
pub mod image;
pub mod import;
mod inputs;
pub mod manual;
mod provenance;
#[doc = include_str!("performance.md")]
pub mod performance {}
pub mod plan;
pub mod policy;
pub mod registry;
#[cfg(feature = "object-storage")]
mod remote;
pub mod report;
mod request;
mod review;
pub mod secret;
pub mod serve;
mod session;
pub mod signing;
