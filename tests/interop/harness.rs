//! Runs the tests and says what became of each: passed, failed, or skipped with a reason.
//!
//! libtest cannot skip a test at run time, which is when a missing program is noticed. `libtest-mimic` can, with
//! libtest's command line, filters and output. This file adds a directory per test, tests that run alone, the place
//! of a failure with the ends of log files, and last lines with figures, reasons for skipping and counts.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Mutex, RwLock};
use std::time::Instant;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use crate::desk::Desk;
use crate::processes;

/// Why a test is skipped.
#[derive(Debug)]
pub struct Skip(String);

impl Skip {
    pub fn because(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

/// What a test returns: figures to print (or an empty text), or why it is skipped. It fails by panicking.
pub type Tested = Result<String, Skip>;

/// A test that passed without figures.
pub const PASSED: Tested = Ok(String::new());

#[derive(Clone, Copy)]
pub struct Test {
    module: &'static str,
    name: &'static str,
    run: fn(&Desk) -> Tested,
    alone: bool,
    on_request: bool,
}

impl Test {
    pub const fn new(module: &'static str, name: &'static str, run: fn(&Desk) -> Tested) -> Self {
        Self { module, name, run, alone: false, on_request: false }
    }

    /// Runs alone, because it measures or would slow others down too much.
    pub const fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    /// Runs with `--include-ignored` only, because it takes long or needs programs that are built first.
    pub const fn on_request(mut self) -> Self {
        self.on_request = true;
        self
    }

    /// `theme::name`.
    fn path(&self) -> String {
        let theme = self.module.rsplit("::").next().unwrap_or(self.module);
        format!("{theme}::{}", self.name)
    }

    fn trial(self) -> Trial {
        let path = self.path();
        Trial::ignorable_test(path.clone(), move || self.outcome(&path)).with_ignored_flag(self.on_request)
    }

    fn outcome(self, path: &str) -> Result<Completion, Failed> {
        static ORDER: RwLock<()> = RwLock::new(());
        let (_alone, _together);
        if self.alone {
            _alone = ORDER.write().unwrap();
        } else {
            _together = ORDER.read().unwrap();
        }
        let begun = Instant::now();
        let desk = Desk::new(self.name);
        match catch_unwind(AssertUnwindSafe(|| (self.run)(&desk))) {
            Ok(Ok(figures)) => {
                note(&RAN, path, &format!("{:.1} s", begun.elapsed().as_secs_f32()), &figures);
                Ok(Completion::Completed)
            }
            Ok(Err(Skip(reason))) => {
                note(&SKIPPED, path, &reason, "");
                Ok(Completion::ignored_with(reason))
            }
            Err(_) => Err(format!("{}{}", PANIC.take(), logs(desk.folder())).into()),
        }
    }
}

/// Lists a file's tests for `main`: `tests![one, two.alone()]`. rustc reports a test that is missing in the list as
/// unused.
macro_rules! tests {
    ($($run:ident $(.$kind:ident())*),* $(,)?) => {
        pub fn tests() -> Vec<$crate::harness::Test> {
            vec![$($crate::harness::Test::new(module_path!(), stringify!($run), $run)$(.$kind())*),*]
        }
    };
}
pub(crate) use tests;

/// By test: how long it took or why it was skipped, and its figures.
type Notes = Mutex<BTreeMap<String, (String, String)>>;

static RAN: Notes = Mutex::new(BTreeMap::new());
static SKIPPED: Notes = Mutex::new(BTreeMap::new());

fn note(notes: &Notes, path: &str, first: &str, second: &str) {
    notes.lock().unwrap().insert(path.to_owned(), (first.to_owned(), second.to_owned()));
}

thread_local! {
    /// What the last panic of this thread said, and where.
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// The last lines of a failed test's log files.
fn logs(folder: &Path) -> String {
    let mut shown = String::new();
    let Ok(entries) = std::fs::read_dir(folder) else { return shown };
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        if path.extension().is_some_and(|extension| extension == "log") {
            let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap_or_default()).into_owned();
            let lines: Vec<&str> = text.lines().collect();
            let tail = &lines[lines.len().saturating_sub(15)..];
            let _ = write!(shown, "\n--- the end of {}\n{}", path.display(), tail.join("\n"));
        }
    }
    shown
}

/// Runs what the command line asks for.
pub fn run(tests: Vec<Test>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Tests spend much of their time waiting for servers, so more run at once than there are cores.
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    arguments.test_threads.get_or_insert(cores * 2);
    let (alone, together): (Vec<Test>, Vec<Test>) = tests.into_iter().partition(|test| test.alone);
    let trials: Vec<Trial> = together.into_iter().chain(alone).map(Test::trial).collect();
    let chosen = trials.iter().filter(|trial| !arguments.is_filtered_out(trial));
    let unasked = chosen.clone().filter(|trial| arguments.is_ignored(trial)).count();
    let chosen = chosen.count();

    std::panic::set_hook(Box::new(|panic| PANIC.set(panic.to_string())));
    processes::stop_all_on_signals();
    let conclusion = libtest_mimic::run(&arguments, trials);
    processes::end();
    if arguments.list {
        return ExitCode::SUCCESS;
    }
    if chosen == 0 {
        println!("no test is called so; --list shows all of them");
        return ExitCode::FAILURE;
    }

    for (path, (time, figures)) in RAN.lock().unwrap().iter().filter(|(_, (_, figures))| !figures.is_empty())
    {
        println!("# {path} ({time}): {figures}");
    }
    let skipped = SKIPPED.lock().unwrap();
    for (path, (reason, _)) in skipped.iter() {
        println!("skipped: {path}: {reason}");
    }
    if unasked > 0 {
        println!("not asked for: {unasked} (--include-ignored runs them too)");
    }
    let reasons: Vec<&str> = skipped.values().map(|(reason, _)| reason.as_str()).collect();
    let reasons = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join("; ")) };
    let (passed, failed) = (conclusion.num_passed, conclusion.num_failed);
    println!("{passed} passed, {failed} failed, {} skipped{reasons}", skipped.len());
    conclusion.exit_code()
}
