//! Plans: what an export will write and where, and what an import will send.
//!
//! Plans are values: cheap to test, printable, and equal for equal input. Planning uses neither network nor files;
//! manifests come through [`crate::archive::Manifests`].

pub mod base;
mod export;
mod import;
mod order;
pub mod references;
mod salvage;
mod shard;

pub use base::{Inventory, InventoryImage, KnownBlobs};
pub use export::{ExportPlan, Only, PlanError, Request, RequestedImage, Resolution, ResolvedImage, Signer};
pub use import::{
    ArtifactUpload, ImageTarget, ImageTargets, ImageUpload, ImportPlan, Missing, Unfit, Upload,
};
pub use order::sending_order;
pub use salvage::SalvageRequest;
pub use shard::Shards;
