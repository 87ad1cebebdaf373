//! The library as C sees it: programs in C, compiled here with the system's compiler and run beside a relay of this process.
//!
//! `CHANCERY_C_FLAGS` (words) is given to the compiler too, and `CHANCERY_C_RUNNER` (words) stands before each program: `.ci/ffi` runs the suite
//! with AddressSanitizer and under valgrind so.

#![cfg(test)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use chancery_dev::Organisation;
use tokio::runtime::{Builder, Runtime};

#[path = "c/nulls.rs"]
mod nulls;

// Linked, so that the library is built with what this test is built with.
use chancery_ffi as _;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Where cargo has put the library that this test was built with.
fn libraries() -> PathBuf {
    std::env::current_exe().unwrap().parent().unwrap().to_path_buf()
}

fn words(variable: &str) -> Vec<String> {
    std::env::var(variable).unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

/// Compiles a program, with every warning an error.
fn compile(source: &Path, into: &Path) -> PathBuf {
    let program = into.join(source.file_stem().unwrap());
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let mut command = Command::new(compiler);
    command.args(["-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", "-g", "-D_POSIX_C_SOURCE=200809L"]);
    command.arg("-DPLANTED_PANIC").args(words("CHANCERY_C_FLAGS"));
    command.arg("-I").arg(root().join("include")).arg("-I").arg(root().join("tests")).arg(source);
    command.arg("-o").arg(&program).arg("-L").arg(libraries()).args(["-lchancery_ffi", "-lpthread"]);
    command.arg(format!("-Wl,-rpath,{}", libraries().display()));
    let output = command.output().expect("a C compiler, cc or what CC names");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    program
}

fn command(program: &Path) -> Command {
    let mut runner = words("CHANCERY_C_RUNNER");
    let mut command = if runner.is_empty() {
        Command::new(program)
    } else {
        let mut command = Command::new(runner.remove(0));
        command.args(runner).arg(program);
        command
    };
    // Before the folder that `cargo build` leaves a library in, which has no planted panic, and may be older.
    command.env("LD_LIBRARY_PATH", libraries());
    command
}

fn run_program(program: &Path, arguments: &[&str]) {
    let output = command(program).args(arguments).output().unwrap();
    let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}: {}\n{out}\n{errors}", program.display(), output.status);
}

/// An organisation with its relay and desk, in threads of this process, and a link for each of two people.
struct Company {
    links: [String; 2],
    // Ended before its runtime.
    _acme: Organisation,
    _runtime: Runtime,
}

fn company() -> Company {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let acme = runtime.block_on(Organisation::start("Acme")).unwrap();
    let links = ["alice", "bob"].map(|handle| acme.invite(handle).unwrap());
    Company { links, _acme: acme, _runtime: runtime }
}

#[test]
fn two_people_talk_and_misuse_gives_codes_and_chat_is_a_program() {
    let folder = tempfile::tempdir().unwrap();
    let company = company();
    let [alice, bob] = &company.links;
    let place = folder.path().to_str().unwrap();
    run_program(&compile(&root().join("tests/conversation.c"), folder.path()), &[place, alice, bob]);
    run_program(&compile(&root().join("tests/messages.c"), folder.path()), &[place]);
    chat(folder.path());
    run_program(&compile(&root().join("tests/misuse.c"), folder.path()), &[place]);
    run_program(&nulls(folder.path()), &[place]);
}

/// Two people type a line each in `examples/c/chat.c`, and read what the other has typed.
fn chat(folder: &Path) {
    use std::io::{Read as _, Write as _};
    use std::process::Child;
    let source = root().join("../../examples/c/chat.c");
    assert!(
        std::fs::read_to_string(&source).unwrap().lines().count() <= 80,
        "an example that is read at once"
    );
    let program = compile(&source, folder);
    let start = |own: &str, other: &str| {
        let key = format!("{own}.key");
        let mut command = command(&program);
        command.current_dir(folder).args([own, &key, other]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
    };
    let (mut alice, mut bob) = (start("alice", "bob"), start("bob", "alice"));
    let say = |person: &mut Child, line: &str| {
        person.stdin.as_mut().unwrap().write_all(format!("{line}\n").as_bytes()).unwrap();
    };
    let shows = |person: &mut Child, text: &str| {
        // By bytes: what a buffer had read ahead would be lost with it.
        let (out, mut seen) = (person.stdout.as_mut().unwrap(), Vec::new());
        let mut byte = [0];
        while !String::from_utf8_lossy(&seen).contains(text) {
            out.read_exact(&mut byte).unwrap();
            seen.extend(byte);
        }
    };
    say(&mut alice, "Shall we have tea?");
    shows(&mut bob, "\"text\":\"Shall we have tea?\"");
    say(&mut bob, "At four.");
    shows(&mut alice, "\"text\":\"At four.\"");
    for person in [&mut alice, &mut bob] {
        drop(person.stdin.take());
        assert!(person.wait().unwrap().success());
    }
}

fn header() -> String {
    std::fs::read_to_string(root().join("include/chancery.h")).unwrap()
}

/// Makes the program that calls every function wrongly.
fn nulls(folder: &Path) -> PathBuf {
    let source = folder.join("nulls.c");
    std::fs::write(&source, nulls::program(&header())).unwrap();
    compile(&source, folder)
}

#[test]
fn null_wrong_text_and_dead_handles_are_codes_in_every_function_and_outputs_stay_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    run_program(&nulls(folder.path()), &[]);
}

#[test]
fn every_function_is_called_as_it_should_be_by_a_program_that_looks_at_what_comes() {
    let texts = ["check.h", "conversation.c", "messages.c", "misuse.c"]
        .map(|file| std::fs::read_to_string(root().join("tests").join(file)).unwrap());
    let functions = nulls::functions(&header());
    let missing: Vec<_> = functions
        .iter()
        .filter(|function| !texts.iter().any(|text| text.contains(&format!("{}(", function.name))))
        .map(|function| function.name.as_str())
        .collect();
    assert!(functions.len() > 70 && missing.is_empty(), "{missing:?}");
}

#[test]
fn nothing_is_exported_but_what_has_the_prefix() {
    let library = libraries().join(format!("libchancery_ffi{}", std::env::consts::DLL_SUFFIX));
    let output = Command::new("nm").args(["-D", "--defined-only"]).arg(library).output().unwrap();
    assert!(output.status.success());
    let listed = String::from_utf8(output.stdout).unwrap();
    let names: Vec<_> = listed.lines().filter_map(|line| line.split_whitespace().last()).collect();
    assert!(names.len() > 40, "{names:?}");
    assert!(names.iter().all(|name| name.starts_with("chancery_")), "{names:?}");
}

#[test]
fn the_header_is_one_for_cpp_too_and_so_is_the_example() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("include.cpp");
    let text =
        "#include <chancery.h>\nint main() { return chancery_text(\"a\").len == 1 ? CHANCERY_OK : 1; }\n";
    std::fs::write(&source, text).unwrap();
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".into());
    let mut command = Command::new(compiler);
    command.args(["-Wall", "-Wextra", "-pedantic", "-Werror", "-fsyntax-only", "-I"]);
    command.arg(root().join("include")).args(["-x", "c++"]).arg(source);
    let output = command.arg(root().join("../../examples/c/chat.c")).output().expect("a C++ compiler");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
