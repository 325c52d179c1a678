//! Text with variables: `$NAME` and `${NAME}`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// A text with its variables filled in, in bytes: a long value in many places must not fill memory.
pub(super) const MAX_FILLED: usize = 64 << 10;

/// Text in which variables are yet to be filled in.
#[derive(Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Variable(String),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} has a '$' that starts no variable (write $NAME or ${{NAME}})")]
pub struct TemplateError(String);

impl Template {
    /// As it stands in the catalog.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The names of its variables, as often as they occur.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Variable(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// The text with the variables that `values` knows filled in; others stay as they are. It is cut where it is longer than
    /// `MAX_FILLED`, so that whoever takes it can see that it is.
    pub fn fill(&self, values: &BTreeMap<String, String>) -> String {
        let mut filled = String::new();
        for part in &self.parts {
            if filled.len() > MAX_FILLED {
                break;
            }
            let (text, is_unknown) = match part {
                Part::Text(text) => (text, false),
                Part::Variable(name) => values.get(name).map_or((name, true), |value| (value, false)),
            };
            if is_unknown {
                filled.push('$');
            }
            filled.push_str(text);
        }
        filled
    }
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        let refuse = || TemplateError(text.chars().take(200).collect());
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(dollar) = rest.find('$') {
            if dollar > 0 {
                parts.push(Part::Text(rest[..dollar].to_owned()));
            }
            let after = &rest[dollar + 1..];
            let (name, left) = if let Some(inner) = after.strip_prefix('{') {
                inner.split_once('}').ok_or_else(refuse)?
            } else {
                let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                after.split_at(end.unwrap_or(after.len()))
            };
            if !is_variable_name(name) {
                return Err(refuse());
            }
            parts.push(Part::Variable(name.to_owned()));
            rest = left;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { text: text.to_owned(), parts })
    }
}

/// Letters, digits and `_`, no digit first.
pub(super) fn is_variable_name(text: &str) -> bool {
    !text.starts_with(|c: char| c.is_ascii_digit())
        && !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_found_and_filled_in() {
        let template: Template = "r/x${SUFFIX}-$A_1.b:$V".parse().unwrap();
        assert_eq!(template.variables().collect::<Vec<_>>(), ["SUFFIX", "A_1", "V"]);
        let values = [("SUFFIX", ""), ("A_1", "$V")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        assert_eq!(template.fill(&values), "r/x-$V.b:$V");
        for text in ["$", "a$-b", "${A", "${}", "${A B}", "$1", "€$€"] {
            assert!(text.parse::<Template>().is_err(), "{text}");
        }
    }
}
