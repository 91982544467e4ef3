//! What the processor can do, as far as it may decide the last bit of a number.
//!
//! Loops here are compiled for the lowest level of the architecture and choose nothing at run time; the libraries under
//! them (copying, decoding, sums inside of Polars and ndarray) do. Two processors of one level therefore give the same
//! bytes, and of two levels one is not sure before it has looked.

/// An architecture, its feature level, and the extensions that were looked for and found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Processor {
    /// Such as `x86_64`.
    pub architecture: &'static str,
    /// Such as `x86-64-v3`; the architecture where there are no levels.
    pub level: &'static str,
    /// In the order they were looked for.
    pub extensions: Vec<&'static str>,
}

impl Processor {
    /// The one this process runs on.
    pub fn present() -> Self {
        let looked_for = extensions();
        let extensions: Vec<_> =
            looked_for.into_iter().filter(|(_, found)| *found).map(|(name, _)| name).collect();
        let level = level(&extensions).unwrap_or(std::env::consts::ARCH);
        Self { architecture: std::env::consts::ARCH, level, extensions }
    }
}

#[cfg(target_arch = "x86_64")]
fn extensions() -> Vec<(&'static str, bool)> {
    vec![
        ("sse3", is_x86_feature_detected!("sse3")),
        ("ssse3", is_x86_feature_detected!("ssse3")),
        ("sse4.1", is_x86_feature_detected!("sse4.1")),
        ("sse4.2", is_x86_feature_detected!("sse4.2")),
        ("popcnt", is_x86_feature_detected!("popcnt")),
        ("avx", is_x86_feature_detected!("avx")),
        ("avx2", is_x86_feature_detected!("avx2")),
        ("bmi1", is_x86_feature_detected!("bmi1")),
        ("bmi2", is_x86_feature_detected!("bmi2")),
        ("f16c", is_x86_feature_detected!("f16c")),
        ("fma", is_x86_feature_detected!("fma")),
        ("lzcnt", is_x86_feature_detected!("lzcnt")),
        ("movbe", is_x86_feature_detected!("movbe")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("avx512bw", is_x86_feature_detected!("avx512bw")),
        ("avx512cd", is_x86_feature_detected!("avx512cd")),
        ("avx512dq", is_x86_feature_detected!("avx512dq")),
        ("avx512vl", is_x86_feature_detected!("avx512vl")),
    ]
}

#[cfg(target_arch = "aarch64")]
fn extensions() -> Vec<(&'static str, bool)> {
    use std::arch::is_aarch64_feature_detected;
    vec![
        ("neon", is_aarch64_feature_detected!("neon")),
        ("fp16", is_aarch64_feature_detected!("fp16")),
        ("dotprod", is_aarch64_feature_detected!("dotprod")),
        ("sve", is_aarch64_feature_detected!("sve")),
        ("sve2", is_aarch64_feature_detected!("sve2")),
    ]
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn extensions() -> Vec<(&'static str, bool)> {
    Vec::new()
}

/// The levels of the x86-64 psABI, each with what it demands beyond the one before.
const LEVELS: [(&str, &[&str]); 3] = [
    ("x86-64-v2", &["sse3", "ssse3", "sse4.1", "sse4.2", "popcnt"]),
    ("x86-64-v3", &["avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "lzcnt", "movbe"]),
    ("x86-64-v4", &["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"]),
];

fn level(found: &[&str]) -> Option<&'static str> {
    if std::env::consts::ARCH != "x86_64" {
        return None;
    }
    let mut reached = "x86-64-v1";
    for (level, demanded) in LEVELS {
        if !demanded.iter().all(|extension| found.contains(extension)) {
            break;
        }
        reached = level;
    }
    Some(reached)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_is_the_highest_of_which_nothing_is_missing() {
        if std::env::consts::ARCH != "x86_64" {
            return;
        }
        let second = LEVELS[0].1;
        assert_eq!(level(&[]), Some("x86-64-v1"));
        assert_eq!(level(second), Some("x86-64-v2"));
        // A fourth level without the third is none.
        assert_eq!(level(&[second, LEVELS[2].1].concat()), Some("x86-64-v2"));
        assert_eq!(level(&[second, LEVELS[1].1].concat()), Some("x86-64-v3"));
        assert_eq!(Processor::present(), Processor::present());
    }
}
