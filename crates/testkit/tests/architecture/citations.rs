//! Every requirement of `docs/PROTOCOL.md` is cited by code and by a test, and every citation names a requirement.

use super::*;

#[test]
fn every_requirement_that_is_cited_is_defined() {
    let defined = defined_requirements();
    let mut wrong = Vec::new();
    for file in cited_in().iter().chain(&documents()) {
        let unknown = requirements(&read(file)).into_iter().filter(|id| !defined.contains(id));
        wrong.extend(unknown.map(|id| format!("{}: {id}", shown(file))));
    }
    none("citations of requirements that docs/PROTOCOL.md does not define", &wrong);
}

#[test]
fn every_requirement_is_cited_by_code_and_by_a_test() {
    let (code, tests) = citations();
    let defined = defined_requirements();
    let missing = |cited: &BTreeSet<String>| defined.difference(cited).cloned().collect::<Vec<_>>();
    none("requirements that no code cites", &missing(&code));
    none("requirements that no test cites", &missing(&tests));
}

/// What code cites, and what tests cite.
fn citations() -> (BTreeSet<String>, BTreeSet<String>) {
    let files = cited_in();
    let declared: BTreeSet<_> = files.iter().flat_map(|file| test_modules(file)).collect();
    let (mut code, mut tests) = (BTreeSet::new(), BTreeSet::new());
    for file in &files {
        let text = read(file);
        if declared.contains(file) || is_for_tests(file) {
            tests.append(&mut requirements(&text));
            continue;
        }
        let (outside, inside) = split(&text);
        code.append(&mut requirements(&outside));
        tests.append(&mut requirements(&inside));
    }
    (code, tests)
}

/// What this check looks at: every source but its own, whose examples are no citations.
fn cited_in() -> Vec<PathBuf> {
    let own = root().join("crates/testkit/tests/architecture");
    sources().into_iter().filter(|file| file.with_extension("") != own && !file.starts_with(&own)).collect()
}

/// Whether all of a file is there for tests: it lies in a folder or file `tests`, in the testkit or among the fuzz targets.
fn is_for_tests(file: &Path) -> bool {
    let inside = file.strip_prefix(root()).unwrap_or(file);
    let named = inside.with_extension("").iter().any(|part| part == "tests");
    named || inside.starts_with("crates/testkit") || inside.starts_with("fuzz")
}

/// The lines that stand under no `#[cfg(test)]`, and those that do.
fn split(text: &str) -> (String, String) {
    let outside: BTreeMap<usize, &str> = outside_tests(text).into_iter().collect();
    let inside =
        text.lines().enumerate().filter(|(index, _)| !outside.contains_key(&index.saturating_add(1)));
    let inside: Vec<&str> = inside.map(|(_, line)| line).collect();
    (outside.into_values().collect::<Vec<_>>().join("\n"), inside.join("\n"))
}

/// The requirements that `docs/PROTOCOL.md` defines, each in a line that starts with its number in bold.
fn defined_requirements() -> BTreeSet<String> {
    let protocol = read(&root().join("docs/PROTOCOL.md"));
    let mut defined = BTreeSet::new();
    for line in protocol.lines().filter_map(|line| line.strip_prefix("**R-")) {
        let (id, _) = line.split_once(".**").unwrap_or_else(|| panic!("not a definition: {line}"));
        assert!(defined.insert(format!("R-{id}")), "R-{id} is defined twice");
    }
    assert!(!defined.is_empty(), "docs/PROTOCOL.md defines nothing");
    defined
}

/// Everything of the form `R-AREA-n`, and `_r_area_n` in the names of functions.
fn requirements(text: &str) -> BTreeSet<String> {
    let mut found: BTreeSet<_> = text.split("R-").skip(1).filter_map(|rest| id(rest, '-')).collect();
    for name in text.split("fn ").skip(1) {
        let name: String = name.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        found.extend(name.split("_r_").skip(1).filter_map(|rest| id(&rest.to_ascii_uppercase(), '_')));
    }
    found
}

/// Reads `AREA-n`, with this between the two.
fn id(text: &str, between: char) -> Option<String> {
    let area: String = text.chars().take_while(char::is_ascii_uppercase).collect();
    let digits = text.strip_prefix(&*area)?.strip_prefix(between)?;
    let number: String = digits.chars().take_while(char::is_ascii_digit).collect();
    (!area.is_empty() && !number.is_empty()).then(|| format!("R-{area}-{number}"))
}

#[test]
fn requirements_are_found_by_their_form() {
    let text = "(R-WIRE-3, R-CRYPTO-12) R-AREA-n OTHER-1 R-2 fn a_b_r_id_7_r_org_15() { let c_r_id_9; }";
    let found: Vec<_> = requirements(text).into_iter().collect();
    assert_eq!(found, ["R-CRYPTO-12", "R-ID-7", "R-ORG-15", "R-WIRE-3"]);
}

#[test]
fn a_citation_in_a_test_is_none_of_the_code() {
    let text = "// R-A-1\n#[cfg(test)]\nmod tests {\n    // R-B-2\n    fn f() {}\n}\nfn g() {} // R-C-3\n";
    let (code, tests) = split(text);
    assert_eq!(requirements(&code).into_iter().collect::<Vec<_>>(), ["R-A-1", "R-C-3"]);
    assert_eq!(requirements(&tests).into_iter().collect::<Vec<_>>(), ["R-B-2"]);
}
