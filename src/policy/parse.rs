//! Parses a policy in YAML or JSON. Unknown keys are errors, because a misspelt rule would check nothing.

use jiff::civil::Date;
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::rule::Rule;
use super::source::SourcePattern;
use super::waiver::{NamePattern, Waiver};
use crate::app::units;

/// The JSON Schema of policies.
pub const SCHEMA: &str = include_str!("policy.schema.json");

/// Longest policy that is read, in bytes.
pub const MAX_POLICY: u64 = 1 << 20;

/// Why a text is not a policy, and in which line; 0 if the line is unknown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{why}", place(*.line))]
pub struct PolicyError {
    pub line: u64,
    pub why: String,
}

fn place(line: u64) -> String {
    if line == 0 { String::new() } else { format!("line {line}: ") }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    sources: Option<Spanned<Vec<Spanned<String>>>>,
    pinned: Option<bool>,
    signature: Option<bool>,
    sbom: Option<bool>,
    no_root: Option<bool>,
    max_image_size: Option<Spanned<String>>,
    max_bundle_size: Option<Spanned<String>>,
    waive: Option<Vec<WaiverDocument>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WaiverDocument {
    rule: Spanned<String>,
    image: Option<Spanned<String>>,
    reason: Spanned<String>,
    until: Option<Spanned<String>>,
}

/// The rules and waivers of a policy. At least one rule is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a rule")]
pub(super) struct Rules {
    /// Where images may come from; empty: from anywhere.
    pub(super) sources: Vec<SourcePattern>,
    pub(super) pinned: bool,
    pub(super) signature: bool,
    pub(super) sbom: bool,
    pub(super) no_root: bool,
    /// In bytes.
    pub(super) max_image_size: Option<u64>,
    /// In bytes.
    pub(super) max_bundle_size: Option<u64>,
    /// Exceptions from the rules.
    pub(super) waivers: Vec<Waiver>,
}

impl Rules {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, PolicyError> {
        let text = std::str::from_utf8(bytes).map_err(|_| error(0, "it is not UTF-8"))?;
        let none = || error(0, "it has no rule, and so nothing would be checked");
        let options = serde_saphyr::options! { with_snippet: false, strict_booleans: true };
        let document: Option<Document> =
            serde_saphyr::from_str_with_options(text, options).map_err(|error| unreadable(&error))?;
        let document = document.ok_or_else(none)?;
        let rules = Self {
            sources: document.sources.map(sources).transpose()?.unwrap_or_default(),
            pinned: document.pinned.unwrap_or(false),
            signature: document.signature.unwrap_or(false),
            sbom: document.sbom.unwrap_or(false),
            no_root: document.no_root.unwrap_or(false),
            max_image_size: document.max_image_size.map(|text| size(&text)).transpose()?,
            max_bundle_size: document.max_bundle_size.map(|text| size(&text)).transpose()?,
            waivers: Vec::new(),
        };
        if rules == Self::default() {
            return Err(none());
        }
        let waivers = document.waive.iter().flatten().map(waiver);
        Ok(Self { waivers: waivers.collect::<Result<_, _>>()?, ..rules })
    }
}

fn sources(list: Spanned<Vec<Spanned<String>>>) -> Result<Vec<SourcePattern>, PolicyError> {
    if list.value.is_empty() {
        return Err(error(list.referenced.line(), "sources is empty, so no image would be allowed"));
    }
    let pattern = |text: Spanned<String>| SourcePattern::parse(&text.value).map_err(|why| wrong(&text, why));
    list.value.into_iter().map(pattern).collect()
}

fn size(text: &Spanned<String>) -> Result<u64, PolicyError> {
    units::size(&text.value)
        .filter(|size| *size > 0)
        .ok_or_else(|| wrong(text, "write a size such as 700MB or 4GiB"))
}

fn waiver(document: &WaiverDocument) -> Result<Waiver, PolicyError> {
    let named = |text: &Spanned<String>| Rule::ALL.into_iter().find(|rule| rule.to_string() == text.value);
    let rules = || Rule::ALL.map(|rule| rule.to_string()).join(", ");
    let rule = named(&document.rule)
        .ok_or_else(|| wrong(&document.rule, &format!("this is not a rule; the rules are {}", rules())))?;
    match &document.image {
        Some(image) if rule.is_of_bundle() => {
            return Err(wrong(image, "this rule is about the bundle as a whole; leave image out"));
        }
        None if !rule.is_of_bundle() => {
            return Err(wrong(&document.rule, "name the image, such as quay.io/team/app:*"));
        }
        _ => {}
    }
    if document.reason.value.trim().is_empty() {
        return Err(wrong(&document.reason, "give a reason"));
    }
    let pattern = |text: &Spanned<String>| NamePattern::parse(&text.value).map_err(|why| wrong(text, why));
    let date = |text: &Spanned<String>| {
        text.value.parse::<Date>().map_err(|_| wrong(text, "write a date such as 2027-01-31"))
    };
    Ok(Waiver {
        image: document.image.as_ref().map(pattern).transpose()?,
        rule,
        reason: document.reason.value.trim().to_owned(),
        until: document.until.as_ref().map(date).transpose()?,
    })
}

/// What is wrong with a value, in its line.
fn wrong(text: &Spanned<String>, why: &str) -> PolicyError {
    let shown: String = text.value.chars().take(80).collect();
    error(text.referenced.line(), format!("{shown:?}: {why}"))
}

fn error(line: u64, why: impl Into<String>) -> PolicyError {
    PolicyError { line, why: why.into() }
}

/// The parser's message in one line, without the line number, which begins the message already.
fn unreadable(found: &serde_saphyr::Error) -> PolicyError {
    let found = found.without_snippet();
    let line = found.location().map_or(0, |location| location.line());
    let message = found.to_string();
    let message = message.lines().next().unwrap_or_default();
    error(line, message.rsplit_once(" at line ").map_or(message, |(before, _)| before))
}
