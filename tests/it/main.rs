//! The one integration binary.
// Helpers unwrap as tests do; clippy.toml knows only functions that are marked as tests.
#![allow(clippy::unwrap_used)]

mod architecture;
mod artifacts;
mod bundle_file;
mod catalog;
mod chaos;
mod charts;
mod clouds;
mod coverage;
mod custody;
mod delta;
mod discover;
mod disguises;
mod foreign;
mod foreign_layers;
mod forged;
mod insisting;
mod lies;
mod lint;
mod lock;
mod memory;
mod neighbours;
mod one_reading;
mod packed;
mod parity;
mod piped;
mod policy;
mod preflight;
mod refusals;
mod repack;
mod report;
mod results;
mod resume;
mod review;
mod roundtrip;
mod rules;
mod salvage;
mod scale;
mod schema;
mod second_reader;
mod selection;
mod serve;
mod serve_bundle;
mod settings;
mod shard;
mod small_inputs;
#[cfg(feature = "object-storage")]
mod stopping;
mod storage;
mod support;
mod trust;
mod values;
mod volumes;
mod with_self;
