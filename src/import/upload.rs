//! Uploads each missing blob once, mostly in file order; each image is completed as soon as its blobs have arrived.

use futures_util::StreamExt;

use super::complete::complete_all;
use super::run::{Arrived, Import, Run, Sent, Settled};
use crate::plan::sending_order;

/// Sends what is missing, many blobs at once.
pub async fn run(import: &Import<'_>, each: &Settled<'_>) -> (Vec<Arrived>, Sent) {
    let run = Run::new(import);
    let sizes: Vec<u64> = import.plan.uploads.iter().map(|upload| upload.size).collect();
    let uploads = futures_util::stream::iter(sending_order(&sizes, import.jobs))
        .map(|at| run.upload(at, &import.plan.uploads[at]))
        .buffer_unordered(import.jobs.max(1))
        .for_each(|()| futures_util::future::ready(()));
    let ((), arrived) = tokio::join!(uploads, complete_all(&run, each));
    (arrived, run.sent())
}
