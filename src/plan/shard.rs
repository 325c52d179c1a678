//! Splits one import among several machines.
//!
//! The same bundle, selection and number of shards give the same split everywhere, whatever a registry has. Every image
//! is in one shard. Images that share blobs stay together as long as no shard gets more than [`BALANCE`] times its
//! part.

use std::collections::HashMap;

use crate::archive::{ArchiveError, BundleManifest, Contents, Manifests, fates, roots};
use crate::image::{Digest, Reference, short_position};

/// The largest permitted ratio of a shard's work to the average.
const BALANCE: f64 = 1.10;
/// The cost of a blob's requests, expressed in bytes.
const PER_BLOB: u64 = 32 << 10;

/// The assignment of images to shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shards {
    /// The shard of every image of the bundle; none if the image is not selected.
    pub of_image: Vec<Option<usize>>,
    /// Bytes of the blobs of each shard.
    pub bytes: Vec<u64>,
    /// Bytes that are in more than one shard, counted once for each beyond the first.
    pub repeated: u64,
}

/// An image with the positions of its distinct blobs.
struct Load {
    image: usize,
    blobs: Vec<u32>,
    cost: u64,
}

impl Shards {
    /// Splits the `selected` images of a bundle among `count` shards.
    pub fn new(
        bundle: &BundleManifest,
        manifests: &dyn Manifests,
        selected: &dyn Fn(&Reference) -> bool,
        count: usize,
    ) -> Result<Self, ArchiveError> {
        let (mut loads, sizes) = loads(bundle, manifests, selected)?;
        let split = balanced(&mut loads, &sizes, count);
        let mut of_image = vec![None; bundle.images.len()];
        for (load, shard) in loads.iter().zip(&split.shards) {
            of_image[load.image] = Some(*shard);
        }
        let repeated = split.bytes.iter().sum::<u64>() - sizes.iter().sum::<u64>();
        Ok(Self { of_image, bytes: split.bytes, repeated })
    }
}

/// The assignment of loads to shards.
struct Split {
    /// By load.
    shards: Vec<usize>,
    /// By shard.
    bytes: Vec<u64>,
    costs: Vec<u64>,
}

/// The first split that is even enough, or the most even one. Sorts `loads`.
fn balanced(loads: &mut [Load], sizes: &[u64], count: usize) -> Split {
    // Large ones first, with images that share blobs next to each other: images with the same base are adjacent.
    loads.sort_by(|a, b| b.cost.cmp(&a.cost).then_with(|| a.blobs.cmp(&b.blobs)).then(a.image.cmp(&b.image)));
    let distinct: u64 = sizes.iter().map(|size| size + PER_BLOB).sum();
    let part = distinct.div_ceil(count.max(1) as u64);
    let mut best = split(loads, sizes, count, part);
    // Blobs that several shards need make the shards larger.
    for percent in 101..=300 {
        if best.unevenness() <= BALANCE {
            break;
        }
        let other = split(loads, sizes, count, part.saturating_mul(percent) / 100);
        if other.unevenness() < best.unevenness() {
            best = other;
        }
    }
    best
}

impl Split {
    /// How much more than the average the busiest shard has to do.
    #[expect(clippy::cast_precision_loss, reason = "a ratio")]
    fn unevenness(&self) -> f64 {
        let (most, sum) = (self.costs.iter().max().copied().unwrap_or(0), self.costs.iter().sum::<u64>());
        if sum == 0 { 1.0 } else { most as f64 * self.costs.len() as f64 / sum as f64 }
    }
}

/// The selected images with the blobs that they consist of, and the size of each distinct blob.
fn loads(
    bundle: &BundleManifest,
    manifests: &dyn Manifests,
    selected: &dyn Fn(&Reference) -> bool,
) -> Result<(Vec<Load>, Vec<u64>), ArchiveError> {
    let inclusion = fates(bundle);
    let mut known: HashMap<Digest, u32> = HashMap::new();
    let mut sizes = Vec::new();
    let mut loads = Vec::new();
    let all = roots(bundle).into_iter().take(bundle.images.len()).enumerate();
    for (image, root) in all.filter(|(image, _)| selected(&bundle.images[*image].name)) {
        let contents = Contents::collect(&[root], manifests, &inclusion)?;
        let mut blobs: Vec<u32> = Vec::new();
        let mut cost = 0;
        for blob in &contents.blobs {
            cost += blob.size + PER_BLOB;
            blobs.push(*known.entry(blob.digest).or_insert_with(|| {
                sizes.push(blob.size);
                short_position(sizes.len() - 1)
            }));
        }
        blobs.sort_unstable();
        loads.push(Load { image, blobs, cost });
    }
    Ok((loads, sizes))
}

