//! The head of a bundle, as a tar: `bundle.json` and the small members, under valid frames.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|content: &[u8]| airgap_bundle::archive::fuzzing::head(content));
