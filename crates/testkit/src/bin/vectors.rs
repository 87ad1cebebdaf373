//! Writes `proto/vectors`, or checks files of that form that somebody else made.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use chancery_testkit::vectors::{check, generate};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((command, [])) if command == "generate" => write_all(),
        Some((command, files)) if command == "check" && !files.is_empty() => check_all(files),
        _ => {
            eprintln!("usage: vectors generate | vectors check FILE...");
            ExitCode::from(2)
        }
    }
}

fn write_all() -> ExitCode {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto/vectors");
    for (name, text) in generate() {
        let path = directory.join(name);
        if let Err(error) = fs::create_dir_all(&directory).and_then(|()| fs::write(&path, text)) {
            eprintln!("{}: {error}", path.display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn check_all(files: &[String]) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for file in files {
        let checked = fs::read_to_string(file).map_err(|error| error.to_string());
        match checked.and_then(|text| check(&text).map_err(|wrong| wrong.to_string())) {
            Ok(cases) => println!("{file}: {cases} cases right"),
            Err(wrong) => {
                eprintln!("{file}: {wrong}");
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}
