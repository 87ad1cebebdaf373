//! What `docs/ARCHITECTURE.md` promises about the tree, checked on the tree.
//!
//! Each check collects everything that is wrong and prints the list.
#![cfg(test)]

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

#[path = "architecture/citations.rs"]
mod citations;

/// Lowest row first. A crate depends only on crates of earlier rows.
const ROWS: &[&[&str]] = &[
    &["chancery-crypto", "chancery-wire"],
    &["chancery-identity"],
    &["chancery-core", "chancery-group", "chancery-org"],
    &["chancery-engine", "chancery-relay"],
    &["chancery-store", "chancery-transport"],
    &["chancery-transport-ws", "chancery-transport-quic"],
    &["chancery", "chancery-relay-server"],
    &["chancery-rpc", "chancery-ffi"],
    &["chancery-cli", "chancery-dev"],
    &["chancery-testkit", "chancery-benches"],
    &["chancery-fuzz"],
];

/// No clock, no sockets, no files, no randomness of the operating system: `no_std` with `alloc`.
const PURE: &[&str] = &[
    "chancery-crypto",
    "chancery-wire",
    "chancery-identity",
    "chancery-core",
    "chancery-group",
    "chancery-org",
    "chancery-engine",
    "chancery-relay",
];

/// What a crate must not reach by any path, though the rows would allow it.
const NEVER: &[(&str, &[&str])] = &[
    (
        "chancery-relay",
        &["chancery-core", "chancery-group", "chancery-org", "chancery-engine", "chancery-store"],
    ),
    (
        "chancery-relay-server",
        &["chancery-core", "chancery-group", "chancery-org", "chancery-engine", "chancery-store"],
    ),
    ("chancery-org", &["chancery-core", "chancery-group"]),
];

/// Crates that compute or hold keys. Only `chancery-crypto` names one.
const PRIMITIVES: &[&str] = &[
    "aes-gcm",
    "argon2",
    "aws-lc-rs",
    "blake2",
    "chacha20",
    "chacha20poly1305",
    "curve25519-dalek",
    "digest",
    "ed25519-dalek",
    "hkdf",
    "hmac",
    "libcrux-chacha20poly1305",
    "libcrux-ml-dsa",
    "libcrux-chacha20poly1305",
    "libcrux-curve25519",
    "libcrux-ml-kem",
    "ml-dsa",
    "ml-kem",
    "poly1305",
    "rand",
    "rand_core",
    "ring",
    "sha2",
    "sha3",
    "subtle",
    "x25519-dalek",
];

/// Crates that few may name, and who those are.
const RESERVED: &[(&str, &[&str])] = &[
    ("prost", &["chancery-wire"]),
    ("prost-build", &["chancery-wire"]),
    ("protox", &["chancery-wire"]),
    ("rusqlite", &["chancery-store", "chancery-relay-server"]),
    // No primitive, but what wipes: secrets are of `crypto`, batches of records of `wire`.
    ("zeroize", &["chancery-crypto", "chancery-wire"]),
];

/// What a pure crate may name beside our own and, where it is allowed to, primitives and prost: all of it `no_std`.
const PURE_MAY_NAME: &[&str] = &["base64", "thiserror"];

/// The crate with a table of lints of its own, and what of the workspace's is not in it: C's functions have the arguments that they have.
const OWN_TABLE: &str = "chancery-ffi";
const OWN_LINTS: &[&str] =
    &["unsafe_code = \"forbid\"", "too_many_arguments = \"warn\"", "[workspace.lints.clippy]"];

/// The most lines of a source file: what a reader holds in mind at one sitting.
const MOST_LINES: usize = 600;

#[test]
fn arrows_point_down() {
    let mut wrong = Vec::new();
    for package in packages() {
        let Some(own) = row(&package.name) else {
            wrong.push(format!("{} stands in no row", package.name));
            continue;
        };
        for dependency in package.linked().filter(|dependency| dependency.ours) {
            if row(&dependency.name).is_none_or(|row| row >= own) {
                wrong.push(format!("{} -> {}", package.name, dependency.name));
            }
        }
    }
    none("dependencies that do not point down", &wrong);
}

#[test]
fn the_relay_cannot_reach_what_could_decrypt() {
    let packages = packages();
    let mut wrong = Vec::new();
    for (from, forbidden) in NEVER {
        let reached = reach(&packages, from);
        assert!(packages.iter().any(|package| package.name == *from), "{from} is no crate of the workspace");
        wrong.extend(
            forbidden.iter().filter(|name| reached.contains(**name)).map(|name| format!("{from} -> {name}")),
        );
    }
    none("crates that must not be reached", &wrong);
}

