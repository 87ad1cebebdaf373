//! Vectors of the protocol: what `proto/vectors` holds, how it is made, and how somebody else's is checked.
//!
//! A case names its kind and its inputs; the kind says how everything else follows from them. So making a file
//! and checking one are the same computation.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

mod acts;
mod book;
mod braid;
mod delivery;
mod devices;
mod directory_keys;
mod enrolment;
mod erasure;
mod groups;
mod identity;
mod log;
mod primitives;
mod protobuf;
mod receipts;
mod replay;
mod run;
mod sessions;
mod shares;
mod storage;

/// Version of the files' format.
pub const FORMAT: u64 = 1;

/// Why a case could not be computed or is not right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// The case's identifier; empty when the file itself is wrong.
    pub id: String,
    /// What is wrong with it.
    pub what: String,
}

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.id, self.what)
    }
}

type Computation = Result<Computed, String>;

/// A kind of case: its name, the requirements that it shows, and the computation.
struct Kind {
    name: &'static str,
    requirements: &'static [&'static str],
    compute: fn(&Inputs<'_>) -> Computation,
}

/// A case before it is computed: identifier, kind, inputs.
type Draft = (String, &'static str, Value);

/// A file: its name and its cases.
type Plan = (&'static str, fn() -> Vec<Draft>);

fn plans() -> Vec<Plan> {
    [
        primitives::PLANS,
        identity::PLANS,
        log::PLANS,
        replay::PLANS,
        enrolment::PLANS,
        shares::PLANS,
        devices::PLANS,
        directory_keys::PLANS,
        delivery::PLANS,
        sessions::PLANS,
        run::PLANS,
        erasure::PLANS,
        storage::PLANS,
        groups::PLANS,
        acts::PLANS,
        receipts::PLANS,
    ]
    .concat()
}

fn kind(name: &str) -> Option<&'static Kind> {
    let all = [
        primitives::KINDS,
        identity::KINDS,
        log::KINDS,
        replay::KINDS,
        enrolment::KINDS,
        shares::KINDS,
        devices::KINDS,
        directory_keys::KINDS,
        delivery::KINDS,
        sessions::KINDS,
        run::KINDS,
        erasure::KINDS,
        storage::KINDS,
        acts::KINDS,
        receipts::KINDS,
    ];
    let all = all.into_iter().chain(groups::KINDS.iter().copied());
    all.flatten().find(|kind| kind.name == name)
}

/// Returns every file of `proto/vectors`: its name and its text.
#[must_use]
pub fn generate() -> Vec<(String, String)> {
    let file = |(name, drafts): Plan| {
        let cases: Vec<Value> = drafts().into_iter().map(case).collect();
        let file = json!({ "format": FORMAT, "protocol": "chancery/1", "name": name, "cases": cases });
        let text = serde_json::to_string_pretty(&file).expect("values are text");
        (format!("{name}.json"), text + "\n")
    };
    plans().into_iter().map(file).collect()
}

fn case((id, name, inputs): Draft) -> Value {
    let kind = kind(name).expect("a kind that exists");
    let inputs = inputs.as_object().expect("inputs have names").clone();
    let computed = (kind.compute)(&Inputs(&inputs)).unwrap_or_else(|what| panic!("{id}: {what}"));
    json!({
        "id": id,
        "kind": name,
        "requirements": kind.requirements,
        "inputs": inputs,
        "intermediates": computed.intermediates,
        "outputs": computed.outputs,
    })
}

/// Recomputes every case of a file from its inputs; returns how many there are.
///
/// # Errors
///
/// The first case that is not what follows from its inputs, or cannot be read.
pub fn check(text: &str) -> Result<usize, Wrong> {
    let of_file = |what: &str| Wrong { id: String::new(), what: what.to_owned() };
    let file: Value = serde_json::from_str(text).map_err(|e| of_file(&format!("no JSON: {e}")))?;
    if file["format"] != json!(FORMAT) {
        return Err(of_file("another format"));
    }
    let cases = file["cases"].as_array().filter(|cases| !cases.is_empty());
    let cases = cases.ok_or_else(|| of_file("no cases"))?;
    for case in cases {
        let id = case["id"].as_str().unwrap_or("case without id").to_owned();
        check_case(case).map_err(|what| Wrong { id, what })?;
    }
    Ok(cases.len())
}

fn check_case(case: &Value) -> Result<(), String> {
    let name = case["kind"].as_str().ok_or("no kind")?;
    let kind = kind(name).ok_or_else(|| format!("unknown kind {name}"))?;
    let inputs = case["inputs"].as_object().ok_or("no inputs")?;
    let computed = (kind.compute)(&Inputs(inputs))?;
    for (part, ours) in [("intermediates", &computed.intermediates), ("outputs", &computed.outputs)] {
        let theirs = case[part].as_object().ok_or_else(|| format!("no {part}"))?;
        for (name, value) in ours {
            if theirs.get(name) != Some(value) {
                return Err(format!("{part}.{name} is not what follows from the inputs"));
            }
        }
        if let Some(name) = theirs.keys().find(|name| !ours.contains_key(*name)) {
            return Err(format!("{part}.{name} is unknown"));
        }
    }
    Ok(())
}

/// What a case gives.
#[derive(Default)]
struct Computed {
    intermediates: Map<String, Value>,
    outputs: Map<String, Value>,
}

impl Computed {
    /// Adds a value on the way, secret or not.
    fn via(&mut self, name: &str, value: impl Into<Field>) {
        self.intermediates.insert(name.to_owned(), value.into().0);
    }

    /// Adds a result.
    fn out(&mut self, name: &str, value: impl Into<Field>) {
        self.outputs.insert(name.to_owned(), value.into().0);
    }
}

/// A value as it stands in a file: bytes as lower-case hex, numbers and text as they are.
struct Field(Value);

impl From<&[u8]> for Field {
    fn from(bytes: &[u8]) -> Self {
        Self(hex(bytes).into())
    }
}

impl<const N: usize> From<&[u8; N]> for Field {
    fn from(bytes: &[u8; N]) -> Self {
        Self(hex(bytes).into())
    }
}

impl From<&Vec<u8>> for Field {
    fn from(bytes: &Vec<u8>) -> Self {
        Self(hex(bytes).into())
    }
}

impl From<Value> for Field {
    fn from(value: Value) -> Self {
        Self(value)
    }
}

/// A case's inputs.
struct Inputs<'a>(&'a Map<String, Value>);

