//! The compact form of a blob: the first byte says which, the rest is a blob to go through it, or members to be made again.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| airgap_bundle::compact::fuzzing::members(input));
