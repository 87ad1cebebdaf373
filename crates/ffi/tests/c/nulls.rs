//! Makes of the header a program that calls every function wrongly, so that none is forgotten.
//!
//! Every function that returns a code is called with each of its pointers NULL while all else is well, with each of its texts not UTF-8, with a
//! wild handle, with one of another kind, and with one that is of the right form and not alive: always the code that the header promises, and no
//! output is written. Texts are of exactly their length, in memory of their own, for valgrind and AddressSanitizer to see who reads further. The
//! others are called with NULL and with what is no handle. Given a folder with Alice's home, the program calls every function of a client with
//! one that was closed.

use std::fmt::Write as _;

struct Parameter {
    kind: String,
    name: String,
}

pub(crate) struct Function {
    returns: String,
    pub(crate) name: String,
    parameters: Vec<Parameter>,
}

fn split(text: &str) -> (String, String) {
    let text = text.trim();
    let at = text.rfind([' ', '*']).unwrap().saturating_add(1);
    (text[..at].trim().to_owned(), text[at..].to_owned())
}

/// Reads the functions of the header.
pub(crate) fn functions(header: &str) -> Vec<Function> {
    let body = header.split_once("extern \"C\" {").unwrap().1;
    let body: String =
        body.split("/**").map(|part| part.split_once("*/").map_or("", |(_, code)| code)).collect();
    let mut found = Vec::new();
    for statement in body.split(';') {
        let Some((head, rest)) = statement.split_once('(') else { continue };
        let (returns, name) = split(head);
        let list = rest.rsplit_once(')').unwrap().0;
        let parameters = list.split(',').filter(|it| it.trim() != "void");
        let parameters = parameters.map(split).map(|(kind, name)| Parameter { kind, name }).collect();
        found.push(Function { returns, name, parameters });
    }
    found
}

impl Parameter {
    fn is_out(&self) -> bool {
        self.name.starts_with("out_")
    }

    fn is_text(&self) -> bool {
        self.kind == "chancery_str"
    }

    fn is_handle(&self) -> bool {
        !self.is_out()
            && self.kind.ends_with('*')
            && self.kind.contains("chancery_")
            && !self.kind.contains("chancery_str ")
    }

    /// Whether the header says that NULL is nothing for it.
    fn must_not_be_null(&self) -> bool {
        self.is_out() || self.is_text() || self.kind.ends_with('*') && self.name != "userdata"
    }

    /// What is well, as far as that goes without a client.
    fn good(&self) -> String {
        match self.kind.as_str() {
            _ if self.is_out() => format!("({})&canary.{}", self.kind, self.name),
            "chancery_str" if self.name == "bytes" => "exact(\"0123456789abcdef0123456789abcdef\")".into(),
            "chancery_str" => "exact(\"x\")".into(),
            "const chancery_str *" => "&list".into(),
            "char *" => "buffer".into(),
            "void *" | "chancery_progress_callback" | "chancery_code_callback" => "NULL".into(),
            kind if kind.ends_with('*') => format!("({kind})dead"),
            _ => "1".into(),
        }
    }

    fn null(&self) -> String {
        if self.is_text() { "chancery_text(NULL)".into() } else { "NULL".into() }
    }
}

fn call(function: &Function, change: Option<(usize, &str)>) -> String {
    let value = |(at, parameter): (usize, &Parameter)| match change {
        Some((changed, value)) if changed == at => value.to_owned(),
        _ => parameter.good(),
    };
    let values: Vec<_> = function.parameters.iter().enumerate().map(value).collect();
    format!("{}({})", function.name, values.join(", "))
}

/// Returns the program.
pub(crate) fn program(header: &str) -> String {
    let functions = functions(header);
    let mut calls = String::new();
    for function in &functions {
        if function.returns != "chancery_code" {
            others(&mut calls, function);
            continue;
        }
        let handles = function.parameters.iter().any(Parameter::is_handle);
        if handles {
            writeln!(calls, "  TRY(CHANCERY_HANDLE_CLOSED, {});", call(function, None)).unwrap();
        }
        for (at, parameter) in function.parameters.iter().enumerate() {
            if parameter.must_not_be_null() {
                let wrong = call(function, Some((at, &parameter.null())));
                writeln!(calls, "  TRY(CHANCERY_NULL_ARGUMENT, {wrong});").unwrap();
            }
            if parameter.is_text() && !["bytes", "passphrase"].contains(&parameter.name.as_str()) {
                let wrong = call(function, Some((at, "exact(\"\\xff\")")));
                writeln!(calls, "  TRY(CHANCERY_NOT_UTF_8, {wrong});").unwrap();
            }
            if parameter.is_handle() {
                let wild = format!("({})&canary", parameter.kind);
                let wrong = call(function, Some((at, &wild)));
                writeln!(calls, "  TRY_EITHER(CHANCERY_WRONG_HANDLE, CHANCERY_HANDLE_CLOSED, {wrong});")
                    .unwrap();
                if parameter.kind.contains("chancery_key") {
                    continue;
                }
                let other = format!("({})alive", parameter.kind);
                let wrong = call(function, Some((at, &other)));
                // Of two handles the other, which is not alive, may be looked at first.
                writeln!(calls, "  TRY_EITHER(CHANCERY_WRONG_HANDLE, CHANCERY_HANDLE_CLOSED, {wrong});")
                    .unwrap();
            }
        }
    }
    for function in
        functions.iter().filter(|function| function.parameters.iter().any(|it| it.must_not_be_null()))
    {
        assert!(is_tried(&calls, function), "{} is not called with NULL", function.name);
    }
    FRAME
        .replace("CALLS", &calls)
        .replace("ENDED", &closed(&functions))
        .replace("FIELDS", &fields(&functions))
}

