pub mod catalog;
pub mod image;
pub mod serve;
