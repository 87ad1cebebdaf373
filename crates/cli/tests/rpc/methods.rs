//! A client that knows nothing but the OpenRPC document calls every method of it once.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::caller::{Caller, Transport};
use crate::support::{Company, string};

/// What `chancery rpc --openrpc` prints.
fn document() -> Value {
    let output = crate::support::chancery(&["rpc", "--openrpc"]).output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Checks a value against a schema of the document: as much of JSON Schema as the document uses.
fn check(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    if let Some(target) = schema["$ref"].as_str() {
        let target = document.pointer(target.strip_prefix('#').unwrap()).ok_or("a dangling reference")?;
        return check(document, target, value);
    }
    for name in ["anyOf", "oneOf"] {
        if let Some(choices) = schema[name].as_array() {
            let mut found = choices.iter().map(|choice| check(document, choice, value));
            return if found.any(|found| found.is_ok()) {
                Ok(())
            } else {
                Err(format!("{value} is none of {schema}"))
            };
        }
    }
    let is = |kind: &str| match kind {
        "null" => value.is_null(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    };
    let fits = match &schema["type"] {
        Value::String(kind) => is(kind),
        Value::Array(kinds) => kinds.iter().any(|kind| is(kind.as_str().unwrap())),
        _ => true,
    };
    if !fits || schema["const"] != Value::Null && schema["const"] != *value {
        return Err(format!("{value} is not {schema}"));
    }
    if schema["enum"].as_array().is_some_and(|all| !all.contains(value)) {
        return Err(format!("{value} is not {schema}"));
    }
    if let Some(fields) = value.as_object() {
        for name in schema["required"].as_array().into_iter().flatten() {
            fields.get(name.as_str().unwrap()).ok_or(format!("{value} has no {name}"))?;
        }
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            fields.get(name).map_or(Ok(()), |value| check(document, field, value))?;
        }
    }
    let items = value.as_array().into_iter().flatten();
    items.filter(|_| schema["items"].is_object()).try_for_each(|item| check(document, &schema["items"], item))
}

/// Calls methods by the document, and notes which were.
struct Generic {
    document: Value,
    caller: Caller,
    called: BTreeMap<String, u32>,
}

impl Generic {
    #[track_caller]
    fn call(&mut self, name: &str, params: Value) -> Value {
        let methods = self.document["methods"].as_array().unwrap();
        let method = methods.iter().find(|method| method["name"] == name).unwrap().clone();
        let described = method["params"].as_array().unwrap();
        for (given, value) in params.as_object().unwrap() {
            let param = described.iter().find(|param| param["name"] == given.as_str());
            let param = param.unwrap_or_else(|| panic!("{name} has no parameter {given}"));
            check(&self.document, &param["schema"], value).unwrap_or_else(|why| panic!("{name}: {why}"));
        }
        for param in described.iter().filter(|param| param["required"] == true) {
            let given = param["name"].as_str().unwrap();
            assert!(params.get(given).is_some(), "{name} needs {given}");
        }
        *self.called.entry(name.to_owned()).or_default() += 1;
        let result = self.caller.ok(name, params);
        check(&self.document, &method["result"]["schema"], &result)
            .unwrap_or_else(|why| panic!("{name} returned {result}: {why}"));
        result
    }
}

#[test]
fn every_method_of_the_document_is_served_as_it_says() {
    let company = Company::open();
    company.member("bob");
    let document = document();
    let caller = Caller::start(&company, "alice", Transport::Stdio, &["--receive-mode", "manual"]);
    let mut generic = Generic { document, caller, called: BTreeMap::new() };
    let call = |generic: &mut Generic, name: &str, params: Value| generic.call(name, params);

    // A home that is not there yet is enrolled through what serves it.
    let state = call(&mut generic, "accounts.list", json!({}));
    assert_eq!(state["accounts"][0]["state"], "not-enrolled");
    assert_eq!(generic.caller.fails("me", json!({})), "not-enrolled");
    let link = company.invite("alice");
    let me = call(&mut generic, "accounts.enrol", json!({"link": link, "timeoutMs": 60_000}));
    assert_eq!((&me["handle"], call(&mut generic, "me", json!({}))), (&json!("alice"), me.clone()));
    assert_eq!(generic.caller.fails("accounts.enrol", json!({"link": link})), "already-enrolled");

    alone(&mut generic);
    with_bob(&mut generic, &company);
    in_a_group(&mut generic);
    a_second_device(&mut generic, &company);

    let methods = generic.document["methods"].as_array().unwrap();
    let missing: Vec<&Value> = methods
        .iter()
        .map(|it| &it["name"])
        .filter(|it| !generic.called.contains_key(it.as_str().unwrap()))
        .collect();
    assert!(missing.is_empty(), "never called: {missing:?}");
    let mut pushed = generic.caller.events.iter();
    assert!(pushed.next().is_none(), "nothing is pushed to who asks");
}

fn alone(generic: &mut Generic) {
    assert_eq!(generic.call("version", json!({}))["receive_mode"], "manual");
    assert_eq!(generic.call("rpc.discover", json!({})), generic.document);
    generic.call("authenticate", json!({"token": "any"}));
    generic.call("sync", json!({"timeoutMs": 30_000}));
    generic.call("policy", json!({}));
    assert_eq!(generic.call("logStatus", json!({}))["state"], "current");
}

fn with_bob(generic: &mut Generic, company: &Company) {
    assert_eq!(generic.call("members.resolve", json!({"who": "bob"}))["handle"], "bob");
    std::fs::write(company.path("notes.txt"), "Tea at four.").unwrap();
    let file = company.at("notes.txt");
    let sent = generic.call("send", json!({"to": "bob", "text": "The notes", "files": [file]}));
    assert_eq!(sent["state"], "sent");
    assert_eq!(company.command("bob", &["receive"]).lines.len(), 1);
    company.command("bob", &["send", "alice", "Mine", "--file", &file]).ok();
    let event = loop {
        let event = generic.call("events.next", json!({"timeoutMs": 30_000}));
        if event["event"]["event"] == "message" {
            break event;
        }
        generic.call("events.ack", json!({"number": event["number"]}));
    };
    assert_eq!(event["event"]["text"], "Mine");
    let folder = company.at("saved");
    let saved = json!({"number": event["number"], "index": 0, "folder": folder});
    let path = string(&generic.call("events.saveFile", saved)["path"]);
    assert_eq!(std::fs::read_to_string(path).unwrap(), "Tea at four.");
    generic.call("events.ack", json!({"number": event["number"]}));
    let page = generic.call("history", json!({"with": "bob"}));
    assert_eq!(page["entries"].as_array().unwrap().len(), 2, "{page}");
}

fn in_a_group(generic: &mut Generic) {
    let wait = 30_000;
    let made = generic.call("groups.create", json!({"name": "Team", "timeoutMs": wait}));
    let group = string(&made["group"]);
    generic
        .call("groups.add", json!({"group": group, "members": ["bob"], "role": "reader", "timeoutMs": wait}));
    generic
        .call("groups.role", json!({"group": group, "member": "bob", "role": "member", "timeoutMs": wait}));
    generic.call("groups.rename", json!({"group": group, "name": "Crew", "timeoutMs": wait}));
    let sent = generic.call("groups.send", json!({"group": "Crew", "text": "Ahoy", "timeoutMs": wait}));
    assert_eq!((&sent["state"], &sent["group"]), (&json!("sent"), &json!(group)));
    assert_eq!(generic.call("groups.show", json!({"group": group}))["members"].as_array().unwrap().len(), 2);
    assert_eq!(generic.call("groups.list", json!({}))["groups"][0]["name"], "Crew");
    let page = generic.call("groups.history", json!({"group": group}));
    assert!(page["entries"].as_array().unwrap().iter().any(|entry| entry["text"] == "Ahoy"), "{page}");
    generic.call("groups.remove", json!({"group": group, "members": ["bob"], "timeoutMs": wait}));
    // Nobody else is left who could make the new keys: what is wanted may wait, and says so.
    let left = generic.caller.call("groups.leave", json!({"group": group, "timeoutMs": 1_000}));
    *generic.called.entry("groups.leave".to_owned()).or_default() += 1;
    assert!(left["result"]["state"].is_string() || left["error"]["data"]["name"].is_string(), "{left}");
}

fn a_second_device(generic: &mut Generic, company: &Company) {
    let link = string(&generic.call("devices.link", json!({}))["link"]);
    let (home, key) = (company.at("phone"), company.at("phone.key"));
    let added = generic.call("accounts.add", json!({"account": "phone", "home": home, "keyFile": key}));
    assert_eq!(added["state"], "not-enrolled");
    assert_eq!(generic.caller.fails("me", json!({})), "account-unnamed");
    let again = json!({"account": "other", "home": home, "keyFile": key});
    assert_eq!(generic.caller.fails("accounts.add", again), "account-exists");
    // Who enrols with a device link waits for approval, and holds nobody up.
    let enrol = json!({"account": "phone", "link": link, "timeoutMs": 60_000});
    let enrolling = generic.caller.begin("accounts.enrol", enrol);
    let code = loop {
        let accounts = generic.call("accounts.list", json!({}));
        if let Some(code) = accounts["accounts"][1]["code"].as_str() {
            break code.to_owned();
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    };
    let approve = json!({"account": "default", "code": code, "timeoutMs": 60_000});
    let device = string(&generic.call("devices.approve", approve)["device"]);
    assert_eq!(generic.caller.answer(enrolling)["result"]["device"], device.as_str());
    let devices = generic.call("devices.list", json!({"account": "default"}));
    assert!(
        devices["devices"].as_array().unwrap().iter().any(|it| it["device"] == device.as_str()),
        "{devices}"
    );
    generic.call("accounts.close", json!({"account": "phone"}));
    let remove = json!({"device": device, "timeoutMs": 60_000});
    assert_eq!(generic.call("devices.remove", remove)["state"], "removed");
    assert_eq!(generic.caller.fails("me", json!({"account": "phone"})), "account-unknown");
}
