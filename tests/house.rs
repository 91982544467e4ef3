//! The shape of the house: who may depend on whom, under which licences, and how large a file grows.

#![allow(clippy::expect_used, reason = "a helper of a test fails its test by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

mod sharpness;

/// What each crate may depend on, directly. Dependencies point one way.
const MAY_USE: [(&str, &[&str]); 7] = [
    ("almanac-domain", &[]),
    ("almanac-ml", &["almanac-domain"]),
    ("almanac-store", &["almanac-domain"]),
    ("almanac-projections", &["almanac-store", "almanac-domain"]),
    ("almanac-actors", &["almanac-ml", "almanac-projections", "almanac-store", "almanac-domain"]),
    (
        "almanac-api",
        &["almanac-actors", "almanac-ml", "almanac-projections", "almanac-store", "almanac-domain"],
    ),
    (
        "almanac-tests",
        &[
            "almanac-api",
            "almanac-actors",
            "almanac-ml",
            "almanac-projections",
            "almanac-store",
            "almanac-domain",
        ],
    ),
];

/// What may not stand in a crate: meaning without I/O, numbers without a database, and so on.
const MAY_NOT_USE: [(&str, &[&str]); 4] = [
    ("almanac-domain", &["sqlx", "actix", "actix-web", "polars", "tokio", "object_store", "rand", "reqwest"]),
    ("almanac-ml", &["sqlx", "actix", "actix-web", "tokio", "object_store", "reqwest", "lettre"]),
    ("almanac-store", &["actix", "actix-web", "polars", "lettre", "utoipa"]),
    ("almanac-projections", &["actix", "actix-web", "polars", "lettre", "object_store", "reqwest"]),
];

/// Licences that ask for nothing but attribution.
const PERMISSIVE: [&str; 16] = [
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "0BSD",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
    "bzip2-1.0.6",
    "NCSA",
];

/// The most lines of code a file holds before its first line of tests.
const MOST_LINES: usize = 500;

/// What `cargo metadata` says of every package.
fn packages() -> Vec<Value> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    metadata["packages"].as_array().expect("packages").clone()
}

fn name_of(package: &Value) -> &str {
    package["name"].as_str().expect("a name")
}

fn used_by(packages: &[Value], name: &str) -> BTreeSet<String> {
    let package = packages.iter().find(|package| name_of(package) == name).expect(name);
    let used = package["dependencies"].as_array().expect("dependencies").iter();
    // Dependencies of tests and of build scripts have a kind; those of the product have none.
    used.filter(|used| used["kind"].is_null()).map(|used| name_of(used).to_owned()).collect()
}

#[test]
fn dependencies_point_one_way() {
    let packages = packages();
    for (name, allowed) in MAY_USE {
        let upward: Vec<_> = used_by(&packages, name)
            .into_iter()
            .filter(|used| used.starts_with("almanac-") && !allowed.contains(&used.as_str()))
            .collect();
        assert!(upward.is_empty(), "{name} may not depend on {upward:?}");
    }
}

#[test]
fn every_crate_of_the_workspace_has_its_place() {
    let known: BTreeMap<_, _> = MAY_USE.into_iter().collect();
    for package in packages().iter().filter(|package| package["source"].is_null()) {
        assert!(known.contains_key(name_of(package)), "{} has no place in the house", name_of(package));
    }
}

#[test]
fn no_layer_reaches_for_what_is_not_its_trade() {
    let packages = packages();
    for (name, forbidden) in MAY_NOT_USE {
        let used = used_by(&packages, name);
        let found: Vec<_> = forbidden.iter().filter(|library| used.contains(**library)).collect();
        assert!(found.is_empty(), "{name} may not use {found:?}");
    }
}

#[test]
fn every_licence_is_permissive() {
    let refused: Vec<_> = packages()
        .iter()
        .filter(|package| !package["license"].as_str().is_some_and(offers_a_permissive_choice))
        .map(|package| format!("{} {}: {}", package["name"], package["version"], package["license"]))
        .collect();
    assert!(refused.is_empty(), "licences that are not permissive:\n{}", refused.join("\n"));
}

/// Whether an SPDX expression (or the older `A/B`) can be satisfied by permissive licences alone.
fn offers_a_permissive_choice(expression: &str) -> bool {
    let flat = expression.replace(['(', ')'], " ").replace('/', " OR ");
    let conjuncts = flat.split(" AND ");
    conjuncts.into_iter().all(|part| part.split(" OR ").any(|licence| PERMISSIVE.contains(&licence.trim())))
}

#[test]
fn a_choice_of_licences_is_permissive_when_one_of_them_is() {
    assert!(offers_a_permissive_choice("MIT OR GPL-3.0"));
    assert!(offers_a_permissive_choice("(MIT OR Apache-2.0) AND Unicode-3.0"));
    assert!(offers_a_permissive_choice("MIT/Apache-2.0"));
    assert!(!offers_a_permissive_choice("MIT AND GPL-3.0"));
    assert!(!offers_a_permissive_choice("GPL-3.0"));
}

#[test]
fn no_file_outgrows_its_reader() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let mut too_long = Vec::new();
    for folder in ["domain", "ml", "store", "projections", "actors", "api", "tests"] {
        visit(&root.join(folder), &mut |path, text| {
            let code = text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).count();
            let reasoned = text.lines().take(12).any(|line| line.contains("longer than"));
            if code > MOST_LINES && !reasoned {
                too_long.push(format!("{}: {code} lines", path.display()));
            }
        });
    }
    assert!(too_long.is_empty(), "files over {MOST_LINES} lines without a reason:\n{}", too_long.join("\n"));
}

fn visit(folder: &Path, look: &mut dyn FnMut(&Path, &str)) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "node_modules" && name != "target") {
                visit(&path, look);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            look(&path, &std::fs::read_to_string(&path).expect("a text file"));
        }
    }
}
