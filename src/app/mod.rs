//! What every part of the program may use: what errors mean for whoever runs it; how files of others are read, and what
//! counts as text in them; how its own files are made, and what their medium can do; text of others in those; sizes and
//! times as people write them; where other programs are found; and the request to stop.
//!
//! It stands at the bottom and knows nothing of images, registries or bundles.

pub mod failure;
pub mod foreign_text;
pub mod medium;
pub mod once;
pub mod own_file;
pub mod programs;
pub mod small_file;
pub mod stop;
pub mod text;
pub mod units;
pub mod unusable;
