//! The table at the end of a file, behind a valid beginning.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| airgap_bundle::archive::fuzzing::seek_table(bytes));
