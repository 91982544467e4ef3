//! Work spread over a few threads without a trace in the result: each item is computed by one thread on its own, and
//! the results come back in the order of the items. There is no pool to fall into twice; threads live for one call.

use std::num::NonZeroUsize;
use std::sync::Mutex;
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

    /// How many they are.
    pub(crate) fn count(self) -> usize {
        self.0.get()
    }

    /// Does some work on each of the parts, which belongs to nobody else.
    ///
    /// # Panics
    /// When `work` does.
    pub(crate) fn each<P: Send>(self, parts: impl IntoIterator<Item = P>, work: impl Fn(P) + Sync) {
        let parts: Vec<Mutex<Option<P>>> = parts.into_iter().map(|part| Mutex::new(Some(part))).collect();
        self.map(parts.len(), |part| {
            let part = parts[part].lock().ok().and_then(|mut part| part.take());
            part.into_iter().for_each(&work);
        });
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

/// Columns cut where each of the parts ends: per part, its piece of every column.
///
/// # Panics
/// When the ends do not rise, or go beyond a column.
pub(crate) fn cut<'a, T>(
    columns: impl IntoIterator<Item = &'a mut Vec<T>>,
    ends: &[usize],
) -> Vec<Vec<&'a mut [T]>> {
    let mut parts: Vec<Vec<&mut [T]>> = ends.iter().map(|_| Vec::new()).collect();
    for column in columns {
        let (mut rest, mut start) = (column.as_mut_slice(), 0);
        for (part, &end) in parts.iter_mut().zip(ends) {
            let (piece, after) = rest.split_at_mut(end - start);
            part.push(piece);
            (rest, start) = (after, end);
        }
    }
    parts
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

    #[test]
    fn each_part_of_some_columns_is_worked_on_once() {
        let mut columns = vec![vec![0; 10], vec![100; 10]];
        let ends = [3, 3, 10];
        let parts = cut(&mut columns, &ends).into_iter().enumerate();
        Threads::new(2).unwrap().each(parts, |(part, columns)| {
            columns.into_iter().flatten().for_each(|value| *value += part + 1);
        });
        assert_eq!(columns[0], [1, 1, 1, 3, 3, 3, 3, 3, 3, 3]);
        assert_eq!(columns[1], columns[0].iter().map(|value| value + 100).collect::<Vec<_>>());
    }
}
