use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::*;

/// MTH of RFC 6962 section 2.1, by recursion.
fn root_of(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Sha256::digest([]).into(),
        [one] => leaf(one),
        many => {
            let split = many.len().next_power_of_two() / 2;
            parent(&root_of(&many[..split]), &root_of(&many[split..]))
        }
    }
}

/// PATH of RFC 6962 section 2.1.1, by recursion.
fn path(index: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() <= 1 {
        return vec![];
    }
    let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
    if index < left.len() {
        [path(index, left), vec![root_of(right)]].concat()
    } else {
        [path(index - left.len(), right), vec![root_of(left)]].concat()
    }
}

/// SUBPROOF of RFC 6962 section 2.1.2, by recursion.
fn subproof(earlier: usize, leaves: &[Hash], is_whole: bool) -> Vec<Hash> {
    if earlier == leaves.len() {
        return if is_whole { vec![] } else { vec![root_of(leaves)] };
    }
    let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
    if earlier <= left.len() {
        [subproof(earlier, left, is_whole), vec![root_of(right)]].concat()
    } else {
        [subproof(earlier - left.len(), right, false), vec![root_of(left)]].concat()
    }
}

/// The hashes of `path`, put together from perfect subtrees as a proof from the database is.
fn hashes(leaves: &[Hash], path: &[Range<u64>]) -> Vec<Hash> {
    let perfect_root = |node: Node| {
        let from = (node.index << node.height) as usize;
        root_of(&leaves[from..from + (1 << node.height)])
    };
    path.iter().map(|range| joined(perfect(range).into_iter().map(perfect_root)).unwrap()).collect()
}

fn leaves(count: usize) -> Vec<Hash> {
    (0..count).map(|n| Sha256::digest(n.to_be_bytes()).into()).collect()
}

fn inclusion(leaves: &[Hash], ordinal: usize) -> InclusionProof {
    InclusionProof {
        ordinal: ordinal as i64,
        size: leaves.len() as i64,
        leaf: leaves[ordinal - 1],
        hashes: hashes(leaves, &inclusion_path(ordinal as u64 - 1, leaves.len() as u64)),
    }
}

fn consistency(leaves: &[Hash], from: usize) -> ConsistencyProof {
    ConsistencyProof {
        from: from as i64,
        to: leaves.len() as i64,
        from_root: root_of(&leaves[..from]),
        to_root: root_of(leaves),
        hashes: hashes(leaves, &consistency_path(from as u64, leaves.len() as u64)),
    }
}

/// The tree of eight leaves with which implementations of certificate transparency are tested. Its leaves are not
/// digests, so the hashes of the leaves are made here and everything above is ours.
mod of_certificate_transparency {
    use super::*;

    const LEAVES: [&str; 8] =
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    const ROOTS: [&str; 8] = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    fn leaf_hashes() -> Vec<Hash> {
        LEAVES.iter().map(|data| leaf(&hex::decode(data).unwrap())).collect()
    }

    fn joined_root(hashes: &[Hash]) -> Hash {
        match hashes {
            [one] => *one,
            many => {
                let (left, right) = many.split_at(many.len().next_power_of_two() / 2);
                parent(&joined_root(left), &joined_root(right))
            }
        }
    }

    fn proof(path: &[Range<u64>]) -> Vec<String> {
        let hashes = leaf_hashes();
        let of = |range: &Range<u64>| joined_root(&hashes[range.start as usize..range.end as usize]);
        path.iter().map(of).map(hex::encode).collect()
    }

    #[test]
    fn its_roots_are_ours() {
        for (size, root) in (1..).zip(ROOTS) {
            assert_eq!(hex::encode(joined_root(&leaf_hashes()[..size])), root);
        }
    }

    #[test]
    fn its_inclusion_proofs_are_ours() {
        assert_eq!(proof(&inclusion_path(0, 1)), Vec::<String>::new());
        assert_eq!(
            proof(&inclusion_path(0, 8)),
            [
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ]
        );
        assert_eq!(
            proof(&inclusion_path(5, 8)),
            [
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ]
        );
        assert_eq!(
            proof(&inclusion_path(2, 3)),
            ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]
        );
        assert_eq!(
            proof(&inclusion_path(1, 5)),
            [
                "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            ]
        );
    }

