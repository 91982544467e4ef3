//! A verifier of somebody else's: written from the public descriptions (RFC 6962, RFC 8785, C2SP) and the documentation
//! of this service, with nothing of its code.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, UnparsedPublicKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub type Hash = [u8; 32];

/// How long a log is, and the root of the tree over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    pub size: u64,
    pub root: Hash,
}

pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}"))
}

pub fn whole(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("not a whole number: {value}"))
}

fn base64(encoded: &str) -> Vec<u8> {
    STANDARD.decode(encoded).expect("base64")
}

fn digest(parts: &[&[u8]]) -> Hash {
    parts.iter().fold(Sha256::new(), Sha256::chain_update).finalize().into()
}

pub fn hash(hex: &str) -> Hash {
    assert_eq!(hex.len(), 64, "a digest in hexadecimal: {hex}");
    std::array::from_fn(|place| u8::from_str_radix(&hex[2 * place..2 * place + 2], 16).expect("hexadecimal"))
}

fn hashes(list: &Value) -> Vec<Hash> {
    list.as_array().expect("hashes").iter().map(|one| hash(text(one))).collect()
}

fn parent(left: &Hash, right: &Hash) -> Hash {
    digest(&[&[1], left, right])
}

/// The largest power of two below `size`.
fn split(size: u64) -> u64 {
    size.next_power_of_two() / 2
}

/// The head in a signed note, if the key has signed it (C2SP `signed-note`, `tlog-checkpoint`).
pub fn opened(note: &str, verifier_key: &str) -> Result<Head, &'static str> {
    let mut parts = verifier_key.splitn(3, '+');
    let (name, id, key) = (parts.next(), parts.next(), parts.next());
    let (name, id, key) = (name.expect("a name"), id.expect("an id"), base64(key.expect("a key")));
    let named = digest(&[name.as_bytes(), b"\n", &key]);
    assert_eq!(id, format!("{:08x}", u32::from_be_bytes([named[0], named[1], named[2], named[3]])));
    assert_eq!((key.len(), key[0]), (33, 1), "an Ed25519 key");

    let (body, signatures) = note.split_once("\n\n").ok_or("no empty line")?;
    let signed = format!("{body}\n");
    let line = signatures.lines().find_map(|line| line.strip_prefix(&format!("\u{2014} {name} ")));
    let signature = base64(line.ok_or("not signed by this key")?);
    assert_eq!(signature[..4], named[..4]);
    let key = UnparsedPublicKey::new(&ED25519, &key[1..]);
    key.verify(signed.as_bytes(), &signature[4..]).map_err(|_| "the signature does not fit")?;
    let lines: Vec<&str> = body.lines().collect();
    assert_eq!(lines[0], name, "a head of this log");
    let root = base64(lines[2]).try_into().map_err(|_| "a root of another length")?;
    Ok(Head { size: lines[1].parse().expect("a size"), root })
}

/// The root that a path leads to from the leaf at `place` (from 0) of a tree of `size` leaves, by the recursion of
/// RFC 6962 section 2.1.1.
fn risen(place: u64, size: u64, leaf: Hash, path: &[Hash]) -> Option<Hash> {
    if size == 1 {
        return path.is_empty().then_some(leaf);
    }
    let (beside, below) = path.split_last()?;
    let left = split(size);
    if place < left {
        Some(parent(&risen(place, left, leaf, below)?, beside))
    } else {
        Some(parent(beside, &risen(place - left, size - left, leaf, below)?))
    }
}

/// The two roots that a consistency proof leads to, by the recursion of RFC 6962 section 2.1.2. `known` is the root of
/// the earlier tree as long as it is a subtree as it stands.
fn grown(from: u64, to: u64, known: Option<Hash>, path: &[Hash]) -> Option<(Hash, Hash)> {
    if from == to {
        return match (known, path) {
            (Some(root), []) => Some((root, root)),
            (None, [root]) => Some((*root, *root)),
            _ => None,
        };
    }
    let (beside, below) = path.split_last()?;
    let left = split(to);
    if from <= left {
        let (before, after) = grown(from, left, known, below)?;
        Some((before, parent(&after, beside)))
    } else {
        let (before, after) = grown(from - left, to - left, None, below)?;
        Some((parent(beside, &before), parent(beside, &after)))
    }
}

/// Whether the proof shows that the log at `to` begins with the log at `from`.
pub fn continues(from: Head, to: Head, proof: &Value) -> bool {
    assert_eq!((whole(&proof["from"]), whole(&proof["to"])), (from.size, to.size));
    let roots = grown(from.size, to.size, Some(from.root), &hashes(&proof["hashes"]));
    roots == Some((from.root, to.root))
}

/// The digest of an event, from what it says as it says it.
fn event_digest(event: &Value) -> Hash {
    let mut form = json!({});
    for name in [
        "aggregate_type",
        "aggregate_id",
        "sequence",
        "event_type",
        "event_version",
        "payload",
        "metadata",
        "event_id",
        "ordinal",
        "recorded_at",
    ] {
        form[name] = event[name].clone();
    }
    // Sorted members, no white space, integers only: for such JSON this is the form of RFC 8785.
    digest(&[b"almanac/event\0v1\0", form.to_string().as_bytes()])
}

/// The head an evidence stands under, if all of it is as it was signed.
pub fn proven(evidence: &Value, verifier_key: &str) -> Result<Head, &'static str> {
    if evidence["verifier_key"] != verifier_key || evidence["version"] != 1 {
        return Err("another log or another form");
    }
    let head = opened(text(&evidence["checkpoint"]), verifier_key)?;
    for (place, event) in evidence["events"].as_array().expect("events").iter().enumerate() {
        let first = &evidence["events"][0];
        let same = event["aggregate_id"] == first["aggregate_id"] && event["aggregate_type"] == "prediction";
        if !same || whole(&event["sequence"]) != place as u64 + 1 {
            return Err("not one stream from its beginning");
        }
        let made = event_digest(event);
        if made != hash(text(&event["hash"])) {
            return Err("an event was changed");
        }
        let (ordinal, path) = (whole(&event["ordinal"]), hashes(&event["inclusion"]));
        if risen(ordinal - 1, head.size, digest(&[&[0], &made]), &path) != Some(head.root) {
            return Err("an event is not under the head");
        }
    }
    Ok(head)
}
