//! Work spread over a few threads without a trace in the result: each item is computed by one thread on its own, and
//! the results come back in the order of the items. There is no pool to fall into twice; threads live for one call.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many threads may work at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threads(NonZeroUsize);

impl Threads {
    /// One: the caller's own.
    pub const ONE: Self = Self(NonZeroUsize::MIN);

    /// As many as the process may use.
    pub fn available() -> Self {
        Self(std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN))
    }

    /// A number of threads; nothing for zero.
    pub fn new(count: usize) -> Option<Self> {
        NonZeroUsize::new(count).map(Self)
    }

    /// Computes `work(0..items)`, the last items first, as in a walk-forward they are the longest.
    ///
    /// # Panics
    /// When `work` does.
    pub(crate) fn map<R: Send>(self, items: usize, work: impl Fn(usize) -> R + Sync) -> Vec<R> {
        let helpers = self.0.get().min(items).saturating_sub(1);
        let taken = AtomicUsize::new(0);
        let take = || {
            let mut done = Vec::new();
            loop {
                let turn = taken.fetch_add(1, Ordering::Relaxed);
                let Some(item) = items.checked_sub(turn + 1) else { return done };
                done.push((item, work(item)));
            }
        };
        let mut done = std::thread::scope(|scope| {
            let helpers: Vec<_> = (0..helpers).map(|_| scope.spawn(take)).collect();
            let mut done = take();
            for helper in helpers {
                done.extend(helper.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
            done
        });
        done.sort_by_key(|&(item, _)| item);
        done.into_iter().map(|(_, result)| result).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn results_come_back_in_the_order_of_the_items_whatever_the_number_of_threads() {
        for threads in 1..5 {
            let squares = Threads::new(threads).unwrap().map(17, |item| item * item);
            assert_eq!(squares, (0..17).map(|item| item * item).collect::<Vec<_>>());
        }
        assert_eq!(Threads::new(2).unwrap().map(0, |item| item), Vec::<usize>::new());
    }
}
