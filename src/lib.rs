pub mod image;
pub mod registry;
