pub mod image;
pub mod serve;
