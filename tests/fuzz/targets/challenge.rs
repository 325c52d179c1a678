//! `WWW-Authenticate`, one header a line.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| airgap_bundle::registry::fuzzing::challenges(bytes));
