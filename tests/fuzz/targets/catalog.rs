//! Catalogs in every form, locks, and manifests that are searched for images.

#![no_main]

use airgap_bundle::catalog::lock::Lock;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // A message that names what is wrong must not fail on it either.
    match airgap_bundle::catalog::parse(bytes, None) {
        Ok(catalog) => assert!(format!("{catalog:?}").len() < 1 << 28),
        Err(errors) => assert!(!errors.to_string().is_empty()),
    }
    let _ = Lock::parse(bytes);
});
