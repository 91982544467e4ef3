//! The heads the log is held against: those it has recorded, those the reader brought, and the sequencer's own.

use std::iter::Peekable;
use std::vec;

use super::report::{Checked, CheckpointFailure};
use crate::log::Hash;
use crate::transparency::checkpoint::{Checkpoint, TreeHead};
use crate::transparency::key::VerifierKey;

/// A head at one size.
struct Mark {
    size: i64,
    root: Hash,
    /// The note it comes from and whether the reader brought it; none for the sequencer's own head.
    note: Option<(String, bool)>,
}

/// Heads in the order of their sizes, as the walk comes by them.
pub(super) struct Marks {
    ahead: Peekable<vec::IntoIter<Mark>>,
    pub(super) checked: Checked,
}

impl Marks {
    /// Reads all notes; those that are not signed by `key` fail at once.
    pub(super) fn new(
        key: Option<&VerifierKey>,
        recorded: Vec<Checkpoint>,
        given: &[String],
        sealed: Option<(i64, Hash)>,
    ) -> Self {
        let mut checked = Checked::default();
        let mut marks: Vec<Mark> =
            sealed.map(|(size, root)| Mark { size, root, note: None }).into_iter().collect();
        let recorded = recorded.into_iter().map(|row| (row.note, Some((row.size, row.root))));
        for (note, row) in recorded.chain(given.iter().map(|note| (tidy(note), None))) {
            let is_given = row.is_none();
            match opened(&note, row, key) {
                Ok(head) => {
                    marks.push(Mark { size: head.size, root: head.root, note: Some((note, is_given)) });
                }
                Err(reason) => {
                    checked.checked += 1;
                    let size = row.map(|(size, _)| size);
                    checked.failures.push(CheckpointFailure { size, note, reason, given: is_given });
                }
            }
        }
        marks.sort_by_key(|mark| mark.size);
        Self { ahead: marks.into_iter().peekable(), checked }
    }

    /// Leaves out the heads that cover fewer events than come before the first one that is seen.
    pub(super) fn pass_over(&mut self, before: i64) {
        while self.ahead.next_if(|mark| mark.size < before).is_some() {
            self.checked.earlier += 1;
        }
    }

    /// Compares all heads of this size with the root there; false when one of them differs. None when there is none.
    pub(super) fn compare(&mut self, size: i64, root: impl FnOnce() -> Hash) -> Option<bool> {
        self.ahead.peek().filter(|mark| mark.size <= size)?;
        let root = root();
        let mut fits = true;
        while let Some(mark) = self.ahead.next_if(|mark| mark.size <= size) {
            fits &= mark.root == root;
            self.note(mark, (size, root));
        }
        Some(fits)
    }

    /// The heads beyond the end of the log all fail; the size of the largest one.
    pub(super) fn beyond(&mut self, end: i64, root: Hash) -> Option<i64> {
        let mut largest = None;
        while let Some(mark) = self.ahead.next() {
            largest = Some(mark.size);
            self.note(mark, (end, root));
        }
        largest
    }

    fn note(&mut self, mark: Mark, (size, root): (i64, Hash)) {
        let Some((note, given)) = mark.note else { return };
        self.checked.checked += 1;
        let reason = if mark.size > size {
            format!("the log ends at {size}")
        } else if mark.root == root {
            return;
        } else {
            format!("the log has the root {} there", hex::encode(root))
        };
        self.checked.failures.push(CheckpointFailure { size: Some(mark.size), note, reason, given });
    }
}

/// What people copy out of a mail has lost or gained breaks and spaces around it; its signature has not.
fn tidy(note: &str) -> String {
    let lines: Vec<&str> = note.trim().lines().map(str::trim_end).collect();
    lines.join("\n") + "\n"
}

fn opened(note: &str, row: Option<(i64, Hash)>, key: Option<&VerifierKey>) -> Result<TreeHead, String> {
    let key = key.ok_or("there is no key to verify it with")?;
    let head = TreeHead::open(note, key).map_err(|refused| refused.to_string())?;
    match row {
        Some((size, root)) if (size, root) != (head.size, head.root) => {
            Err(format!("it stands beside the size {size} and the root {}", hex::encode(root)))
        }
        Some(_) | None => Ok(head),
    }
}
