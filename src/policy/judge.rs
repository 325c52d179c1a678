//! Judges facts by rules.

use jiff::civil::Date;

use super::facts::{Facts, ImageFacts};
use super::finding::Finding;
use super::parse::{PolicyError, Rules};
use super::rule::Rule;
use super::waiver;
use crate::facts::RunsAs;
use crate::report::bytes;

/// The rules of a site. At least one of them is in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    rules: Rules,
}

impl Policy {
    pub fn parse(bytes: &[u8]) -> Result<Self, PolicyError> {
        Ok(Self { rules: Rules::parse(bytes)? })
    }

    /// All findings, image by image and for the bundle last, including those that are waived on this day (UTC).
    pub fn findings(&self, facts: &Facts, today: Date) -> Vec<Finding> {
        let mut findings = Vec::new();
        for image in &facts.images {
            let against = |(rule, why)| Finding::new(rule, Some(image.name.clone()), why);
            findings.extend(self.against(image).into_iter().map(against));
        }
        if let Some(most) = self.rules.max_bundle_size.filter(|most| facts.size > *most) {
            let why = format!("has {}, and {} is allowed", bytes(facts.size), bytes(most));
            findings.push(Finding::new(Rule::MaxBundleSize, None, why));
        }
        for finding in &mut findings {
            waiver::apply(&self.rules.waivers, finding, today);
        }
        findings
    }

    fn against(&self, image: &ImageFacts) -> Vec<(Rule, String)> {
        let mut found = Vec::new();
        let source = image.source.repository();
        if !self.rules.sources.is_empty() && !self.rules.sources.iter().any(|pattern| pattern.allows(source))
        {
            found.push((Rule::Sources, format!("comes from {source}, which is not on the list")));
        }
        if self.rules.pinned {
            found.extend(image.unpinned.clone().map(|why| (Rule::Pinned, why)));
        }
        if self.rules.signature && !image.signature {
            found.push((Rule::Signature, "comes without a signature".to_owned()));
        }
        if self.rules.sbom && !image.sbom {
            found.push((Rule::Sbom, "comes without an SBOM".to_owned()));
        }
        if self.rules.no_root {
            found.extend(root(image).map(|why| (Rule::NoRoot, why)));
        }
        if let Some(most) = self.rules.max_image_size.filter(|most| image.size > *most) {
            let why = format!("has {}, and {} is allowed", bytes(image.size), bytes(most));
            found.push((Rule::MaxImageSize, why));
        }
        found
    }
}

/// Why an image may run as root: one line for its platforms and artifacts that do.
fn root(image: &ImageFacts) -> Option<String> {
    let beside = image.beside.iter().map(|(digest, runs_as)| (format!("artifact {digest}"), runs_as));
    let mut lines = lines(image.runs_as.iter().map(|(platform, runs_as)| (platform.clone(), runs_as)));
    lines.extend(self::lines(beside));
    (!lines.is_empty()).then(|| lines.join("; "))
}

/// For each reason: what it holds for.
fn lines<'a>(what: impl Iterator<Item = (String, &'a RunsAs)>) -> Vec<String> {
    let mut all: Vec<(String, Vec<String>)> = Vec::new();
    for (name, runs_as) in what {
        let why = match runs_as {
            RunsAs::User(_) => continue,
            RunsAs::Root(user) if user.is_empty() => "runs as root, since it names no user".to_owned(),
            RunsAs::Root(user) => format!("runs as root ({user:.40?})"),
            RunsAs::Unknown(why) => format!("may run as root: {why}"),
        };
        match all.iter_mut().find(|(own, _)| *own == why) {
            Some((_, names)) => names.push(name),
            None => all.push((why, vec![name])),
        }
    }
    let on = |(why, mut names): (String, Vec<String>)| {
        names.retain(|name| !name.is_empty());
        if names.is_empty() { why } else { format!("{why} [{}]", names.join(", ")) }
    };
    all.into_iter().map(on).collect()
}
