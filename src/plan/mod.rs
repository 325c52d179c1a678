//! Decisions without effects: what an export will write and where, what an import will send.
//!
//! Plans are values: cheap to test, printable, and the same input always gives the same plan. Neither network nor
//! files; manifests come through [`crate::archive::Manifests`].

pub mod base;
mod export;
mod import;
mod order;
mod salvage;
mod shard;

pub use base::{Inventory, InventoryImage, Stock};
pub use export::{ExportPlan, Only, PlanError, Request, Resolution, ResolvedImage, Signer, Wanted};
pub use import::{Arrival, ArrivingArtifact, ImportPlan, Landing, Landings, Missing, Unfit, Upload};
pub use order::sending_order;
pub use salvage::SalvageRequest;
pub use shard::Shards;
