//! The policy findings and waived findings on the page, by rule, and by reason if many images share one.

use std::collections::HashMap;

use maud::{Markup, html};

use super::facts::Facts;
use super::foreign_text::safe;
use crate::image::Reference;
use crate::policy::Finding;
use crate::report::count;

/// The anchor of each image on the page.
type Places<'a> = HashMap<&'a Reference, usize>;

pub(super) fn sections(facts: &Facts, findings: &[Finding]) -> Markup {
    let images = facts.images.iter().enumerate();
    let places: Places<'_> = images.map(|(at, image)| (&image.name, at)).collect();
    let (against, waived): (Vec<&Finding>, Vec<&Finding>) =
        findings.iter().partition(|finding| finding.counts());
    html! {
        @if !against.is_empty() {
            section.findings { h2 { "Policy findings" } (rules(against, &places)) }
        }
        @if !waived.is_empty() {
            section.findings.waived { h2 { "Waived policy findings" } (rules(waived, &places)) }
        }
    }
}

/// One box; the bundle as a whole comes first.
fn rules(findings: Vec<&Finding>, places: &Places<'_>) -> Markup {
    let mut by_rule = grouped(findings, |finding| finding.rule);
    by_rule.sort_by_key(|(rule, _)| !rule.is_of_bundle());
    html! {
        div.rules {
            @for (rule, findings) in by_rule {
                @let (images, by_why) = (findings.len(), grouped(findings, why));
                h3 { (rule) @if by_why.len() > 1 { span.soft { " " (count(images, "image")) } } }
                @for (why, findings) in by_why {
                    @if let [finding] = findings[..] {
                        p { (name(finding, places)) " " (safe(&why)) }
                    } @else {
                        p { (count(findings.len(), "image")) ": " (safe(&why)) }
                        ul.many { @for finding in findings { li { (name(finding, places)) } } }
                    }
                }
            }
        }
    }
}

/// In the order in which the keys come first.
fn grouped<'a, K: PartialEq>(
    findings: Vec<&'a Finding>,
    key: impl Fn(&'a Finding) -> K,
) -> Vec<(K, Vec<&'a Finding>)> {
    let mut groups: Vec<(K, Vec<&Finding>)> = Vec::new();
    for finding in findings {
        let own = key(finding);
        match groups.iter_mut().find(|(key, _)| *key == own) {
            Some((_, group)) => group.push(finding),
            None => groups.push((own, vec![finding])),
        }
    }
    groups
}

fn why(finding: &Finding) -> String {
    let waived = finding.waived.as_ref().map_or_else(String::new, |waived| format!(" ({waived})"));
    format!("{}{waived}", finding.why)
}

fn name(finding: &Finding, places: &Places<'_>) -> Markup {
    let shown = finding.image.as_ref().map(|image| safe(&image.to_string()));
    let place = finding.image.as_ref().and_then(|image| places.get(image));
    html! {
        @match (shown, place) {
            (Some(shown), Some(at)) => a href=(format!("#i{at}")) { (shown) },
            (Some(shown), None) => (shown),
            (None, _) => "the bundle",
        }
    }
}
