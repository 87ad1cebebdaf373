//! A client that knows nothing but the OpenRPC document calls every method of it once.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::caller::{Caller, Transport};
use crate::support::{Company, run, string};

/// What `chancery rpc --openrpc` prints.
fn document() -> Value {
    let output = crate::support::chancery(&["rpc", "--openrpc"]).output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The fields that an object of this schema may have; `None` if it may have any.
fn fields<'a>(document: &'a Value, schema: &'a Value) -> Option<BTreeMap<&'a str, &'a Value>> {
    if let Some(target) = schema["$ref"].as_str() {
        return fields(document, document.pointer(target.strip_prefix('#').unwrap()).unwrap());
    }
    let named = schema["properties"].as_object()?;
    Some(named.iter().map(|(name, schema)| (name.as_str(), schema)).collect())
}

/// Checks a value against a schema of the document: as much of JSON Schema as the document uses, and besides that an object has no field
/// that the document does not tell of.
fn check(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    if let Some(target) = schema["$ref"].as_str() {
        let target = document.pointer(target.strip_prefix('#').unwrap()).ok_or("a dangling reference")?;
        return check(document, target, value);
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        check(document, part, value)?;
    }
    for name in ["anyOf", "oneOf"] {
        if let Some(choices) = schema[name].as_array() {
            let faults: Vec<String> =
                choices.iter().filter_map(|choice| check(document, choice, value).err()).collect();
            return if faults.len() < choices.len() {
                Ok(())
            } else {
                Err(format!("{value} is none of {schema}: {faults:?}"))
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
    if let (Some(given), Some(named)) = (value.as_object(), fields(document, schema)) {
        for name in schema["required"].as_array().into_iter().flatten() {
            given.get(name.as_str().unwrap()).ok_or(format!("{value} has no {name}"))?;
        }
        for (name, value) in given {
            let schema = named.get(name.as_str()).ok_or(format!("nothing tells of {name}"))?;
            check(document, schema, value).map_err(|why| format!("{name}: {why}"))?;
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
    acts(&mut generic, &company);
    conversations(&mut generic);
    settings(&mut generic);
    in_a_group(&mut generic);
    rules_of_a_group(&mut generic, &company);
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
    // What was acknowledged is in the history, and its files can be had from there.
    let (id, folder) = (&event["event"]["id"], company.at("later"));
    let file = json!({"with": "bob", "message": id, "index": 0, "folder": folder});
    let path = string(&generic.call("messages.saveFile", file)["path"]);
    assert!(path.starts_with(&folder), "{path}");
    assert_eq!(std::fs::read_to_string(path).unwrap(), "Tea at four.");
    let unknown = json!({"with": "bob", "message": "0".repeat(32), "index": 0, "folder": folder});
    assert_eq!(generic.caller.fails("messages.saveFile", unknown), "message-unknown");
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
}

fn rules_of_a_group(generic: &mut Generic, company: &Company) {
    let wait = 30_000;
    let made = generic.call("groups.create", json!({"name": "Board", "members": ["bob"], "timeoutMs": wait}));
    let group = string(&made["group"]);
    let policy = json!({"group": group, "posting": "admins", "history": 5, "retentionS": 86_400, "healS": 0, "timeoutMs": wait});
    assert_eq!(generic.call("groups.setPolicy", policy)["state"], "done");
    let shown = generic.call("groups.show", json!({"group": group}))["policy"].clone();
    let expected = json!({"retention_s": 86_400, "disappearing_s": null, "posting": "admins", "history": 5, "heal_s": null, "dissolved": false});
    assert_eq!(shown, expected);
    assert_eq!(
        generic.call("groups.heal", json!({"group": group, "timeoutMs": wait}))["epoch"].as_u64(),
        generic.call("groups.show", json!({"group": group}))["epoch"].as_u64()
    );
    let (org, key) = (company.at("org"), company.at("org.key"));
    let epoch = generic.call("groups.show", json!({"group": group}))["epoch"].to_string();
    let order = ["org", "group", "role", &group, "bob", "admin", "--epoch", &epoch];
    let order = run(&[order.as_slice(), &["--dir", &org, "--key-file", &key, "--json"]].concat()).ok();
    let execute = json!({"group": group, "order": order["order"], "timeoutMs": wait});
    assert_eq!(generic.call("groups.execute", execute)["state"], "done");
    generic.call("groups.handOver", json!({"group": group, "member": "bob", "timeoutMs": wait}));
    let roles: BTreeMap<String, String> = generic.call("groups.show", json!({"group": group}))["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (string(&it["handle"]), string(&it["role"])))
        .collect();
    let expected = [("alice", "admin"), ("bob", "owner")];
    assert_eq!(roles, expected.map(|(who, role)| (who.to_owned(), role.to_owned())).into());
    // A device of somebody who stays makes the new keys; until then it waits, and says so.
    let left = generic.call("groups.leave", json!({"group": group, "timeoutMs": 1_000}));
    assert_eq!((&left["state"], &left["waiting"]["code"]), (&json!("queued"), &json!("group-queued")));

    let made = generic.call("groups.create", json!({"name": "Soon over", "timeoutMs": wait}));
    let over = generic.call("groups.dissolve", json!({"group": made["group"], "timeoutMs": wait}));
    assert_eq!(over["phase"], "dissolved");
}

fn acts(generic: &mut Generic, company: &Company) {
    let with = "bob";
    let me = generic.call("me", json!({}));
    let bob = generic.call("members.resolve", json!({"who": "bob"}));
    let form = json!({"title": "Lunch?", "fields": [{"id": "ok", "label": "Coming?", "kind": "approval", "required": true}]});
    let file = json!({"path": company.at("notes.txt"), "media_type": "text/x-notes", "preview": "aGk="});
    let mention = json!({"start": 0, "length": 4, "member": bob["member"]});
    let message =
        json!({"to": with, "text": "@bob lunch?", "form": form, "files": [file], "mentions": [mention]});
    let id = generic.call("send", message)["id"].clone();
    let reply = json!({"to": with, "text": "At noon", "replyTo": {"id": id, "from": me["member"]}});
    let second = generic.call("send", reply)["id"].clone();
    generic.call("messages.edit", json!({"with": with, "message": second, "text": "At one"}));
    generic.call("messages.react", json!({"with": with, "message": id, "emoji": "🍲"}));
    generic.call("messages.answer", json!({"with": with, "message": id, "values": {"ok": "yes"}}));
    let page = generic.call("conversations.history", json!({"with": with, "limit": 2}));
    let [first, last] = page["entries"].as_array().unwrap().as_slice() else { panic!("{page}") };
    assert_eq!(
        (&first["form"], &first["answers"][0]["values"]),
        (&with_options(form), &json!({"ok": "yes"}))
    );
    assert_eq!((&first["mentions"], &first["reactions"][0]["emoji"]), (&json!([mention]), &json!("🍲")));
    assert_eq!(first["files"][0]["preview"], "aGk=");
    assert_eq!((&last["text"], &last["reply_to"]["text"]), (&json!("At one"), &json!("@bob lunch?")));
    assert!(last["edited_at"].is_string(), "{last}");
    // What was received, or is in the history, can be sent on as it is.
    let again = json!({"to": with, "text": first["text"], "form": first["form"], "mentions": first["mentions"], "replyTo": last["reply_to"]});
    generic.call("send", again);
    generic.call("messages.delete", json!({"with": with, "message": second}));
    let page = generic.call("conversations.history", json!({"with": with, "before": last["position"]}));
    assert!(page["entries"].as_array().unwrap().iter().all(|entry| entry["id"] != second), "{page}");
    assert_eq!(
        generic.caller.fails("messages.edit", json!({"with": with, "message": second, "text": "x"})),
        "message-unknown"
    );
}

/// A form as it is shown.
fn with_options(mut form: Value) -> Value {
    form["fields"][0]["options"] = json!([]);
    form
}

fn conversations(generic: &mut Generic) {
    generic.call("conversations.setDraft", json!({"with": "bob", "text": "Dear"}));
    let shown = generic.call("conversations.show", json!({"with": "bob"}));
    assert_eq!(
        (&shown["draft"], &shown["kind"], &shown["unread"]),
        (&json!("Dear"), &json!("direct"), &json!(1))
    );
    let all = generic.call("conversations.list", json!({}))["conversations"].clone();
    assert_eq!(all[0], shown);
    let readers = generic.call("conversations.readers", json!({"with": "bob"}))["readers"].clone();
    let handles: Vec<&Value> = readers.as_array().unwrap().iter().map(|reader| &reader["handle"]).collect();
    assert_eq!(handles, ["bob", "alice"]);
    assert_eq!(readers[1]["devices"], json!([generic.call("me", json!({}))["device"]]));
    assert_eq!(generic.caller.fails("conversations.readers", json!({"with": "nobody"})), "unknown-recipient");
    let read = json!({"with": "bob", "position": shown["last"]["position"]});
    assert_eq!(generic.call("conversations.markRead", read), json!({"unread": 0}));
    let members = generic.call("members.list", json!({"filter": "B"}));
    assert_eq!((&members["entries"][0]["handle"], &members["next"]), (&json!("bob"), &Value::Null));
    let behind = generic.call("members.list", json!({"after": "bob"}));
    assert_eq!(behind["entries"], json!([]));
}

fn settings(generic: &mut Generic) {
    let set = generic.call("settings.set", json!({"readReceipts": false}));
    let expected = json!({"read_receipts": false, "delivery_receipts": true, "typing": true});
    assert_eq!(set, expected);
    assert_eq!(generic.call("settings.show", json!({})), expected);
    let hour = json!({"disappears_after_s": 3_600});
    assert_eq!(generic.call("disappearing.set", json!({"with": "bob", "seconds": 3_600})), hour);
    assert_eq!(generic.call("disappearing.show", json!({"with": "bob"})), hour);
    let never = generic.call("disappearing.set", json!({"with": "bob", "seconds": 0}));
    assert_eq!(never, json!({"disappears_after_s": null}));
    assert!(generic.call("typing", json!({"to": "bob"}))["devices"].is_u64());
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
