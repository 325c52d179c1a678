//! A list: one image per line, with what people paste along with it.
//!
//! What a line says besides its image is read where it can mean only one thing. Else the line is a problem: an image
//! that is left out in silence costs more than a line that has to be written again.

mod columns;
mod lines;
mod listed;

pub use lines::is_of_hangar;
pub(super) use lines::{is_output_of_grep, read};
