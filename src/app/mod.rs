//! What every part of the program may use: what errors mean for whoever runs it; how files of others are read, and what
//! counts as text in them; how its own files are made, and what their medium can do; text of others in those; sizes and
//! times as people write them; where other programs are found; and the request to stop.
//!
//! It stands at the bottom and knows nothing of images, registries or bundles.

pub(crate) mod failure;
pub(crate) mod foreign_text;
pub(crate) mod medium;
pub(crate) mod once;
pub(crate) mod own_file;
pub(crate) mod programs;
pub(crate) mod small_file;
pub(crate) mod stop;
pub(crate) mod text;
pub(crate) mod units;
pub(crate) mod unusable;
