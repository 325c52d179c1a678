//! `.volumes.json`.

#![no_main]

use airgap_bundle::archive::VolumeList;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(list) = VolumeList::parse(bytes) {
        let text = list.to_text().expect("what was read can be written");
        assert_eq!(VolumeList::parse(text.as_bytes()).ok().as_ref(), Some(&list));
    }
});
