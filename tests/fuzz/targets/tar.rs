//! Tars of other tools.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| airgap_bundle::archive::fuzzing::tar(bytes));
