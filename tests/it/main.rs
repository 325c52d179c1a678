//! The one integration binary.
// Helpers unwrap as tests do; clippy.toml knows only functions that are marked as tests.
#![allow(clippy::unwrap_used)]

mod catalog;
mod refusals;
mod report;
mod resume;
mod roundtrip;
mod serve;
mod support;
