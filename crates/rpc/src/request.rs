//! Requests as they come: one call or a batch of them, told apart from what is none.

use std::fmt;

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::fault::{Fault, METHOD_NOT_FOUND};
use crate::limit::MAX_BATCH;
use crate::methods::{self, Future, Method};
use crate::service::Service;

/// A call whose parameters were understood.
pub(crate) struct Call {
    /// `None` for a notification, which nobody answers.
    id: Option<Value>,
    work: Result<Future, Fault>,
}

/// What came.
pub(crate) enum Request {
    One(Call),
    Batch(Vec<Call>),
}

/// A request before its fields were looked at: nothing is copied, and what is not understood is skipped rather than built.
#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    method: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    params: Option<&'a RawValue>,
}

/// As `null` is something else than nothing.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// The calls of a batch; `None` if there are too many.
struct Calls<'a>(Option<Vec<&'a RawValue>>);

impl<'de> Deserialize<'de> for Calls<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Calls<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a batch")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut calls: A) -> Result<Calls<'de>, A::Error> {
                let mut found = Vec::new();
                while let Some(call) = calls.next_element()? {
                    if found.len() >= MAX_BATCH {
                        while calls.next_element::<IgnoredAny>()?.is_some() {}
                        return Ok(Calls(None));
                    }
                    found.push(call);
                }
                Ok(Calls(Some(found)))
            }
        }
        deserializer.deserialize_seq(Reader)
    }
}

impl Request {
    /// Reads a request.
    ///
    /// # Errors
    ///
    /// What is no JSON or no request at all, as a whole.
    pub(crate) fn read(bytes: &[u8], service: &Service) -> Result<Self, Fault> {
        // All of it is checked to be JSON, and UTF-8, before anything is believed.
        let whole: &RawValue = serde_json::from_slice(bytes).map_err(Fault::parse)?;
        match whole.get().bytes().next() {
            Some(b'[') => {
                let Calls(calls) = serde_json::from_str(whole.get()).map_err(Fault::parse)?;
                let calls =
                    calls.ok_or_else(|| Fault::invalid(format!("a batch has at most {MAX_BATCH} calls")))?;
                if calls.is_empty() {
                    return Err(Fault::invalid("an empty batch"));
                }
                Ok(Self::Batch(calls.into_iter().map(|call| Call::read(call, service)).collect()))
            }
            _ => Ok(Self::One(Call::read(whole, service))),
        }
    }

    /// Carries it out, a batch in its order; `None` if nobody wants an answer.
    pub(crate) async fn answer(self) -> Option<String> {
        match self {
            Self::One(call) => call.answer().await.map(|answer| answer.to_string()),
            Self::Batch(calls) => {
                let mut answers = Vec::new();
                for call in calls {
                    answers.extend(call.answer().await);
                }
                (!answers.is_empty()).then(|| Value::Array(answers).to_string())
            }
        }
    }

    /// Returns what to say instead of carrying it out; `None` if nobody wants an answer.
    pub(crate) fn refuse(self, fault: &Fault) -> Option<String> {
        let refuse = |call: Call| call.id.map(|id| failed(&id, fault));
        match self {
            Self::One(call) => refuse(call).map(|answer| answer.to_string()),
            Self::Batch(calls) => {
                let answers: Vec<Value> = calls.into_iter().filter_map(refuse).collect();
                (!answers.is_empty()).then(|| Value::Array(answers).to_string())
            }
        }
    }
}

impl Call {
    fn read(raw: &RawValue, service: &Service) -> Self {
        let Ok(request) = serde_json::from_str::<Raw<'_>>(raw.get()) else {
            return Self::wrong(Value::Null, "a request is an object with each field once");
        };
        let id = match request.id.map(|id| serde_json::from_str::<Value>(id.get())) {
            None => None,
            Some(Ok(id @ (Value::Null | Value::Number(_) | Value::String(_)))) => Some(id),
            Some(_) => return Self::wrong(Value::Null, "an id is a string, a number or null"),
        };
        // Who made it cannot be told apart from who does not know the standard: it gets an answer.
        let or_null = || id.clone().unwrap_or(Value::Null);
        if request.jsonrpc.is_none_or(|version| version.get() != "\"2.0\"") {
            return Self::wrong(or_null(), "jsonrpc is \"2.0\"");
        }
        let Some(Ok(name)) = request.method.map(|method| serde_json::from_str::<String>(method.get())) else {
            return Self::wrong(or_null(), "method is a string");
        };
        let params = request.params.map_or("{}", RawValue::get);
        if !params.starts_with(['{', '[']) {
            return Self::wrong(or_null(), "params is an object");
        }
        let work = match methods::find(&name) {
            Some(method) => begin(method, params, service),
            None => Err(Fault::Request(METHOD_NOT_FOUND, "there is no such method; see rpc.discover".into())),
        };
        Self { id, work }
    }

    fn wrong(id: Value, what: &str) -> Self {
        Self { id: Some(id), work: Err(Fault::invalid(what)) }
    }

    async fn answer(self) -> Option<Value> {
        let result = match self.work {
            Ok(work) => work.await,
            Err(fault) => Err(fault),
        };
        let id = self.id?;
        Some(match result {
            Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
            Err(fault) => failed(&id, &fault),
        })
    }
}

fn begin(method: &Method, params: &str, service: &Service) -> Result<Future, Fault> {
    if params.starts_with('[') {
        return Err(Fault::params("parameters are given by name, in an object"));
    }
    (method.call)(service.clone(), params)
}

fn failed(id: &Value, fault: &Fault) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "error": fault.object()})
}

/// Returns the answer to what was no request at all.
pub(crate) fn refusal(fault: &Fault) -> String {
    failed(&Value::Null, fault).to_string()
}