#[test]
fn only_crypto_names_a_primitive() {
    none("primitive crates outside chancery-crypto", &named_outside(PRIMITIVES, &["chancery-crypto"]));
}

#[test]
fn reserved_crates_are_named_only_by_their_owners() {
    let wrong: Vec<_> = RESERVED.iter().flat_map(|(name, owners)| named_outside(&[name], owners)).collect();
    none("crates named by others than their owners", &wrong);
}

#[test]
fn pure_crates_name_nothing_that_needs_an_operating_system() {
    let mut wrong = Vec::new();
    for package in packages().iter().filter(|package| PURE.contains(&package.name.as_str())) {
        let allowed = |name: &str| {
            PURE_MAY_NAME.contains(&name)
                || PRIMITIVES.contains(&name)
                || RESERVED
                    .iter()
                    .any(|(reserved, owners)| *reserved == name && owners.contains(&&*package.name))
        };
        let foreign =
            package.dependencies.iter().filter(|dependency| dependency.kind == "normal" && !dependency.ours);
        wrong.extend(
            foreign
                .filter(|dependency| !allowed(&dependency.name))
                .map(|it| format!("{} -> {}", package.name, it.name)),
        );
    }
    none("dependencies of pure crates", &wrong);
}

#[test]
fn pure_crates_are_without_std() {
    let mut wrong = Vec::new();
    for package in packages().iter().filter(|package| PURE.contains(&package.name.as_str())) {
        let source = package.directory.join("src");
        if !read(&source.join("lib.rs")).lines().any(|line| line == "#![no_std]") {
            wrong.push(format!("{}: no #![no_std]", package.name));
        }
        let files = files(&source, "rs");
        let for_tests: BTreeSet<_> = files.iter().flat_map(|file| test_modules(file)).collect();
        for file in files.iter().filter(|file| !for_tests.contains(*file)) {
            for (number, line) in outside_tests(&read(file)) {
                let code = line.split("//").next().unwrap_or_default();
                if code.contains("extern crate std") || names_std(code) {
                    wrong.push(format!("{}:{number}: {}", shown(file), line.trim()));
                }
            }
        }
    }
    none("uses of std in pure crates", &wrong);
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    let manifest = read(&root().join("Cargo.toml"));
    let (_, lints) = manifest.split_once("[workspace.lints.rust]").unwrap();
    let (lints, _) = lints.split_once("\n[profile").unwrap();
    let without = packages().into_iter().filter(|package| {
        let manifest = read(&package.directory.join("Cargo.toml"));
        // Cargo takes a table of lints as a whole: the one crate that has `unsafe` repeats the others.
        let repeated = || lints.lines().all(|line| OWN_LINTS.contains(&line) || manifest.contains(line));
        let is_own = OWN_TABLE == package.name && repeated();
        !is_own && !manifest.contains("[lints]\nworkspace = true")
    });
    none("crates without the workspace's lints", &without.map(|package| package.name).collect::<Vec<_>>());
}

#[test]
fn files_stay_short() {
    let mut wrong = Vec::new();
    for package in packages() {
        for file in ["src", "tests"].iter().flat_map(|folder| files(&package.directory.join(folder), "rs")) {
            let lines = read(&file).lines().count();
            if lines > MOST_LINES {
                wrong.push(format!("{}: {lines} lines", shown(&file)));
            }
        }
    }
    none("files above 600 lines", &wrong);
}

#[test]
fn every_path_in_the_documents_exists() {
    let mut wrong = Vec::new();
    for document in documents() {
        let text = read(&document);
        for target in links(&text) {
            let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let file =
                if path.is_empty() { document.clone() } else { document.with_file_name("").join(path) };
            let has_anchor = || anchor.is_empty() || anchors(&read(&file)).contains(anchor);
            if !file.exists() || !has_anchor() {
                wrong.push(format!("{}: {target}", shown(&document)));
            }
        }
        let missing = paths(&text).filter(|path| !root().join(path).exists());
        wrong.extend(missing.map(|path| format!("{}: {path}", shown(&document))));
    }
    none("paths and links to nowhere", &wrong);
}

