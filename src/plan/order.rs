//! The order in which blobs are sent: the order of the file, unless that would make the import slower.

/// Positions of `sizes` (bytes, in file order), in the order in which to start them, `jobs` at a time.
///
/// A medium is read fastest from front to back, and then images are completed one after another. But a large blob that
/// is started last is sent alone while the other transfers are idle. So the largest remaining blob is started as soon
/// as it is as large as each transfer's share of everything that remains.
pub fn sending_order(sizes: &[u64], jobs: usize) -> Vec<usize> {
    let jobs = u128::try_from(jobs.max(1)).unwrap_or(u128::MAX);
    let mut by_size: Vec<usize> = (0..sizes.len()).collect();
    by_size.sort_by_key(|at| std::cmp::Reverse(sizes[*at]));
    let (mut largest, mut in_file) = (by_size.into_iter().peekable(), (0..sizes.len()).peekable());
    let mut begun = vec![false; sizes.len()];
    let mut left: u128 = sizes.iter().map(|size| u128::from(*size)).sum();
    let mut order = Vec::with_capacity(sizes.len());
    loop {
        while largest.next_if(|at| begun[*at]).is_some() {}
        while in_file.next_if(|at| begun[*at]).is_some() {}
        let (Some(large), Some(next)) = (largest.peek(), in_file.peek()) else {
            return order;
        };
        let outlasts = u128::from(sizes[*large]).saturating_mul(jobs) >= left;
        let at = if outlasts { *large } else { *next };
        begun[at] = true;
        left -= u128::from(sizes[at]);
        order.push(at);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// When the last of `jobs` equally fast transfers ends, if they begin in this order.
    fn finish(sizes: &[u64], order: &[usize], jobs: usize) -> u64 {
        let mut busy = vec![0; jobs];
        for at in order {
            let free = busy.iter_mut().min().unwrap();
            *free += sizes[*at];
        }
        busy.into_iter().max().unwrap()
    }

    #[test]
    fn a_large_blob_at_the_end_of_the_file_does_not_wait_for_its_turn() {
        let sizes = [10, 10, 10, 10, 10, 10, 10, 10, 60];
        assert_eq!(sending_order(&sizes, 2), [0, 1, 8, 2, 3, 4, 5, 6, 7]);
        assert_eq!(finish(&sizes, &sending_order(&sizes, 2), 2), 70);
        assert_eq!(finish(&sizes, &(0..9).collect::<Vec<_>>(), 2), 100);
    }

    #[test]
    fn blobs_of_one_size_go_in_file_order_and_so_does_everything_with_one_transfer() {
        assert_eq!(sending_order(&[7; 9], 4), (0..9).collect::<Vec<_>>());
        assert_eq!(sending_order(&[1, 2, 300, 4, 5], 1), [0, 1, 2, 3, 4]);
        assert!(sending_order(&[], 4).is_empty());
    }

    proptest! {
        #[test]
        fn every_blob_goes_once_and_no_transfer_ends_much_after_the_others(
            sizes in proptest::collection::vec(0u64..1000, 0..60), jobs in 1usize..9
        ) {
            let order = sending_order(&sizes, jobs);
            let mut sorted = order.clone();
            sorted.sort_unstable();
            prop_assert_eq!(sorted, (0..sizes.len()).collect::<Vec<_>>());
            let total: u64 = sizes.iter().sum();
            let fair = (total.div_ceil(jobs as u64)).max(sizes.iter().copied().max().unwrap_or(0));
            prop_assert!(finish(&sizes, &order, jobs) <= fair + fair / 2);
        }
    }
}
