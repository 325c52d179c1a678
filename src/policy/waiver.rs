//! Exceptions from the rules: of which image, from which rule, why, and until when.

use jiff::civil::Date;

use super::finding::{Finding, Waived};
use super::rule::Rule;
use crate::image::{Reference, glob};

/// One exception.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Waiver {
    /// None where the rule is about the bundle as a whole.
    pub(super) image: Option<NamePattern>,
    pub(super) rule: Rule,
    pub(super) reason: String,
    /// The last day on which it counts, in UTC.
    pub(super) until: Option<Date>,
}

impl Waiver {
    fn covers(&self, finding: &Finding) -> bool {
        let image = match (&self.image, &finding.image) {
            (Some(pattern), Some(image)) => pattern.matches(image),
            (None, None) => true,
            _ => false,
        };
        image && self.rule == finding.rule
    }
}

/// Marks `finding` as waived if one of `waivers` covers it on this day. Notes a waiver that has expired.
pub(super) fn apply(waivers: &[Waiver], finding: &mut Finding, today: Date) {
    let covering = || waivers.iter().filter(|waiver| waiver.covers(finding));
    if let Some(waiver) = covering().find(|waiver| waiver.until.is_none_or(|until| until >= today)) {
        finding.waived =
            Some(Waived { reason: waiver.reason.clone(), until: waiver.until.map(|day| day.to_string()) });
    } else if let Some(ended) = covering().filter_map(|waiver| waiver.until).max() {
        finding.why = format!("{}; the waiver for it ended on {ended}", finding.why);
    }
}

/// The full name of an image, with `*` and `?` as in a shell. A `*` in the registry never reaches into the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NamePattern {
    host: String,
    rest: String,
}

impl NamePattern {
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let (host, rest) = text.split_once('/').unwrap_or_default();
        if text.contains(|c: char| c.is_control() || c.is_whitespace() || "[]{}!\\".contains(c)) {
            return Err("an image has none of these characters, and only * and ? stand for others");
        }
        // As in a reference: what has no dot and no port is no registry.
        if host != "localhost" && !host.contains(['.', ':', '*']) || rest.is_empty() {
            return Err("write the full name, with its registry, such as quay.io/team/app:*");
        }
        Ok(Self { host: host.to_owned(), rest: rest.to_owned() })
    }

    fn matches(&self, name: &Reference) -> bool {
        let full = name.to_string();
        full.split_once('/').is_some_and(|(host, rest)| glob(&self.host, host) && glob(&self.rest, rest))
    }
}