#[test]
fn every_test_and_lint_that_the_code_map_names_exists() {
    let code: String = sources().iter().map(|file| read(file)).collect();
    let lints = read(&root().join("Cargo.toml"));
    let map = read(&root().join("docs/ARCHITECTURE.md"));
    let invariants = map.split("\n## ").find(|section| section.starts_with("Invariants\n")).unwrap();
    let is_name =
        |code: &&str| code.contains('_') && code.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let named: Vec<_> = code_of(invariants).filter(is_name).collect();
    assert!(!named.is_empty());
    let missing: Vec<_> = named
        .into_iter()
        .filter(|name| !code.contains(&format!("fn {name}(")) && !lints.contains(&format!("\n{name} = ")))
        .map(str::to_owned)
        .collect();
    none("tests and lints that do not exist", &missing);
}

/// A crate of the workspace.
struct Package {
    name: String,
    directory: PathBuf,
    dependencies: Vec<Dependency>,
}

struct Dependency {
    name: String,
    /// `normal`, `build` or `dev`.
    kind: String,
    ours: bool,
}

impl Package {
    /// What ends up in the artefact, or makes it.
    fn linked(&self) -> impl Iterator<Item = &Dependency> {
        self.dependencies.iter().filter(|dependency| dependency.kind != "dev")
    }
}

/// Reads the workspace's manifests as cargo does, without resolving anything and without a network.
fn packages() -> Vec<Package> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline", "--locked"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages: Vec<_> = metadata["packages"].as_array().unwrap().iter().map(package).collect();
    assert!(!packages.is_empty());
    packages
}

fn package(value: &Value) -> Package {
    let dependencies = value["dependencies"].as_array().unwrap().iter().map(|dependency| Dependency {
        name: dependency["name"].as_str().unwrap().to_owned(),
        kind: dependency["kind"].as_str().unwrap_or("normal").to_owned(),
        ours: !dependency["path"].is_null(),
    });
    Package {
        name: value["name"].as_str().unwrap().to_owned(),
        directory: Path::new(value["manifest_path"].as_str().unwrap()).parent().unwrap().to_owned(),
        dependencies: dependencies.collect(),
    }
}

fn row(name: &str) -> Option<usize> {
    ROWS.iter().position(|row| row.contains(&name))
}

/// All crates of the workspace that are linked into `from`.
fn reach<'a>(packages: &'a [Package], from: &str) -> BTreeSet<&'a str> {
    let by_name: BTreeMap<_, _> = packages.iter().map(|package| (package.name.as_str(), package)).collect();
    let mut reached = BTreeSet::new();
    let mut open = vec![from];
    while let Some(package) = open.pop().and_then(|name| by_name.get(name)) {
        for dependency in package.linked().filter(|dependency| dependency.ours) {
            if reached.insert(dependency.name.as_str()) {
                open.push(&dependency.name);
            }
        }
    }
    reached
}

/// Who names one of `names`, for tests or not, without being one of `owners`.
fn named_outside(names: &[&str], owners: &[&str]) -> Vec<String> {
    let mut wrong = Vec::new();
    for package in packages().iter().filter(|package| !owners.contains(&package.name.as_str())) {
        // A test may look at a file with the tool that made it.
        let named = package
            .dependencies
            .iter()
            .filter(|dependency| dependency.kind != "dev" && names.contains(&dependency.name.as_str()));
        wrong.extend(named.map(|dependency| format!("{} -> {}", package.name, dependency.name)));
    }
    wrong
}

fn names_std(code: &str) -> bool {
    code.match_indices("std::").any(|(at, _)| {
        let before = code.get(..at).and_then(|before| before.chars().next_back());
        before.is_none_or(|before| !before.is_alphanumeric() && before != '_')
    })
}

/// The lines, numbered from 1, that stand under no `#[cfg(test)]`. Relies on rustfmt's indentation.
fn outside_tests(text: &str) -> Vec<(usize, &str)> {
    let mut kept = Vec::new();
    let mut lines = text.lines().enumerate().map(|(index, line)| (index.saturating_add(1), line));
    while let Some((number, line)) = lines.next() {
        if line.trim() != "#[cfg(test)]" {
            kept.push((number, line));
            continue;
        }
        let indent = line.split('#').next().unwrap_or_default();
        let end = format!("{indent}}}");
        let item = lines.find(|(_, line)| !line.trim_start().starts_with('#')).map_or("", |(_, line)| line);
        if !item.ends_with([';', '}']) {
            let _ = lines.find(|(_, line)| line.starts_with(&end));
        }
    }
    kept
}

