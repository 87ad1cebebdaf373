//! The header that is checked in is what cbindgen makes of the sources, and says of every function what there is to say.

#![cfg(test)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use chancery::ErrorCode;

/// Set to anything, it makes the test write the header instead of comparing it.
const WRITE: &str = "CHANCERY_WRITE_HEADER";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn checked_in() -> String {
    std::fs::read_to_string(root().join("include/chancery.h")).unwrap()
}

/// What stands before the types: versions, codes, and the one function that is written in C.
fn preamble() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut numbers = version.split(['.', '-']);
    let mut text = format!("#define CHANCERY_VERSION \"{version}\"\n");
    for part in ["MAJOR", "MINOR", "PATCH"] {
        text += &format!("#define CHANCERY_VERSION_{part} {}\n", numbers.next().unwrap());
    }
    text += "\n/** As a time: for ever. */\n#define CHANCERY_FOREVER UINT32_MAX\n";
    text += "\n/** What a chancery_code is. The numbers never change; there may be more in later versions. */\nenum {\n";
    text += "  /** Everything went well. */\n  CHANCERY_OK = 0,\n";
    for code in ErrorCode::ALL {
        let constant = code.name().to_uppercase().replace('-', "_");
        text += &format!("  /** {}. */\n  CHANCERY_{constant} = {},\n", code.message(), code.number());
    }
    // C99 allows the comma behind the last; C++98 does not, and nobody asks for that.
    text += "};\n";
    text
}

/// Where the functions stand, in the order in which one learns of them.
const MODULES: [&str; 11] = [
    "text",
    "library",
    "key",
    "client",
    "event",
    "acting",
    "conversation",
    "page",
    "receipts",
    "group",
    "organisation",
];

const AFTER: &str = "
/**
 * Makes a chancery_str of a string of C, whose bytes are not copied. Of NULL it makes one that is refused.
 */
static inline chancery_str chancery_text(const char *text)
{
  chancery_str made;
  made.data = text;
  made.len = text ? strlen(text) : 0;
  return made;
}
";

fn generated() -> String {
    let mut config = cbindgen::Config {
        language: cbindgen::Language::C,
        header: Some(std::fs::read_to_string(root().join("tests/header/top.h")).unwrap().trim_end().into()),
        include_guard: Some("CHANCERY_H".into()),
        no_includes: true,
        sys_includes: ["stdbool.h", "stddef.h", "stdint.h", "string.h"].map(Into::into).into(),
        after_includes: Some(preamble()),
        cpp_compat: true,
        usize_is_size_t: true,
        style: cbindgen::Style::Type,
        line_length: 140,
        documentation_style: cbindgen::DocumentationStyle::Doxy,
        ..cbindgen::Config::default()
    };
    config.function.sort_by = Some(cbindgen::SortKey::None);
    config.export.include = ["chancery_code".into()].into();
    let builder = MODULES.iter().fold(cbindgen::Builder::new().with_config(config), |builder, module| {
        builder.with_src(root().join("src").join(module).with_extension("rs"))
    });
    let mut text = Vec::new();
    builder.generate().unwrap().write(&mut text);
    let text = String::from_utf8(text).unwrap();
    // After the types, which it needs, and before the functions.
    let functions = text.find("#ifdef __cplusplus\nextern \"C\"").unwrap();
    let (types, functions) = text.split_at(functions);
    format!("{}\n{AFTER}\n{functions}", types.trim_end())
}

#[test]
fn the_header_is_what_is_made_of_the_sources() {
    let path = root().join("include/chancery.h");
    let made = generated();
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    assert_eq!(checked_in(), made, "run this test with {WRITE}=1 and look at what has changed");
}

/// The functions with the comment before each.
fn functions(header: &str) -> Vec<(&str, &str)> {
    let body = header.split_once("extern \"C\" {").unwrap().1;
    let mut found = Vec::new();
    for part in body.split("/**").skip(1) {
        let (comment, rest) = part.split_once("*/").unwrap();
        let name =
            rest.split_once('(').map(|(before, _)| before.split([' ', '*', '\n']).next_back().unwrap());
        found.push((name.unwrap(), comment));
    }
    found
}

#[test]
fn every_function_says_from_which_threads_it_may_be_called() {
    let header = checked_in();
    let functions = functions(&header);
    assert!(functions.len() > 40, "{}", functions.len());
    let silent: Vec<_> = functions.iter().filter(|(_, comment)| !comment.contains("Threads: ")).collect();
    assert!(silent.is_empty(), "{silent:?}");
}

/// Names of what Rust sources export.
fn exported(folder: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for part in text.split("#[unsafe(no_mangle)]").skip(1) {
            let name = part.split_once(" fn ").unwrap().1;
            names.insert(name.split('(').next().unwrap().to_owned());
        }
    }
    names
}

#[test]
fn every_exported_function_is_in_the_header_but_the_one_that_panics() {
    let header = checked_in();
    let listed: BTreeSet<_> = functions(&header).into_iter().map(|(name, _)| name.to_owned()).collect();
    let mut exported = exported(&root().join("src"));
    assert!(exported.remove("chancery_test_panic"));
    assert_eq!(listed, exported);
    assert!(!header.contains("chancery_test_panic"));
    assert!(exported.iter().all(|name| name.starts_with("chancery_")), "{exported:?}");
}
