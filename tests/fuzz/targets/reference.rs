//! References, and what they are made of: what is taken is printed as it is read again.

#![no_main]

use airgap_bundle::image::{Digest, HostName, Platform, Reference, Repository, Tag};
use libfuzzer_sys::fuzz_target;

fn round<T: std::str::FromStr + ToString + PartialEq + std::fmt::Debug>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        let again = value.to_string().parse::<T>().ok();
        assert_eq!(again.as_ref(), Some(&value), "{text:?}");
    }
}

fuzz_target!(|text: &str| {
    round::<Reference>(text);
    round::<Repository>(text);
    round::<Tag>(text);
    round::<Digest>(text);
    round::<HostName>(text);
    round::<Platform>(text);
});