/// Gives every image to the shard to which it adds the least and that stays below `most`; otherwise to the least busy
/// one.
fn split(loads: &[Load], sizes: &[u64], count: usize, most: u64) -> Split {
    let mut held = vec![vec![false; sizes.len()]; count];
    let (mut bytes, mut costs) = (vec![0; count], vec![0; count]);
    let mut shards = Vec::with_capacity(loads.len());
    for load in loads {
        let adds = |held: &Vec<bool>| -> u64 {
            let new = load.blobs.iter().filter(|blob| !held[**blob as usize]);
            new.map(|blob| sizes[*blob as usize] + PER_BLOB).sum()
        };
        let after: Vec<(u64, u64)> =
            held.iter().zip(&costs).map(|(held, cost)| (adds(held), *cost)).collect();
        let fitting = (0..count).filter(|shard| after[*shard].0 + after[*shard].1 <= most);
        let shard = fitting
            .min_by_key(|shard| after[*shard])
            .or_else(|| (0..count).min_by_key(|shard| after[*shard].0 + after[*shard].1))
            .unwrap_or(0);
        costs[shard] += after[shard].0;
        for blob in load.blobs.iter().map(|blob| *blob as usize) {
            if !std::mem::replace(&mut held[shard][blob], true) {
                bytes[shard] += sizes[blob];
            }
        }
        shards.push(shard);
    }
    Split { shards, bytes, costs }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Images of some layers of their own on one of some bases.
    fn catalog(images: usize, bases: usize, seed: u64) -> (Vec<Load>, Vec<u64>) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut sizes: Vec<u64> = (0..bases).map(|_| rng.u64(1_000_000..80_000_000)).collect();
        let mut loads = Vec::new();
        for image in 0..images {
            let mut blobs = vec![u32::try_from(rng.usize(..bases)).unwrap()];
            for _ in 0..rng.usize(1..6) {
                blobs.push(u32::try_from(sizes.len()).unwrap());
                sizes.push(rng.u64(1000..5_000_000));
            }
            let cost = blobs.iter().map(|blob| sizes[*blob as usize] + PER_BLOB).sum();
            loads.push(Load { image, blobs, cost });
        }
        (loads, sizes)
    }

    proptest! {
        #[test]
        fn shards_are_even_and_have_every_image_once(images in 60usize..300, bases in 1usize..9, count in 1usize..7, seed in any::<u64>()) {
            let (mut loads, sizes) = catalog(images, bases, seed);
            let split = balanced(&mut loads, &sizes, count);
            prop_assert_eq!(split.shards.len(), images);
            prop_assert!(split.shards.iter().all(|shard| *shard < count));
            prop_assert!(split.unevenness() <= BALANCE, "{}", split.unevenness());
            for shard in 0..count {
                let own = loads.iter().zip(&split.shards).filter(|(_, own)| **own == shard);
                let blobs: std::collections::HashSet<u32> = own.flat_map(|(load, _)| load.blobs.clone()).collect();
                let bytes: u64 = blobs.iter().map(|blob| sizes[*blob as usize]).sum();
                prop_assert_eq!(bytes, split.bytes[shard]);
            }
            loads.reverse();
            prop_assert_eq!(balanced(&mut loads, &sizes, count).shards, split.shards);
        }
    }

    #[test]
    fn a_few_images_on_large_bases_are_split_evenly_too() {
        // Parts that grow in steps of 5 % left one shard with 11 % more than the average.
        let (mut loads, sizes) = catalog(62, 2, 13_022_532_684_123_532_061);
        assert!(balanced(&mut loads, &sizes, 4).unevenness() <= BALANCE);
    }

    #[test]
    fn what_shares_a_large_base_stays_together() {
        // Four families of equal weight for four shards: no base has to cross twice.
        let mut sizes = vec![100_000_000; 4];
        let mut loads = Vec::new();
        for image in 0..40 {
            sizes.push(1_000_000);
            let blobs = vec![u32::try_from(image % 4).unwrap(), u32::try_from(4 + image).unwrap()];
            loads.push(Load { image, blobs, cost: 101_000_000 + 2 * PER_BLOB });
        }
        let split = balanced(&mut loads, &sizes, 4);
        assert_eq!(split.bytes, [110_000_000; 4]);
        // One image alone is not split; three of four have nothing to do.
        let mut one = vec![Load { image: 0, blobs: vec![0], cost: sizes[0] + PER_BLOB }];
        let split = balanced(&mut one, &sizes[..1], 4);
        assert_eq!(split.bytes.iter().filter(|bytes| **bytes > 0).count(), 1);
        assert_eq!(balanced(&mut [], &[], 3).bytes, [0; 3]);
    }
}
