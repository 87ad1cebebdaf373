//! The OpenRPC document, made of the table that is served.

use chancery::ErrorCode;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

use crate::fault::of_code;
use crate::methods::{METHODS, Method};

/// The version of the OpenRPC specification that the document follows.
const OPENRPC: &str = "1.3.2";

/// Returns the OpenRPC document of everything that is served.
#[must_use]
pub fn openrpc() -> Value {
    let settings = SchemaSettings::draft07().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let methods: Vec<Value> = METHODS.iter().map(|method| describe(method, &mut generator)).collect();
    let event = generator.subschema_for::<crate::shapes::Event>();
    let news = generator.subschema_for::<crate::shapes::News>();
    let progress = generator.subschema_for::<crate::shapes::Progress>();
    let errors: Map<String, Value> =
        ErrorCode::ALL.iter().map(|&code| (code.name().to_owned(), error(code))).collect();
    let mut document = json!({
        "openrpc": OPENRPC,
        "info": {
            "title": "Chancery",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "JSON-RPC 2.0. Parameters are given by name. Where events are pushed, each is a notification; `x-notifications` describes them.",
            "license": {"name": "Apache-2.0 OR MIT"},
        },
        "methods": methods,
        "x-notifications": [{
            "name": "event",
            "summary": "Something happened; acknowledge it with events.ack, or it comes again.",
            "params": event,
        }, {
            "name": "news",
            "summary": "Something is happening. It has no number, is not acknowledged and never comes again.",
            "params": news,
        }, {
            "name": "progress",
            "summary": "So much of a file has gone to the relay or come from it. At most four times a second for an account, and when all of it has.",
            "params": progress,
        }],
        "components": {"schemas": generator.take_definitions(true), "errors": errors},
    });
    unwrap(&mut document);
    document
}

fn describe(method: &Method, generator: &mut SchemaGenerator) -> Value {
    let about = on_one_line(method.about);
    let summary = about.split_once(". ").map_or_else(|| about.clone(), |(first, _)| format!("{first}."));
    let params = (method.params)(generator).to_value();
    let result = (method.result)(generator).to_value();
    let mut object = json!({
        "name": method.name,
        "summary": summary,
        "paramStructure": "by-name",
        "params": descriptors(&params),
        "result": {"name": "result", "description": result_about(&result, generator), "schema": result},
        "errors": method.errors.iter().map(|&code| error(code)).collect::<Vec<_>>(),
    });
    if let (true, Some(fields)) = (about != summary, object.as_object_mut()) {
        fields.insert("description".to_owned(), about.into());
    }
    object
}

/// Where a line of the source ends is of no use to a reader of the document.
fn on_one_line(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join(" ").trim().to_owned()
}

/// Writes every description on one line.
fn unwrap(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if name == "description" => *text = on_one_line(text),
                    value => unwrap(value),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(unwrap),
        _ => {}
    }
}

/// Returns the sentence that says what a result is.
fn result_about(schema: &Value, generator: &SchemaGenerator) -> Value {
    let referred = |schema: &Value| {
        let name = schema.get("$ref")?.as_str()?.rsplit('/').next()?;
        generator.definitions().get(name)?.get("description").cloned()
    };
    // Of what may be null, the schema is one of several.
    let choices = schema.get("anyOf").and_then(Value::as_array).into_iter().flatten();
    let found = schema.get("description").cloned().or_else(|| referred(schema));
    found.or_else(|| choices.filter_map(referred).next()).unwrap_or_else(|| "Any document.".into())
}

/// Takes the fields of a method's parameters apart: those that must be there come first, as the specification demands.
fn descriptors(params: &Value) -> Vec<Value> {
    let required = |name: &str| {
        params["required"].as_array().is_some_and(|all| all.iter().any(|required| required == name))
    };
    let fields = params["properties"].as_object().into_iter().flatten();
    let mut found: Vec<Value> = fields
        .map(|(name, schema)| {
            let mut descriptor = json!({"name": name, "required": required(name), "schema": schema});
            if let (Some(text), Some(fields)) = (schema.get("description"), descriptor.as_object_mut()) {
                fields.insert("description".to_owned(), text.clone());
            }
            descriptor
        })
        .collect();
    found.sort_by_key(|descriptor| descriptor["required"] != true);
    found
}

fn error(code: ErrorCode) -> Value {
    of_code(code, code.message(), chancery::Error::new(code).is_retryable())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_sentence(value: &Value) -> bool {
        value.as_str().is_some_and(|text| text.ends_with('.') && !text.contains('\n'))
    }

    #[test]
    fn the_document_is_as_the_meta_schema_demands() {
        let document = openrpc();
        assert_eq!(document["openrpc"], OPENRPC);
        for field in ["title", "version"] {
            assert!(document["info"][field].is_string(), "{field}");
        }
        let methods = document["methods"].as_array().unwrap();
        assert_eq!(methods.len(), METHODS.len());
        let mut names = std::collections::BTreeSet::new();
        for method in methods {
            let name = method["name"].as_str().unwrap();
            assert!(names.insert(name), "{name} is there twice");
            assert_eq!(method["paramStructure"], "by-name");
            let params = method["params"].as_array().unwrap();
            for param in params {
                assert!(param["name"].is_string() && param["schema"].is_object(), "{name}: {param}");
                assert!(
                    param["required"].is_boolean() && is_sentence(&param["description"]),
                    "{name}: {param}"
                );
            }
            let order: Vec<bool> = params.iter().map(|param| param["required"] == false).collect();
            assert!(order.is_sorted(), "{name}: what must be there comes first");
            let result = &method["result"];
            assert!(result["name"].is_string() && result["schema"].is_object(), "{name}");
            assert!(
                [&result["description"], &method["summary"]].iter().all(|it| is_sentence(it)),
                "{name}: {result}"
            );
            for error in method["errors"].as_array().unwrap() {
                assert!(error["code"].is_u64() && error["message"].is_string(), "{name}: {error}");
            }
        }
    }

    #[test]
    fn every_object_and_each_of_its_fields_is_said_in_a_sentence() {
        let (document, mut count) = (openrpc(), 0);
        for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
            assert!(schema["description"].is_string(), "{name}: {schema}");
            for (field, schema) in schema["properties"].as_object().into_iter().flatten() {
                assert!(is_sentence(&schema["description"]), "{name}.{field}: {schema}");
                count += 1;
            }
        }
        assert!(count > 200, "{count}");
        for notification in document["x-notifications"].as_array().unwrap() {
            assert!(notification["summary"].is_string() && notification["params"]["$ref"].is_string());
        }
    }

    #[test]
    fn the_reference_for_people_names_every_method() {
        let text = include_str!("../../../docs/RPC.md");
        let missing: Vec<&str> = METHODS
            .iter()
            .map(|method| method.name)
            .filter(|name| !text.contains(&format!("`{name}`")))
            .collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn follow(document: &Value, value: &Value, count: &mut usize) {
            if let Some(target) = value.get("$ref") {
                let path = target.as_str().unwrap().strip_prefix('#').unwrap();
                assert!(document.pointer(path).is_some(), "{path}");
                *count += 1;
            }
            match value {
                Value::Object(fields) => fields.values().for_each(|value| follow(document, value, count)),
                Value::Array(values) => values.iter().for_each(|value| follow(document, value, count)),
                _ => {}
            }
        }
        let (document, mut count) = (openrpc(), 0);
        follow(&document, &document, &mut count);
        assert!(count > METHODS.len() / 2, "{count}");
    }
}