/// The files of the modules that `file` declares under `#[cfg(test)]`.
fn test_modules(file: &Path) -> Vec<PathBuf> {
    let text = read(file);
    let lines: Vec<_> = text.lines().collect();
    let declared = lines.windows(2).filter_map(|pair| match pair {
        ["#[cfg(test)]", item] => item.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'),
        _ => None,
    });
    let is_root =
        matches!(file.file_name().and_then(|name| name.to_str()), Some("lib.rs" | "main.rs" | "mod.rs"));
    let directory = if is_root { file.with_file_name("") } else { file.with_extension("") };
    declared.map(|name| directory.join(name).with_extension("rs")).collect()
}

/// The documents that the checks read: those of the top level and `docs/*.md`.
fn documents() -> Vec<PathBuf> {
    let mut documents: Vec<_> =
        ["README.md", "SECURITY.md", "CHANGELOG.md"].map(|name| root().join(name)).into();
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "md") {
            documents.push(path);
        }
    }
    documents
}

/// Rust files of all crates, tests and fuzz targets included, and the wire formats.
fn sources() -> Vec<PathBuf> {
    let mut sources = files(&root().join("crates"), "rs");
    sources.extend(["benches", "fuzz"].iter().flat_map(|top| files(&root().join(top), "rs")));
    sources.extend(files(&root().join("proto"), "proto"));
    assert!(!sources.is_empty());
    sources
}

/// Targets of `](target)` inside the repository; code is left out.
fn links(text: &str) -> Vec<String> {
    let prose: String = prose(text).collect();
    let targets = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets
        .filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
        .map(str::to_owned)
        .collect()
}

/// The text outside of fenced blocks and of `code`.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let outside_fences = text.split("\n```").step_by(2);
    outside_fences.flat_map(|part| part.split('`').step_by(2))
}

/// Paths from the repository's root in `code`, without those that stand for several.
fn paths(text: &str) -> impl Iterator<Item = &str> {
    const TOP: &[&str] = &["crates/", "docs/", "proto/", "benches/", "fuzz/", "examples/", ".ci/"];
    code_of(text).filter(|code| {
        TOP.iter().any(|top| code.starts_with(top)) && !code.contains(['*', '{', '<', ' ', '\n'])
    })
}

/// Everything in `code`, without fenced blocks.
fn code_of(text: &str) -> impl Iterator<Item = &str> {
    text.split("\n```").step_by(2).flat_map(|part| part.split('`').skip(1).step_by(2))
}

/// The anchors of a document's headings, made as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let title = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// All files below `directory` with this extension, sorted.
fn files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", shown(path)))
}

/// The path from the repository's root.
fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

fn none(what: &str, wrong: &[String]) {
    assert!(wrong.is_empty(), "{what}:\n  {}", wrong.join("\n  "));
}

/// The checks above pass when they find nothing, so what they look with must be seen to find something.
mod the_checks_themselves {
    use super::*;

    #[test]
    fn std_is_found_in_code_and_not_in_tests() {
        let text = "use std::fs;\n#[cfg(test)]\nuse std::io;\nfn f() {}\n#[cfg(test)]\nmod tests {\n    use std::env;\n}\n";
        let lines: Vec<_> = outside_tests(text).into_iter().map(|(number, _)| number).collect();
        assert_eq!(lines, [1, 4]);
        assert!(names_std("use std::fs;") && names_std("x: ::std::io::Error"));
        assert!(!names_std("use my_std::fs;"));
    }

    #[test]
    fn links_and_paths_are_found_in_prose_and_not_in_examples() {
        let text = "See [a](b.md#c) and [d](https://e.example), `docs/f.md`, `docs/*.md`.\n```\n[g](h)\n```\n`[i](j)`";
        assert_eq!(links(text), ["b.md#c"]);
        assert_eq!(paths(text).collect::<Vec<_>>(), ["docs/f.md"]);
        assert!(anchors("## What it's for: `x`").contains("what-its-for-x"));
    }

    #[test]
    fn a_path_through_a_third_crate_counts() {
        let package = |name: &str, to: &[&str]| Package {
            name: name.to_owned(),
            directory: PathBuf::new(),
            dependencies: to
                .iter()
                .map(|to| Dependency { name: (*to).to_owned(), kind: "normal".to_owned(), ours: true })
                .collect(),
        };
        let packages = [package("a", &["b"]), package("b", &["c"]), package("c", &[])];
        assert_eq!(reach(&packages, "a").into_iter().collect::<Vec<_>>(), ["b", "c"]);
    }
}
