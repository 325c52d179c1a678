//! The checks before the first byte is sent: one table, with all problems at once.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::app::failure::{ExitCode, Failure};
use crate::archive::manifest::RequiredBlob;
use crate::registry::Stats;
use crate::report::{bytes, count};

/// Tokens and certificates may fail if the clock is off by more than this, in seconds.
const CLOCK: i64 = 60;
/// Speeds for which a duration is printed, in bytes per second.
const SPEEDS: [(&str, u64); 2] = [("100 Mbit/s", 12_500_000), ("1 Gbit/s", 125_000_000)];

#[derive(Debug)]
enum Verdict {
    Fine,
    /// A warning; the run continues.
    Watch,
    Fails(Failure),
}

#[derive(Debug)]
struct Check {
    what: &'static str,
    verdict: Verdict,
    text: String,
}

/// The checks of one run.
#[derive(Debug, Default)]
pub(crate) struct Preflight(Vec<Check>);

/// Bytes of compressed layers that one processor makes again in a second: a careful value for what most tools write.
const REMADE_PER_SECOND: u64 = 15 << 20;

impl Preflight {
    pub(crate) fn fine(&mut self, what: &'static str, text: impl Into<String>) {
        self.0.push(Check { what, verdict: Verdict::Fine, text: text.into() });
    }

    pub(crate) fn watch(&mut self, what: &'static str, text: impl Into<String>) {
        self.0.push(Check { what, verdict: Verdict::Watch, text: text.into() });
    }

    /// The result of a check: its text if it passes, or the failure.
    pub(crate) fn check(&mut self, what: &'static str, result: Result<impl Into<String>, Failure>) {
        match result {
            Ok(text) => self.fine(what, text),
            Err(error) => {
                self.0.push(Check { what, text: error.to_string(), verdict: Verdict::Fails(error) });
            }
        }
    }

    /// The clocks of the registries that were contacted, and the number of pulls that they still allow.
    pub(crate) fn registries(&mut self, stats: &Stats) {
        let mut off = Vec::new();
        for host in &stats.hosts {
            if let Some(ahead) = host.clock_ahead.filter(|ahead| ahead.abs() > CLOCK) {
                let side = if ahead > 0 { "behind" } else { "ahead of" };
                off.push(format!(
                    "this machine's clock is {} {side} {}",
                    in_words(ahead.unsigned_abs()),
                    host.host
                ));
            }
            if let Some(limit) = &host.rate_limit {
                let text = format!("{}: {} left", host.host, limit.remaining);
                if limit.remaining == 0 { self.watch("pulls", text) } else { self.fine("pulls", text) }
            }
        }
        match off.as_slice() {
            [] if stats.hosts.iter().any(|host| host.clock_ahead.is_some()) => {
                self.fine("clock", "same time as the registries");
            }
            [] => {}
            off => self.watch("clock", format!("{}: tokens and certificates may be refused", off.join("; "))),
        }
    }

    /// How long `size` bytes take at typical speeds, or at the limit that was set.
    pub(crate) fn time(&mut self, size: u64, limit: Option<u64>) {
        let at = |speed: u64| in_words(size.div_ceil(speed.max(1)));
        let usual = || SPEEDS.map(|(name, speed)| format!("{} at {name}", at(speed))).join(", ");
        let text = limit.map_or_else(usual, |limit| format!("{} at {}/s", at(limit), bytes(limit)));
        self.fine("time", format!("{} to move: {text}", bytes(size)));
    }

    /// What a compact bundle of `size` bytes of blobs costs: `memory` bytes here, and time inside, which is longer where zip
    /// entries are made again too.
    pub(crate) fn compact(&mut self, size: u64, memory: u64, has_zip: bool) {
        let speed = if has_zip { REMADE_PER_SECOND / 2 } else { REMADE_PER_SECOND };
        let (memory, inside) = (bytes(memory), in_words(size.div_ceil(speed)));
        self.fine(
            "compact",
            format!("up to {memory} of memory; import needs up to {inside} of one processor"),
        );
    }

    /// What of the base is read to make the blobs of a compact delta smaller.
    pub(crate) fn references(&mut self, blobs: &[RequiredBlob]) {
        if !blobs.is_empty() {
            let size = bytes(blobs.iter().map(|blob| blob.size).sum());
            self.fine(
                "references",
                format!("{} of the base, {size}, are read twice", count(blobs.len(), "blob")),
            );
        }
    }

    /// One line for each check.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for check in &self.0 {
            let verdict = check.verdict.word();
            let _ = writeln!(
                text,
                "{verdict:5}  {:10}  {}",
                check.what,
                check.text.replace('\n', "\n                   ")
            );
        }
        text
    }

    pub(crate) fn json(&self) -> Value {
        let check = |check: &Check| json!({ "check": check.what, "verdict": check.verdict.word(), "text": check.text });
        self.0.iter().map(check).collect()
    }

    /// Warnings that are not failures.
    pub(crate) fn warnings(&self) -> impl Iterator<Item = String> {
        let watched = self.0.iter().filter(|check| matches!(check.verdict, Verdict::Watch));
        watched.map(|check| format!("{}: {}", check.what, check.text))
    }

    /// A single failure unchanged; several as one, with the class of the first.
    pub(crate) fn judge(self) -> Result<(), Failure> {
        let failed = self.0.into_iter().filter_map(|check| match check.verdict {
            Verdict::Fails(error) => Some(error),
            Verdict::Fine | Verdict::Watch => None,
        });
        let mut failed: Vec<Failure> = failed.collect();
        // An interrupt hides all other failures.
        if let Some(at) = failed.iter().position(|error| error.code == ExitCode::Interrupted) {
            return Err(failed.swap_remove(at));
        }
        if failed.len() < 2 {
            return failed.pop().map_or(Ok(()), Err);
        }
        let lines: Vec<String> = failed.iter().map(ToString::to_string).collect();
        let mut failure = Failure::new(failed[0].code, lines.join("\n"));
        failure.hints = failed.into_iter().flat_map(|failed| failed.hints).collect();
        Err(failure)
    }
}

impl Verdict {
    fn word(&self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Watch => "watch",
            Self::Fails(_) => "FAILS",
        }
    }
}

/// A duration as text.
fn in_words(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_failures_are_told_together_with_the_class_of_the_first() {
        let mut preflight = Preflight::default();
        preflight.fine("names", "they fit");
        let space = Failure::new(ExitCode::NoSpace, "no room").hint("make some");
        preflight.check("space", Err::<String, _>(space));
        preflight.check("access", Err::<String, _>(Failure::new(ExitCode::Denied, "not let in")));
        assert_eq!(
            preflight.text(),
            "ok     names       they fit\nFAILS  space       no room\nFAILS  access      not let in\n"
        );
        let error = preflight.judge().unwrap_err();
        assert_eq!((error.code, error.to_string()), (ExitCode::NoSpace, "no room\nnot let in".to_owned()));
        assert_eq!(error.hints, ["make some"]);
    }

    #[test]
    fn durations_are_told_as_people_say_them() {
        for (seconds, text) in [(5, "5 s"), (600, "10 min"), (10_800, "3 h"), (864_000, "10 days")] {
            assert_eq!(in_words(seconds), text);
        }
    }
}
