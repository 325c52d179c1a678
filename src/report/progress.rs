//! Progress: one total, and a bar for each blob in transfer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::amounts::bytes;
use super::json_events::write_json;

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ProgressMode {
    /// Bars on a terminal, plain lines elsewhere.
    Auto,
    Bar,
    Plain,
    /// One JSON object per line.
    Json,
    None,
}

/// Plain lines and JSON events come at most this often.
const LINE_EVERY_MILLIS: u64 = 5000;
/// Blobs smaller than this get no bar of their own: they are gone before anyone reads it.
const BAR_FROM: u64 = 4 << 20;

const TOTAL: &str =
    "{msg} [{bar:30}] {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec}, {eta} left";
const COUNT: &str = "{msg} [{bar:30}] {pos}/{len}";
const BLOB: &str = "  {msg:50!} [{bar:20}] {decimal_bytes}/{decimal_total_bytes}";

#[derive(Clone, Debug)]
pub(super) struct Progress {
    mode: ProgressMode,
    multi: MultiProgress,
    phase: Arc<Mutex<Option<Arc<Phase>>>>,
}

#[derive(Debug)]
struct Phase {
    name: String,
    total: u64,
    already: u64,
    counts: bool,
    moved: AtomicU64,
    began: Instant,
    /// Milliseconds after `began` of the last line.
    said: AtomicU64,
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(super) fn new(mode: ProgressMode) -> Self {
        let target = if mode == ProgressMode::Bar {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        Self { mode, multi: MultiProgress::with_draw_target(target), phase: Arc::default() }
    }

    pub(super) fn print(&self, text: &str) {
        self.multi.suspend(|| {
            use std::io::Write;
            let _ = writeln!(std::io::stderr().lock(), "{text}");
        });
    }

    pub(super) fn begin(&self, name: &str, total: u64, already: u64) {
        self.start(name, total, already, false);
    }

    pub(super) fn begin_count(&self, name: &str, total: u64) {
        self.start(name, total, 0, true);
    }

    fn start(&self, name: &str, total: u64, already: u64, counts: bool) {
        self.end();
        let bar = (self.mode == ProgressMode::Bar).then(|| {
            let bar = self.multi.add(ProgressBar::new(total));
            bar.set_style(style(if counts { COUNT } else { TOTAL }));
            bar.set_message(name.to_owned());
            bar.set_position(already);
            bar.reset_eta();
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        let phase = Phase {
            name: name.to_owned(),
            total,
            already,
            counts,
            moved: AtomicU64::new(0),
            began: Instant::now(),
            said: AtomicU64::new(0),
            bar,
        };
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(phase));
    }

    pub(super) fn end(&self) {
        let phase = self.phase.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(bar) = phase.as_ref().and_then(|phase| phase.bar.as_ref()) {
            bar.finish_and_clear();
            self.multi.remove(bar);
            // A bar that was cut off in the middle may have left its line.
            let _ = self.multi.clear();
        }
    }

    pub(super) fn advance(&self, count: u64) {
        let phase = self.phase.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(phase) = phase else { return };
        phase.moved.fetch_add(count, Ordering::Relaxed);
        if let Some(bar) = &phase.bar {
            bar.inc(count);
        } else {
            self.tell(&phase);
        }
    }

    /// A plain line or JSON event, when the last is long enough ago.
    fn tell(&self, phase: &Phase) {
        if !matches!(self.mode, ProgressMode::Plain | ProgressMode::Json) {
            return;
        }
        let now = u64::try_from(phase.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let said = phase.said.load(Ordering::Relaxed);
        let due = now.saturating_sub(said) >= LINE_EVERY_MILLIS;
        if !due || phase.said.compare_exchange(said, now, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return;
        }
        let moved = phase.moved.load(Ordering::Relaxed);
        let at = phase.already + moved;
        let rate = moved.saturating_mul(1000) / now.max(1);
        let left = phase.total.saturating_sub(at).checked_div(rate);
        if self.mode == ProgressMode::Json {
            write_json(&serde_json::json!({
                "event": "progress", "phase": phase.name, "done": at, "total": phase.total,
                "unit": if phase.counts { "items" } else { "bytes" }, "perSecond": rate, "secondsLeft": left,
            }));
        } else if phase.counts {
            self.print(&format!("{}: {at} of {}", phase.name, phase.total));
        } else {
            let left = left.map_or_else(String::new, |s| format!(", {} left", clock(s)));
            self.print(&format!(
                "{}: {} of {}, {}/s{left}",
                phase.name,
                bytes(at),
                bytes(phase.total),
                bytes(rate)
            ));
        }
    }

    pub(super) fn transfer(&self, label: &str, size: u64, from: u64) -> Transfer {
        let bar = (self.mode == ProgressMode::Bar && size >= BAR_FROM).then(|| {
            let bar = self.multi.add(ProgressBar::new(size));
            bar.set_style(style(BLOB));
            bar.set_message(label.to_owned());
            bar.set_position(from);
            bar
        });
        Transfer { progress: self.clone(), reached: AtomicU64::new(from), bar }
    }
}

/// The progress of one blob; its bar disappears when this is dropped.
#[derive(Debug)]
pub struct Transfer {
    progress: Progress,
    /// The furthest byte reached. Bytes that are sent again are not progress.
    reached: AtomicU64,
    bar: Option<ProgressBar>,
}

impl Transfer {
    /// The first `offset` bytes have been handed over, now or before.
    pub fn reached(&self, offset: u64) {
        let before = self.reached.fetch_max(offset, Ordering::Relaxed);
        if offset > before {
            self.advance(offset - before);
        }
    }

    /// More bytes are done.
    pub fn advance(&self, count: u64) {
        if let Some(bar) = &self.bar {
            bar.inc(count);
        }
        self.progress.advance(count);
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
            self.progress.multi.remove(bar);
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

/// Seconds as `1h02m`, `3m20s` or `45s`.
fn clock(seconds: u64) -> String {
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m{s:02}s"),
        (h, m, _) => format!("{h}h{m:02}m"),
    }
}
