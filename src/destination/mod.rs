//! The destination: names of images there, and what has to be created before they can be pushed.

#[cfg(feature = "ecr")]
pub mod ecr;
mod harbor;
mod mapping;
mod prepare;
mod prepare_error;

pub use harbor::is_harbor;
pub use mapping::{Collision, Destination, DestinationError, Mapping, NameError, Target, collisions};
pub use prepare::Preparation;
pub use prepare_error::PrepareError;
