//! `bundle` carries container images across an air gap.
//!
//! **Where to look.** A verb stands in [`commands`]: it reads its flags ([`cli`]), runs one engine and prints. The two
//! engines, [`export`] and [`import`], each tell their story in their `mod.rs`; neither knows the other. What is asked for
//! becomes one [`request`]; what a run reads before it begins (bundle, keys, policy, network settings) comes from
//! [`inputs`]; what it is handed and leaves behind (cancellation, output, reports, sidecar files) from [`session`].
//!
//! **Export.** A catalog becomes references, and each reference a digest; only manifests and configs are fetched for
//! that. [`plan::ExportPlan`] then holds the distinct blobs, every offset and the final size, and can be printed. Each
//! blob comes from its registry, is hashed while it streams, and is written at its final offset; a journal makes that
//! resumable. Seek table, sync, rename and `.sha256` end it.
//!
//! **Import.** The head of the file gives the whole plan: targets and collisions, then what the destination has already,
//! then [`plan::ImportPlan`], where each missing blob is uploaded to one repository and mounted into the others. Blobs
//! are hashed while they stream. As soon as the blobs of an image are there, its children, index and tag follow, and the
//! proof that the registry gives them out again. The values file and the report end it.
//!
//! **Below the engines.** [`image`] has references, digests and manifests; [`registry`] is the only module that sends
//! HTTP ([`remote`] borrows its connections to read bundles over the network); [`archive`] is the only one that knows the
//! file format; [`destination`] maps names and prepares registries; [`plan`] decides and touches neither network nor
//! files. [`signing`] says who vouches for a bundle, [`provenance`] who made it and what arrived, [`policy`] what may
//! cross, [`review`] what people decide upon; [`catalog`] finds, checks and locks images; [`cluster_config`] writes what a
//! cluster needs afterwards; [`serve`] is the embedded registry; [`manual`] what people read. [`app`] is at the bottom:
//! errors and exit codes, files of others and our own, sizes and times. No arrow runs up; `tests/it/architecture.rs`
//! lists what each module may use.

mod app;
pub mod archive;
pub mod catalog;
pub mod cli;
mod cluster_config;
pub mod commands;
pub mod destination;
mod export;
mod facts;
mod failure;
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
