//! `bundle.json`: what is taken is written again to the byte.

#![no_main]

use airgap_bundle::archive::BundleManifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(manifest) = BundleManifest::from_bytes(bytes) {
        let written = manifest.to_bytes().expect("what was read can be written");
        assert_eq!(BundleManifest::from_bytes(&written).ok().as_ref(), Some(&manifest));
        let _ = manifest.required();
    }
});
