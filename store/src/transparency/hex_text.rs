//! Digests as hexadecimal text in JSON.

use serde::{Deserialize, Deserializer, Serializer, de::Error};

use crate::log::Hash;

fn parse<E: Error>(text: &str) -> Result<Hash, E> {
    let mut hash = Hash::default();
    hex::decode_to_slice(text, &mut hash).map_err(|_| E::custom("a digest is 64 hexadecimal digits"))?;
    Ok(hash)
}

pub(super) fn serialize<S: Serializer>(hash: &Hash, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&hex::encode(hash))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Hash, D::Error> {
    parse(&String::deserialize(deserializer)?)
}

/// A list of them.
pub(super) mod list {
    use super::{Deserialize, Deserializer, Hash, Serializer, parse};

    pub(in crate::transparency) fn serialize<S: Serializer>(
        hashes: &[Hash],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(hashes.iter().map(hex::encode))
    }

    pub(in crate::transparency) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Hash>, D::Error> {
        Vec::<String>::deserialize(deserializer)?.iter().map(|text| parse(text)).collect()
    }
}
