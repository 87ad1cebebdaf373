//! Every committed input, on the function that libFuzzer calls.
#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use chancery_fuzz::{TARGETS, seeds};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn names(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn the_corpora_pass() {
    for (target, run) in TARGETS {
        let directory = root().join("corpus").join(target);
        for name in names(&directory) {
            let bytes = fs::read(directory.join(&name)).unwrap();
            println!("{target}/{name}");
            run(&bytes);
        }
    }
}

#[test]
fn every_target_has_a_program_and_a_corpus_and_every_seed_is_committed() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let programs: BTreeSet<String> = targets.iter().map(|name| format!("{name}.rs")).collect();
    assert_eq!(names(&root().join("targets")), programs);
    assert_eq!(names(&root().join("corpus")), targets);
    for (target, name, bytes) in seeds() {
        // To write them: cargo run -p chancery-fuzz --bin seeds
        let path = root().join("corpus").join(target).join(name);
        assert!(fs::read(&path).is_ok_and(|there| there == bytes), "{} is not current", path.display());
    }
}
