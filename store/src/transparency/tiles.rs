//! The tree of the log as the database keeps it: full tiles of 256 hashes, and `event_log` for the ragged end.
//!
//! A tile of level L holds 256 nodes of height 8 L (C2SP `tlog-tiles`); its own root is one node of the level above.
//! So every perfect subtree lies in one tile, and a proof about any of ten million events reads at most three tiles
//! on its way and three at the ragged end. Where tiles are missing, the hashes are made from what is below them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;

use sqlx::PgPool;

use super::proof::{
    ConsistencyProof, InclusionProof, Node, consistency_path, inclusion_path, joined, perfect,
};
use crate::log::Hash;
use crate::log::tree::leaf;
use crate::{Database, StoreError};

/// The hashes in a tile.
pub(super) const WIDTH: u64 = 256;

/// The levels of the tree between two levels of tiles.
const HEIGHT: u32 = 8;

/// Tiles written in one transaction.
const AT_ONCE: u64 = 32;

/// The tree over the sealed log. Clones share the pool.
#[derive(Debug, Clone)]
pub struct LogTree {
    pool: PgPool,
}

/// Names a tile.
type Place = (u32, u64);

/// The hashes of some tiles, as far as a tree of some size has them.
type Tiles = HashMap<Place, Vec<Hash>>;

impl LogTree {
    /// The tree over the log in `database`.
    pub fn new(database: &Database) -> Self {
        Self { pool: database.pool().clone() }
    }

    /// The root of the tree over the first `size` events; none when there are not so many.
    ///
    /// # Errors
    /// When the database fails, or the log has a hole.
    pub async fn root(&self, size: i64) -> Result<Option<Hash>, StoreError> {
        let Some(size) = self.reached(size).await? else { return Ok(None) };
        let whole = 0..size;
        let tiles = self.load(std::slice::from_ref(&whole), size).await?;
        Ok(Some(subtree(&whole, &tiles)?))
    }

    /// That the event with `ordinal` is in the tree over the first `size` events; none when it is not.
    ///
    /// # Errors
    /// When the database fails, or the log has a hole.
    pub async fn inclusion(&self, ordinal: i64, size: i64) -> Result<Option<InclusionProof>, StoreError> {
        Ok(self.inclusions(&[ordinal], size).await?.and_then(|mut proofs| proofs.pop()))
    }

    /// The same for several events, in the order given; none when one of them is not in that tree.
    ///
    /// # Errors
    /// When the database fails, or the log has a hole.
    pub async fn inclusions(
        &self,
        ordinals: &[i64],
        size: i64,
    ) -> Result<Option<Vec<InclusionProof>>, StoreError> {
        let Some(leaves) = self.reached(size).await? else { return Ok(None) };
        if ordinals.iter().any(|ordinal| !(1..=size).contains(ordinal)) {
            return Ok(None);
        }
        let path = |ordinal: &i64| inclusion_path(ordinal.unsigned_abs() - 1, leaves);
        let ranges: Vec<_> = ordinals.iter().flat_map(path).collect();
        let tiles = self.load(&ranges, leaves).await?;
        let digests: HashMap<i64, Vec<u8>> =
            sqlx::query_as("select ordinal, event_hash from event_log where ordinal = any($1)")
                .bind(ordinals)
                .fetch_all(&self.pool)
                .await?
                .into_iter()
                .collect();
        let prove = |ordinal: &i64| {
            Ok(InclusionProof {
                ordinal: *ordinal,
                size,
                leaf: hash(digests.get(ordinal).ok_or_else(hole)?)?,
                hashes: path(ordinal).iter().map(|range| subtree(range, &tiles)).collect::<Result<_, _>>()?,
            })
        };
        Ok(Some(ordinals.iter().map(prove).collect::<Result<_, StoreError>>()?))
    }

    /// That the tree over the first `to` events only adds to the one over the first `from`; none when there are not
    /// so many, or `from` is not one of `1..=to`.
    ///
    /// # Errors
    /// When the database fails, or the log has a hole.
    pub async fn consistency(&self, from: i64, to: i64) -> Result<Option<ConsistencyProof>, StoreError> {
        let Some(leaves) = self.reached(to).await? else { return Ok(None) };
        if !(1..=to).contains(&from) {
            return Ok(None);
        }
        let path = consistency_path(from.unsigned_abs(), leaves);
        let roots = [0..from.unsigned_abs(), 0..leaves];
        let tiles = self.load(&[&path[..], &roots].concat(), leaves).await?;
        Ok(Some(ConsistencyProof {
            from,
            to,
            from_root: subtree(&roots[0], &tiles)?,
            to_root: subtree(&roots[1], &tiles)?,
            hashes: path.iter().map(|range| subtree(range, &tiles)).collect::<Result<_, _>>()?,
        }))
    }

    /// Writes some of the full tiles that are missing and returns how many; 0 when none is.
    ///
    /// # Errors
    /// When the database fails, or the log has a hole.
    pub async fn fill(&self) -> Result<usize, StoreError> {
        for level in 0.. {
            let first = self.filled(level).await?;
            let there = match level {
                0 => self.head().await?,
                above => self.filled(above - 1).await?,
            };
            let last = (there / WIDTH).min(first + AT_ONCE);
            if first < last {
                return self.write(level, first..last).await;
            }
            if there < WIDTH {
                return Ok(0);
            }
        }
        Ok(0)
    }

