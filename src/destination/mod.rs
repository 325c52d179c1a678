//! Where images go behind the gap.

mod mapping;

pub use mapping::{Collision, Destination, DestinationError, Mapping, Target, collisions};
