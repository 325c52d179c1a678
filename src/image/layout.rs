//! The file `oci-layout` (OCI image-spec, image-layout.md).

use super::decisive::{self, KeyError, Keys};

const LAYOUT: Keys = Keys { decisive: &["imageLayoutVersion"], lenient: &[] };

/// The version that `json`, the content of `oci-layout`, gives; none if it gives none.
pub fn layout_version(json: &[u8]) -> Result<Option<String>, KeyError> {
    let fields = LAYOUT.read(json)?;
    Ok(fields.and_then(|fields| decisive::text(fields.get("imageLayoutVersion")?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_there_once_in_one_spelling() {
        let version = |json: &str| layout_version(json.as_bytes());
        assert_eq!(version(r#"{ "imageLayoutVersion": "1.0.0", "x": 1 }"#), Ok(Some("1.0.0".to_owned())));
        for none in ["{}", "[]", r#"{"imageLayoutVersion":1}"#, r#"{"imageLayoutVersion":null}"#] {
            assert_eq!(version(none), Ok(None), "{none}");
        }
        for bad in ["", "x", r#"{"imageLayoutVersion":"1.0.0","imagelayoutversion":"2"}"#] {
            assert!(version(bad).is_err(), "{bad}");
        }
    }
}
