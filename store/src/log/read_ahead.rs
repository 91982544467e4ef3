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

/// Events that follow each other, with the rows to be written for all of them, where their handler makes such.
pub(super) struct Piece {
    pub events: Vec<Recorded>,
    /// None for a single event that its handler applies by itself.
    pub rows: Option<Box<dyn Rows>>,
}

impl Piece {
    /// One piece where all of `events` have rows, otherwise each by itself.
    fn of(handler: &dyn Handler, events: Vec<Recorded>) -> Vec<Self> {
        match handler.rows(&events) {
            Ok(rows @ Some(_)) => vec![Self { events, rows }],
            // Which one cannot be read is found when they are applied.
            Ok(None) | Err(_) => events.into_iter().map(Self::single).collect(),
        }
    }

    fn single(event: Recorded) -> Self {
        Self { events: vec![event], rows: None }
    }

    /// Its events, each by itself, without rows: to find the one that cannot be applied.
    pub fn singly(&self) -> impl Iterator<Item = Self> + '_ {
        self.events.iter().cloned().map(Self::single)
    }

    fn last(&self) -> Option<i64> {
        self.events.last().map(|event| event.ordinal)
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
        while read.last().and_then(Piece::last).is_some_and(|last| last > limit) {
            read.pop();
        }
        let follows = read.first().is_some_and(|piece| piece.events[0].ordinal == position + 1);
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
        let last = pieces.last().and_then(Piece::last).unwrap_or(position);
        let mut inner = ahead.lock();
        if inner.coming.is_none() && limit - last >= CHUNK {
            let reading = self.clone();
            let chunk = tokio::spawn(async move { reading.read_pieces(last, CHUNK).await });
            inner.coming = Some(Coming { after: last, chunk });
        }
        Ok(pieces)
    }

    /// Reads events and makes their rows, in pieces of which several fit into a step.
    async fn read_pieces(&self, position: i64, count: i64) -> Result<Vec<Piece>, StoreError> {
        let mut events = self.reader.after(position, count).await?.into_iter().peekable();
        let pace = self.course.pace();
        let mut pieces = vec![];
        while events.peek().is_some() {
            let events = events.by_ref().take(pace).collect();
            pieces.extend(Piece::of(&*self.handler, events));
        }
        Ok(pieces)
    }
}
