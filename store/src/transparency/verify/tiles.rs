//! The tiles proofs are made from, against each other: the root of each, and the hashes of those above the leaves.
//!
//! That the lowest ones hold the digests of the events is seen on the walk; so what is right here follows from them.

use std::ops::RangeInclusive;

use sqlx::PgPool;

use crate::StoreError;
use crate::log::Hash;
use crate::transparency::tiles::{WIDTH, hash, perfect_root};

/// Tiles read at once.
const AT_ONCE: i64 = 1_024;

/// A tile that is not what the ones below it make.
pub(super) struct BadTile {
    pub(super) level: i16,
    pub(super) index: i64,
    /// The events below it.
    pub(super) events: RangeInclusive<i64>,
}

/// Place, hashes and root of a tile, and the roots of those below it, one after the other.
type Row = (i64, Vec<u8>, Vec<u8>, Option<Vec<u8>>);

/// The tiles over the events up to `end` that are wrong, or missing before others of their level.
pub(super) async fn wrong(pool: &PgPool, end: i64) -> Result<Vec<BadTile>, StoreError> {
    let mut wrong = Vec::new();
    let (mut level, mut width) = (0_i16, WIDTH as i64);
    while width <= end {
        wrong.extend(of_level(pool, level, width, end / width).await?);
        let Some(wider) = width.checked_mul(WIDTH as i64) else { break };
        (level, width) = (level + 1, wider);
    }
    Ok(wrong)
}

/// Those of one level, whose tiles cover `width` events each; `whole` of them can be full.
async fn of_level(pool: &PgPool, level: i16, width: i64, whole: i64) -> Result<Vec<BadTile>, StoreError> {
    let mut wrong = Vec::new();
    let mut due = 0;
    loop {
        let tiles: Vec<Row> = sqlx::query_as(
            "select t.index, t.hashes, t.root,
                    (select string_agg(b.root, ''::bytea order by b.index) from log_tiles b
                      where $1 > 0 and b.level = $1 - 1 and b.index >= t.index * $5 and b.index < (t.index + 1) * $5)
               from log_tiles t where t.level = $1 and t.index >= $2 and t.index < $3 order by t.index limit $4",
        )
        .bind(level)
        .bind(due)
        .bind(whole)
        .bind(AT_ONCE)
        .bind(WIDTH as i64)
        .fetch_all(pool)
        .await?;
        let Some((last, ..)) = tiles.last() else { return Ok(wrong) };
        let last = *last;
        let looked_at = tokio::task::spawn_blocking(move || {
            let fits = tiles.into_iter().map(|tile| Ok((tile.0, fits(level, &tile)?)));
            fits.collect::<Result<Vec<_>, StoreError>>()
        });
        let looked_at =
            looked_at.await.map_err(|_| StoreError::Broken("hashing a tile has panicked".to_owned()))??;
        for (index, fits) in looked_at {
            let bad = (due..index).chain((!fits).then_some(index));
            wrong.extend(bad.map(|index| BadTile {
                level,
                index,
                events: index * width + 1..=(index + 1) * width,
            }));
            due = index + 1;
        }
        due = last + 1;
    }
}

/// Whether the root of a tile is the one over its hashes, and those are the roots of the tiles below.
fn fits(level: i16, (_, hashes, root, below): &Row) -> Result<bool, StoreError> {
    let nodes: Vec<Hash> = hashes.chunks(size_of::<Hash>()).map(hash).collect::<Result<_, _>>()?;
    let is_of_those_below = level == 0 || below.as_ref() == Some(hashes);
    Ok(is_of_those_below && perfect_root(&nodes)[..] == root[..])
}