impl Inputs<'_> {
    fn bytes(&self, name: &str) -> Result<Vec<u8>, String> {
        bytes(self.0.get(name).unwrap_or(&Value::Null)).ok_or_else(|| format!("inputs.{name}: no hex"))
    }

    fn array<const N: usize>(&self, name: &str) -> Result<[u8; N], String> {
        self.bytes(name)?.try_into().map_err(|_| format!("inputs.{name}: not {N} bytes"))
    }

    fn list(&self, name: &str) -> Result<Vec<Vec<u8>>, String> {
        let list = self.0.get(name).and_then(Value::as_array);
        let list = list.ok_or_else(|| format!("inputs.{name}: no list"))?;
        list.iter().map(|it| bytes(it).ok_or_else(|| format!("inputs.{name}: no hex"))).collect()
    }

    fn number(&self, name: &str) -> Result<u64, String> {
        self.0.get(name).and_then(Value::as_u64).ok_or_else(|| format!("inputs.{name}: no number"))
    }

    fn small(&self, name: &str) -> Result<u32, String> {
        u32::try_from(self.number(name)?).map_err(|_| format!("inputs.{name}: too large"))
    }

    fn text(&self, name: &str) -> Result<&str, String> {
        self.0.get(name).and_then(Value::as_str).ok_or_else(|| format!("inputs.{name}: no text"))
    }
}

fn bytes(value: &Value) -> Option<Vec<u8>> {
    let text = value.as_str()?.as_bytes();
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_chunks::<2>();
    let all = pairs.iter().map(|[high, low]| Some(digit(*high)? * 16 + digit(*low)?)).collect();
    rest.is_empty().then_some(all)?
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Refuses a value that two computations disagree on.
fn same(what: &str, one: &[u8], other: &[u8]) -> Result<(), String> {
    (one == other).then_some(()).ok_or_else(|| format!("{what}: two computations differ"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    #[test]
    fn the_committed_vectors_are_current_and_check() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto/vectors");
        let mut ids = BTreeSet::new();
        let files = generate();
        assert!(files.len() >= 12);
        for (name, text) in &files {
            // To write them: cargo run -p chancery-testkit --bin vectors -- generate
            let there = std::fs::read_to_string(directory.join(name)).unwrap_or_default();
            assert!(there == *text, "proto/vectors/{name} is not current");
            let read: Value = serde_json::from_str(text).unwrap();
            for case in read["cases"].as_array().unwrap() {
                assert!(ids.insert(case["id"].as_str().unwrap().to_owned()), "{} stands twice", case["id"]);
            }
            assert_eq!(check(text), Ok(read["cases"].as_array().unwrap().len()));
        }
        let committed = std::fs::read_dir(directory).unwrap();
        let committed = committed
            .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|it| it == "json"));
        assert_eq!(committed.count(), files.len());
    }

    #[test]
    fn a_changed_digit_anywhere_is_found_and_named() {
        for (name, text) in generate() {
            let mut file: Value = serde_json::from_str(&text).unwrap();
            for index in 0..file["cases"].as_array().unwrap().len() {
                for part in ["intermediates", "outputs"] {
                    let names: Vec<String> =
                        file["cases"][index][part].as_object().unwrap().keys().cloned().collect();
                    let Some(field) = names.first() else { continue };
                    let good = file["cases"][index][part][field].clone();
                    file["cases"][index][part][field] = json!("00ff");
                    let wrong = check(&file.to_string()).unwrap_err();
                    assert_eq!(json!(wrong.id), file["cases"][index]["id"], "{name}");
                    assert!(wrong.what.contains(field), "{wrong}");
                    file["cases"][index][part][field] = good;
                }
                if index > 2 {
                    break;
                }
            }
        }
        assert!(check("{}").is_err() && check("").is_err());
    }
}
