//! What every run needs: the reporter, cancellation and the format of results; also the report of the run, the checks
//! before it, the files that it writes and the sidecar files of a bundle.

pub(crate) mod console;
pub(crate) mod output_files;
pub(crate) mod preflight;
pub(crate) mod run_report;
pub(crate) mod sidecar;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;

use crate::app::failure::Failure;
use crate::cli::{OutputArgs, ResultFormat};
use crate::report::Reporter;

/// Says that an import which a signal ends before its first byte has sent nothing, for [`Session::stoppable`].
pub(crate) const NOTHING_SENT: &str = "nothing has been sent yet";

#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub reporter: Reporter,
    /// Cancelled by the first Ctrl-C.
    pub cancel: CancellationToken,
    pub format: ResultFormat,
}

impl Session {
    pub(crate) fn new(output: &OutputArgs, cancel: CancellationToken) -> Self {
        Self { reporter: Reporter::new(output.progress, output.verbose), cancel, format: output.format }
    }

    /// The result of `work`, unless a signal comes first; `kept` then says which part of the run is kept.
    pub(crate) async fn stoppable<T>(&self, kept: &str, work: impl Future<Output = T>) -> Result<T, Failure> {
        tokio::select! {
            result = work => Ok(result),
            () = self.cancel.cancelled() => Err(Failure::interrupted(kept)),
        }
    }

    /// The result of long work on a thread of its own. The work reports how many bytes are done and checks the flag
    /// that requests a stop. After a signal it is still waited for, but its result is dropped.
    pub(crate) async fn blocking<T: Send + 'static, E>(
        &self,
        kept: &str,
        work: impl FnOnce(&(dyn Fn(u64) + Sync), &AtomicBool) -> Result<T, E> + Send + 'static,
    ) -> anyhow::Result<T>
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let stop = Arc::new(AtomicBool::new(false));
        let (flag, reporter) = (stop.clone(), self.reporter.clone());
        let mut task = tokio::task::spawn_blocking(move || work(&|bytes| reporter.advance(bytes), &flag));
        tokio::select! {
            done = &mut task => Ok(done??),
            () = self.cancel.cancelled() => {
                stop.store(true, Ordering::Relaxed);
                let _ = task.await;
                Err(Failure::interrupted(kept).into())
            }
        }
    }
}
