//! Events that are read, and made into rows, while those before them are written.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::task::JoinHandle;

use super::handler::{Handler, Rows};
use super::recorded::Recorded;
use super::subscription::Subscription;
use crate::StoreError;

/// So many events are read at once. Two such chunks are held at most, however long the log is.
const CHUNK: i64 = 2_000;

/// A stretch of the log: the events of it that the handler reads, with the rows to be written for all of them, where it
/// makes such.
pub(super) struct Piece {
    /// The stretch begins behind this ordinal.
    after: i64,
    /// Its last ordinal. What lies between is of kinds that the handler takes nothing of.
    pub to: i64,
    pub events: Vec<Recorded>,
    /// None for a single event that its handler applies by itself.
    pub rows: Option<Box<dyn Rows>>,
}

impl Piece {
    /// One piece where all of `events` have rows, otherwise each by itself.
    fn of(handler: &dyn Handler, after: i64, to: i64, events: Vec<Recorded>) -> Vec<Self> {
        match handler.rows(&events) {
            Ok(rows @ Some(_)) => vec![Self { after, to, events, rows }],
            // Which one cannot be read is found when they are applied.
            Ok(None) | Err(_) => Self::each(after, to, events),
        }
    }

    /// Each event by itself, and what is left behind the last one.
    fn each(mut after: i64, to: i64, events: Vec<Recorded>) -> Vec<Self> {
        let mut pieces = Vec::with_capacity(events.len() + 1);
        for event in events {
            let to = event.ordinal;
            pieces.push(Self { after, to, events: vec![event], rows: None });
            after = to;
        }
        if after < to {
            pieces.push(Self { after, to, events: vec![], rows: None });
        }
        pieces
    }

    /// Its events, each by itself, without rows: to find the one that cannot be applied.
    pub fn singly(&self) -> Vec<Self> {
        Self::each(self.after, self.to, self.events.clone())
    }
}

/// Read ahead of one checkpoint. What is sealed never changes, so nothing that was read goes stale.
#[derive(Default)]
pub(crate) struct ReadAhead(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// Pieces that follow each other, first one first.
    read: Vec<Piece>,
    coming: Option<Coming>,
}

struct Coming {
    after: i64,
    chunk: JoinHandle<Result<Vec<Piece>, StoreError>>,
}

impl ReadAhead {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes back what was not applied.
    pub(super) fn give_back(&self, pieces: Vec<Piece>) {
        self.lock().read = pieces;
    }
}

impl Subscription {
    /// Events after `position`, up to `limit` at most; more of them are on their way when it returns.
    pub(super) async fn next_pieces(&self, position: i64, limit: i64) -> Result<Vec<Piece>, StoreError> {
        let ahead = &self.course.ahead;
        let (mut read, coming) = {
            let mut inner = ahead.lock();
            (mem::take(&mut inner.read), inner.coming.take())
        };
        // A rebuild never goes beyond the version that readers see.
        while read.last().is_some_and(|piece| piece.to > limit) {
            read.pop();
        }
        let follows = read.first().is_some_and(|piece| piece.after == position);
        let pieces = match coming {
            coming if follows => {
                ahead.lock().coming = coming;
                read
            }
            // A reader that was cancelled or has failed is no reason to fail here: it is read once more.
            Some(Coming { after, chunk }) if after == position && after + CHUNK <= limit => match chunk.await
            {
                Ok(Ok(pieces)) => pieces,
                Ok(Err(_)) | Err(_) => self.read_pieces(position, CHUNK).await?,
            },
            _ => self.read_pieces(position, CHUNK.min(limit - position)).await?,
        };
        let last = pieces.last().map_or(position, |piece| piece.to);
        let mut inner = ahead.lock();
        if inner.coming.is_none() && limit - last >= CHUNK {
            let reading = self.clone();
            let chunk = tokio::spawn(async move { reading.read_pieces(last, CHUNK).await });
            inner.coming = Some(Coming { after: last, chunk });
        }
        Ok(pieces)
    }

    /// Reads the events of the next `count` ordinals, all of them sealed, and makes their rows, in pieces of which
    /// several fit into a step.
    async fn read_pieces(&self, position: i64, count: i64) -> Result<Vec<Piece>, StoreError> {
        let kinds = self.handler.on_unknown().reads();
        let mut events = self.reader.of_kinds_after(kinds, position, count).await?.into_iter().peekable();
        let (pace, end) = (self.course.pace(), position + count);
        let (mut pieces, mut after) = (vec![], position);
        while after < end {
            let part: Vec<_> = events.by_ref().take(pace).collect();
            // Whatever stands behind the last event of all belongs to its piece.
            let to = part.last().filter(|_| events.peek().is_some()).map_or(end, |last| last.ordinal);
            pieces.extend(Piece::of(&*self.handler, after, to, part));
            after = to;
        }
        Ok(pieces)
    }
}
