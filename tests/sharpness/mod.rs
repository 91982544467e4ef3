//! The list of breakages that `make sharpness` tries: each still fits the code, and names a test there is.
//!
//! Here nothing is broken and nothing is built; this only keeps the list from rotting.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::visit;

/// The faults of the log, of which each must have a breakage that its test is known to notice.
const FAULTS: std::ops::RangeInclusive<i64> = 1..=25;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

struct Mutant(Table);

impl Mutant {
    fn text(&self, key: &str) -> &str {
        self.0[key].as_str().expect(key)
    }

    fn fault(&self) -> i64 {
        self.0["fault"].as_integer().expect("a number")
    }

    /// How often the text to search for stands in its file.
    fn found(&self) -> usize {
        let text = std::fs::read_to_string(root().join(self.text("file"))).unwrap_or_default();
        text.matches(self.text("search")).count()
    }

    /// Whether the package holds the test: a function of the last part of its name, in a file named by the part before.
    fn has_test(&self) -> bool {
        let folder = self.text("package").trim_start_matches("almanac-");
        let mut parts = self.text("test").rsplit("::");
        let function = format!("fn {}(", parts.next().expect("a name"));
        let module = parts.find(|part| *part != "tests").expect("a module");
        let mut has = false;
        visit(&root().join(folder), &mut |path, text| {
            has |= path.file_stem().is_some_and(|stem| stem == module) && text.contains(&function);
        });
        has
    }
}

fn mutants() -> Vec<Mutant> {
    let mut found = vec![];
    for entry in std::fs::read_dir(root().join("tests/sharpness")).expect("a folder").flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let list: Table = std::fs::read_to_string(path).expect("text").parse().expect("TOML");
            let mutants = list["mutant"].as_array().expect("mutants").iter();
            found.extend(mutants.map(|mutant| match mutant {
                Value::Table(table) => Mutant(table.clone()),
                other => panic!("{other} is no table"),
            }));
        }
    }
    found
}

#[test]
fn every_breakage_still_applies_and_the_test_that_notices_it_exists() {
    let mut rotten = vec![];
    let mut names = BTreeSet::new();
    for mutant in mutants() {
        let (name, found) = (mutant.text("name").to_owned(), mutant.found());
        if found != 1 {
            rotten
                .push(format!("{name}: its text stands in {} {found} times, not once", mutant.text("file")));
        }
        if mutant.text("search") == mutant.text("replace") {
            rotten.push(format!("{name}: it breaks nothing"));
        }
        if !mutant.has_test() {
            rotten.push(format!(
                "{name}: there is no test {} in {}",
                mutant.text("test"),
                mutant.text("package")
            ));
        }
        if !mutant.text("test").contains(&format!("fault_{:02}_", mutant.fault())) {
            rotten.push(format!("{name}: its test is not one of fault {}", mutant.fault()));
        }
        if !names.insert((mutant.fault(), name.clone())) {
            rotten.push(format!("{name}: there are two of this name"));
        }
    }
    assert!(rotten.is_empty(), "the list of breakages has rotted:\n{}", rotten.join("\n"));
}

#[test]
fn every_fault_of_the_log_has_a_breakage() {
    let broken: BTreeSet<i64> = mutants().iter().map(Mutant::fault).collect();
    let missing: Vec<_> = FAULTS.filter(|fault| !broken.contains(fault)).collect();
    assert!(missing.is_empty(), "no breakage shows that the tests of the faults {missing:?} are sharp");
}
