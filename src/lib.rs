pub mod archive;
pub mod destination;
pub mod failure;
pub mod image;
pub mod plan;
pub mod registry;
pub mod report;
pub mod transfer;