    #[test]
    fn its_consistency_proofs_are_ours() {
        assert_eq!(proof(&consistency_path(1, 1)), Vec::<String>::new());
        assert_eq!(
            proof(&consistency_path(1, 8)),
            [
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ]
        );
        assert_eq!(
            proof(&consistency_path(6, 8)),
            [
                "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ]
        );
        assert_eq!(
            proof(&consistency_path(2, 5)),
            [
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            ]
        );
    }
}

proptest! {
    #[test]
    fn an_inclusion_proof_is_the_defined_one_and_verifies(size in 1..300_usize, seed in any::<prop::sample::Index>()) {
        let (leaves, ordinal) = (leaves(size), seed.index(size) + 1);
        let proof = inclusion(&leaves, ordinal);
        prop_assert_eq!(&proof.hashes, &path(ordinal - 1, &leaves));
        prop_assert_eq!(proof.verify(&root_of(&leaves)), Ok(()));
    }

    #[test]
    fn a_consistency_proof_is_the_defined_one_and_verifies(size in 1..300_usize, seed in any::<prop::sample::Index>()) {
        let (leaves, from) = (leaves(size), seed.index(size) + 1);
        let proof = consistency(&leaves, from);
        prop_assert_eq!(&proof.hashes, &subproof(from, &leaves, true));
        prop_assert_eq!(proof.verify(), Ok(()));
    }

    #[test]
    fn a_forged_inclusion_proof_is_refused(
        size in 2..300_usize, seed in any::<prop::sample::Index>(), bit in 0..256_usize, other in any::<prop::sample::Index>()
    ) {
        let (leaves, ordinal) = (leaves(size), seed.index(size) + 1);
        let (root, proof) = (root_of(&leaves), inclusion(&leaves, ordinal));
        let flip = |hash: &mut Hash| hash[bit / 8] ^= 1 << (bit % 8);
        let mut forged = proof.clone();
        flip(&mut forged.leaf);
        prop_assert_eq!(forged.verify(&root), Err(ProofRefused::Root));
        let mut forged = proof.clone();
        let place = other.index(forged.hashes.len());
        flip(&mut forged.hashes[place]);
        prop_assert_eq!(forged.verify(&root), Err(ProofRefused::Root));
        let mut forged = proof.clone();
        forged.hashes.remove(place);
        prop_assert!(forged.verify(&root).is_err());
        let mut forged = proof.clone();
        forged.hashes.push(root);
        prop_assert!(forged.verify(&root).is_err());
        let another = other.index(size) + 1;
        if another != ordinal {
            let mut forged = proof.clone();
            forged.ordinal = another as i64;
            prop_assert!(forged.verify(&root).is_err());
        }
    }

    #[test]
    fn a_forged_consistency_proof_is_refused(
        size in 2..300_usize, seed in any::<prop::sample::Index>(), bit in 0..256_usize, other in any::<prop::sample::Index>()
    ) {
        let leaves = leaves(size);
        let from = seed.index(size - 1) + 1;
        let proof = consistency(&leaves, from);
        let flip = |hash: &mut Hash| hash[bit / 8] ^= 1 << (bit % 8);
        let mut forged = proof.clone();
        flip(&mut forged.from_root);
        prop_assert!(forged.verify().is_err());
        let mut forged = proof.clone();
        flip(&mut forged.to_root);
        prop_assert!(forged.verify().is_err());
        let mut forged = proof.clone();
        let place = other.index(forged.hashes.len());
        flip(&mut forged.hashes[place]);
        prop_assert!(forged.verify().is_err());
        forged.hashes.remove(place);
        prop_assert!(forged.verify().is_err());
        let mut forged = proof.clone();
        forged.hashes.push(proof.to_root);
        prop_assert!(forged.verify().is_err());
    }
}

#[test]
fn every_proof_of_every_tree_of_up_to_forty_events_verifies() {
    for size in 1..=40 {
        let leaves = leaves(size);
        for place in 1..=size {
            assert_eq!(inclusion(&leaves, place).verify(&root_of(&leaves)), Ok(()), "{place} of {size}");
            assert_eq!(consistency(&leaves, place).verify(), Ok(()), "{place} to {size}");
        }
    }
}

#[test]
fn a_place_outside_of_the_tree_is_refused() {
    let leaves = leaves(5);
    let (root, proof) = (root_of(&leaves), inclusion(&leaves, 3));
    for (ordinal, size) in [(0, 5), (6, 5), (-1, 5), (3, -5), (1, 0)] {
        let forged = InclusionProof { ordinal, size, ..proof.clone() };
        assert_eq!(forged.verify(&root), Err(ProofRefused::Outside));
    }
    let proof = consistency(&leaves, 3);
    for (from, to) in [(0, 5), (6, 5), (-1, 5), (3, -5)] {
        let forged = ConsistencyProof { from, to, ..proof.clone() };
        assert_eq!(forged.verify(), Err(ProofRefused::Outside));
    }
}
