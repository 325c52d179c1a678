//! Texts from images on the page, and the age of images.

use jiff::Timestamp;

use super::facts::ImageFacts;
use crate::image::shortened;
use crate::report::printable;

/// Texts from images longer than this are cut.
const MAX_TEXT: usize = 400;

/// Text from an image, shortened and without invisible characters. The template escapes it.
pub(super) fn safe(text: &str) -> String {
    shortened(&printable(text), MAX_TEXT)
}

/// Days since the image was built; none where it does not say, or says what no clock has said.
pub(super) fn age(image: &ImageFacts, today: Timestamp) -> Option<i64> {
    let created: Timestamp = image.main()?.config.created.as_deref()?.parse().ok()?;
    let days = (today.as_second() - created.as_second()) / 86_400;
    // Reproducible builds say 1970, or 1980.
    (created.as_second() > 400_000_000 && days >= 0).then_some(days)
}

/// An age in days, in the unit that fits.
pub(super) fn in_words(days: i64) -> String {
    match days {
        0..=59 => format!("{days} d"),
        60..=729 => format!("{} mo", days / 30),
        _ => format!("{} y", days / 365),
    }
}