/// Whether each pointer of a function was NULL once.
fn is_tried(calls: &str, function: &Function) -> bool {
    let pointers = function.parameters.iter().filter(|parameter| parameter.must_not_be_null()).count();
    let call = format!("{}(", function.name);
    let lines = calls.lines().filter(|line| line.contains(&call) && line.contains("NULL"));
    lines.filter(|line| line.contains("CHANCERY_NULL_ARGUMENT") || line.contains("(void)")).count()
        == pointers
}

/// What a closed client does: it is closed once more, and tells nobody (NULL) of progress.
const ENDS: [&str; 2] = ["chancery_client_close", "chancery_client_on_progress"];

/// Calls every function of a client with one that was closed.
fn closed(functions: &[Function]) -> String {
    let mut calls = String::new();
    for function in functions.iter().filter(|function| function.returns == "chancery_code") {
        let of_a_client = |it: &&Parameter| it.kind == "const chancery_client *";
        let Some(client) = function.parameters.first().filter(of_a_client) else { continue };
        let expected =
            if ENDS.contains(&function.name.as_str()) { "CHANCERY_OK" } else { "CHANCERY_HANDLE_CLOSED" };
        let call = call(function, Some((0, &format!("({})client", client.kind))));
        writeln!(calls, "    TRY({expected}, {call});").unwrap();
    }
    assert!(calls.lines().count() > 50, "{calls}");
    calls
}

fn others(calls: &mut String, function: &Function) {
    match function.parameters.as_slice() {
        [handle] if handle.is_handle() => {
            for value in ["NULL", "dead", "&canary"] {
                writeln!(calls, "  (void){}(({}){value});", function.name, handle.kind).unwrap();
            }
        }
        [] => writeln!(calls, "  (void){}();", function.name).unwrap(),
        [_] => writeln!(calls, "  (void){}(4242);", function.name).unwrap(),
        _ => panic!("{}: nobody has thought of this", function.name),
    }
}

/// A field of eight bytes for each output.
fn fields(functions: &[Function]) -> String {
    let all = functions.iter().flat_map(|function| &function.parameters).filter(|it| it.is_out());
    let names: std::collections::BTreeSet<_> = all.map(|parameter| parameter.name.as_str()).collect();
    names.into_iter().map(|name| format!("  unsigned long long {name};\n")).collect()
}

const FRAME: &str = r#"#include "check.h"

static struct {
FIELDS} canary, before;

static char *held[8192];
static size_t many;

/* A text in memory of its own, of exactly its length. */
static chancery_str exact(const char *text)
{
  chancery_str made;
  made.len = strlen(text);
  made.data = held[many] = malloc(made.len);
  CHECK(many < sizeof held / sizeof *held - 1 && held[many]);
  memcpy(held[many++], text, made.len);
  return made;
}

#define UNTOUCHED CHECK(!memcmp(&canary, &before, sizeof canary) && !memcmp(buffer, "canary!", 8))
#define TRY(expected, call) do { GIVES(expected, call); UNTOUCHED; } while (0)
#define TRY_EITHER(one, other, call) \
  do { \
    chancery_code code_ = (call); \
    if (code_ != (one)) GIVES(other, code_); \
    UNTOUCHED; \
  } while (0)

int main(int argc, char **argv)
{
  char buffer[8] = "canary!";
  chancery_str list = exact("x");
  chancery_key *dead = NULL, *alive = NULL;
  /* A handle that is not alive: of the right form for all kinds. */
  OK(chancery_key_new_passphrase(chancery_text("x"), &dead));
  chancery_key_free(dead);
  OK(chancery_key_new_passphrase(chancery_text("x"), &alive));
  memset(&canary, 0xa5, sizeof canary);
  memset(&before, 0xa5, sizeof before);
CALLS
  if (argc == 2) {
    chancery_client *client = open_home(argv[1], "alice");
    OK(chancery_client_close(client));
ENDED
    chancery_client_free(client);
  }
  chancery_key_free(alive);
  CHECK(chancery_live_handles() == 0);
  while (many > 0) free(held[--many]);
  return 0;
}
"#;