    async fn write(&self, level: u32, tiles: Range<u64>) -> Result<usize, StoreError> {
        let nodes = self.nodes(level, tiles.start * WIDTH..tiles.end * WIDTH).await?;
        let (mut hashes, mut roots) = (Vec::new(), Vec::new());
        for tile in nodes.chunks(WIDTH as usize) {
            hashes.push(tile.concat());
            roots.push(perfect_root(tile).to_vec());
        }
        let count = roots.len();
        // Whoever else writes them writes the same.
        sqlx::query(
            "insert into log_tiles (level, index, hashes, root)
             select $1, * from unnest($2::bigint[], $3::bytea[], $4::bytea[]) on conflict do nothing",
        )
        .bind(level as i16)
        .bind(tiles.map(|index| index as i64).collect::<Vec<_>>())
        .bind(hashes)
        .bind(roots)
        .execute(&self.pool)
        .await?;
        Ok(count)
    }

    /// How many tiles of a level are there; they are written in order.
    async fn filled(&self, level: u32) -> Result<u64, StoreError> {
        let last: Option<i64> = sqlx::query_scalar("select max(index) from log_tiles where level = $1")
            .bind(level as i16)
            .fetch_one(&self.pool)
            .await?;
        Ok(last.map_or(0, |last| last.unsigned_abs() + 1))
    }

    async fn head(&self) -> Result<u64, StoreError> {
        let head: i64 =
            sqlx::query_scalar("select last_ordinal from sequencer").fetch_one(&self.pool).await?;
        Ok(head.unsigned_abs())
    }

    /// `size`, when the log has so many events and there is at least one.
    async fn reached(&self, size: i64) -> Result<Option<u64>, StoreError> {
        let head = self.head().await?;
        Ok(u64::try_from(size).ok().filter(|size| (1..=head).contains(size)))
    }

    /// The tiles in which the perfect subtrees of `ranges` lie.
    async fn load(&self, ranges: &[Range<u64>], size: u64) -> Result<Tiles, StoreError> {
        let mut tiles = Tiles::new();
        for node in ranges.iter().flat_map(perfect) {
            let place = tile_of(node);
            if let Entry::Vacant(vacant) = tiles.entry(place) {
                vacant.insert(self.tile(place, size).await?);
            }
        }
        Ok(tiles)
    }

    async fn tile(&self, (level, index): Place, size: u64) -> Result<Vec<Hash>, StoreError> {
        let full: Option<Vec<u8>> =
            sqlx::query_scalar("select hashes from log_tiles where level = $1 and index = $2")
                .bind(level as i16)
                .bind(index as i64)
                .fetch_optional(&self.pool)
                .await?;
        if let Some(bytes) = full {
            return bytes.chunks(size_of::<Hash>()).map(hash).collect();
        }
        let nodes = size >> (HEIGHT * level);
        self.nodes(level, index * WIDTH..nodes.min((index + 1) * WIDTH)).await
    }

    /// The nodes that are, or would be, the hashes of tiles of a level, made from what is below.
    async fn nodes(&self, level: u32, range: Range<u64>) -> Result<Vec<Hash>, StoreError> {
        let Some(below) = level.checked_sub(1) else { return self.leaves(range).await };
        let roots: Vec<Vec<u8>> = sqlx::query_scalar(
            "select root from log_tiles where level = $1 and index >= $2 and index < $3 order by index",
        )
        .bind(below as i16)
        .bind(range.start as i64)
        .bind(range.end as i64)
        .fetch_all(&self.pool)
        .await?;
        let mut nodes = roots.iter().map(hash).collect::<Result<Vec<_>, _>>()?;
        // They are written in order, so only the last ones can be missing.
        for index in range.start + nodes.len() as u64..range.end {
            let tile = Box::pin(self.nodes(below, index * WIDTH..(index + 1) * WIDTH)).await?;
            nodes.push(perfect_root(&tile));
        }
        Ok(nodes)
    }

    async fn leaves(&self, range: Range<u64>) -> Result<Vec<Hash>, StoreError> {
        let digests: Vec<Vec<u8>> = sqlx::query_scalar(
            "select event_hash from event_log where ordinal > $1 and ordinal <= $2 order by ordinal",
        )
        .bind(range.start as i64)
        .bind(range.end as i64)
        .fetch_all(&self.pool)
        .await?;
        if digests.len() as u64 != range.end - range.start {
            return Err(hole());
        }
        Ok(digests.iter().map(|digest| leaf(digest)).collect())
    }
}

fn tile_of(node: Node) -> Place {
    let level = node.height / HEIGHT;
    (level, (node.index << (node.height % HEIGHT)) / WIDTH)
}

/// The hash of a subtree over these leaves.
fn subtree(leaves: &Range<u64>, tiles: &Tiles) -> Result<Hash, StoreError> {
    let nodes: Vec<_> =
        perfect(leaves).into_iter().map(|node| in_tile(node, tiles)).collect::<Result<_, _>>()?;
    joined(nodes.into_iter()).ok_or_else(hole)
}

fn in_tile(node: Node, tiles: &Tiles) -> Result<Hash, StoreError> {
    let width = 1 << (node.height % HEIGHT);
    let from = (node.index * width % WIDTH) as usize;
    let tile = tiles.get(&tile_of(node)).ok_or_else(hole)?;
    tile.get(from..from + width as usize).map(perfect_root).ok_or_else(hole)
}

/// The root over a power of two of nodes.
pub(super) fn perfect_root(nodes: &[Hash]) -> Hash {
    let mut level = nodes.to_vec();
    while level.len() > 1 {
        level = level.chunks(2).filter_map(|pair| joined(pair.iter().copied())).collect();
    }
    level.first().copied().unwrap_or_default()
}

pub(super) fn hash(bytes: impl AsRef<[u8]>) -> Result<Hash, StoreError> {
    bytes.as_ref().try_into().map_err(|_| StoreError::Broken("a digest does not have 32 bytes".to_owned()))
}

fn hole() -> StoreError {
    StoreError::Broken("the sealed log has a hole: `almanac verify` names it".to_owned())
}
