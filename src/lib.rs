//! `bundle` carries container images across an air gap.
//!
//! [`image`] says *what*, [`catalog`] *which*; [`registry`], [`archive`] and [`destination`] *where*; [`plan`]
//! *decides*; [`transfer`] *moves*; [`commands`] *tells the story*; [`cluster_config`] is what the cluster needs
//! afterwards; [`review`] what people decide upon; [`serve`] the embedded registry; [`report`] what people see while
//! waiting; [`manual`] what they read before.
//!
//! **Before and after.** [`catalog::discover`] finds the images in charts and manifests, [`catalog::lint`] judges
//! what was written down, [`catalog::lock`] pins it; [`cluster_config`] writes the values, mirrors and pull secret that the
//! cluster needs, and proves that what its manifests name has arrived.
//!
//! **Export.** Catalog → resolve every reference to a digest, small JSON only → [`plan::ExportPlan`]: distinct
//! blobs, every offset, the final size → space → each blob from the registry, hashed as it streams, written at its
//! final offset, journalled → seek table, sync, rename, `.sha256`.
//!
//! **Import.** The head of the file gives the whole plan → targets and collisions → what is there already →
//! [`plan::ImportPlan`]: each missing blob once, uploaded to one repository and mounted into the others → blobs from
//! the file, hashed as they stream → per image, as soon as its blobs are there: children, index, tag, proof → values
//! file, report.
//!
//! Direction: `commands → plan, transfer, destination, handoff → registry, archive, catalog → image`; `report` and
//! cancellation are leaves; nothing calls back up. [`signing`] says who vouches for a bundle, [`provenance`] who made it and
//! what arrived, [`policy`] what may cross, both from the same [`facts`]; all are pure, as [`image`] is. Only `registry` sends HTTP
//! (`storage`, which reads bundles over the network, borrows its connections); only `archive` knows the file format.

pub mod app;
pub mod archive;
pub mod catalog;
pub mod cli;
pub mod cluster_config;
pub mod commands;
pub mod destination;
pub mod export;
pub mod facts;
pub mod failure;
pub mod image;
pub mod import;
pub mod inputs;
pub mod manual;
pub mod provenance;
#[doc = include_str!("performance.md")]
pub mod performance {}
pub mod plan;
pub mod policy;
pub mod registry;
#[cfg(feature = "object-storage")]
pub mod remote;
pub mod report;
pub mod request;
pub mod review;
pub mod secret;
pub mod serve;
pub mod session;
pub mod signing;
