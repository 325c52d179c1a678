//! `import --shard`: selects the images of the bundle that this machine imports.

use std::collections::HashSet;

use crate::app::failure::Failure;
use crate::archive::ImageStore;
use crate::cli::{ImportArgs, ShardArg};
use crate::image::{Reference, matches};
use crate::plan::Shards;
use crate::report::{bytes, count};

/// The variable in which an Indexed Job of Kubernetes gives each pod its index, counted from 0.
const COMPLETION_INDEX: &str = "JOB_COMPLETION_INDEX";

/// The shard of one machine.
pub(crate) struct Share {
    pub(crate) images: HashSet<Reference>,
    /// The number of images in all shards together.
    pub(crate) of: usize,
    /// The description for the user.
    pub(crate) text: String,
}

/// The images that this run imports; none without `--shard`.
pub(crate) fn of(args: &ImportArgs, image_store: &dyn ImageStore) -> anyhow::Result<Option<Share>> {
    let Some(ShardArg { index, count: number }) = args.shard else {
        return Ok(None);
    };
    let index = index.map_or_else(|| completion_index(number), Ok)?;
    let bundle = image_store.bundle();
    let selected = |name: &Reference| matches(&args.only, name);
    let shards = Shards::new(bundle, image_store, &selected, number)?;
    let own = bundle.images.iter().zip(&shards.of_image).filter(|(_, shard)| **shard == Some(index));
    let images: HashSet<Reference> = own.map(|(image, _)| image.name.clone()).collect();
    let all = shards.of_image.iter().flatten().count();
    let text = format!(
        "part {} of {number}: {} of {all}, {} of {}; of these, {} are in several parts",
        index + 1,
        count(images.len(), "image"),
        bytes(shards.bytes[index]),
        bytes(shards.bytes.iter().sum::<u64>()),
        bytes(shards.repeated),
    );
    Ok(Some(Share { images, of: all, text }))
}

fn completion_index(number: usize) -> anyhow::Result<usize> {
    let text = std::env::var(COMPLETION_INDEX).map_err(|_| {
        Failure::usage(format!("--shard {number} reads its part from {COMPLETION_INDEX}, which is not set"))
            .hint(format!("name the part: --shard 1/{number}"))
    })?;
    text.parse().ok().filter(|index| *index < number).ok_or_else(|| {
        Failure::usage(format!("{COMPLETION_INDEX} is {text:?}, but must be a number from 0 below {number}"))
            .hint("set the Job's completions to the number of parts")
            .into()
    })
}
