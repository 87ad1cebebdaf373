//! A group's policy, read from JSON: the names that `chancery::json` prints it with.

use std::time::Duration;

use chancery::{Error, ErrorCode, GroupInfo, Posting, json};
use serde_json::Value;

/// What changes; `None` stays as it is.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    retention: Option<Option<Duration>>,
    disappearing: Option<Option<Duration>>,
    posting: Option<Posting>,
    history: Option<u32>,
    heal: Option<Option<Duration>>,
}

fn wrong(field: &str, what: &str) -> Error {
    Error::with(ErrorCode::Usage, format!("{field}: {what}"))
}

fn time(field: &str, value: &Value) -> Result<Option<Duration>, Error> {
    if value.is_null() {
        return Ok(None);
    }
    let seconds = value.as_u64().filter(|&seconds| seconds > 0);
    seconds.map(|it| Some(Duration::from_secs(it))).ok_or_else(|| wrong(field, "whole seconds or null"))
}

fn posting(value: &Value) -> Result<Posting, Error> {
    let known = [Posting::Members, Posting::Keyholders];
    let found = known.into_iter().find(|posting| value.as_str() == Some(json::posting_name(*posting)));
    found.ok_or_else(|| wrong("posting", "all or admins"))
}

fn history(value: &Value) -> Result<u32, Error> {
    value.as_u64().and_then(|it| u32::try_from(it).ok()).ok_or_else(|| wrong("history", "0 to 100"))
}

impl Rules {
    /// Reads them from an object that names at least one.
    pub(crate) fn read(value: &Value) -> Result<Self, Error> {
        let fields = value.as_object().ok_or_else(|| wrong("policy", "an object"))?;
        let mut rules = Self::default();
        for (field, value) in fields {
            match field.as_str() {
                "retention_s" => rules.retention = Some(time(field, value)?),
                "disappearing_s" => rules.disappearing = Some(time(field, value)?),
                "posting" => rules.posting = Some(posting(value)?),
                "history" => rules.history = Some(history(value)?),
                "heal_s" => rules.heal = Some(time(field, value)?),
                // As much of a name as anybody recognises it by.
                _ => return Err(wrong(&field.chars().take(64).collect::<String>(), "no such field")),
            }
        }
        if fields.is_empty() { Err(wrong("policy", "names nothing")) } else { Ok(rules) }
    }

    pub(crate) fn apply(&self, info: &mut GroupInfo) {
        info.retention = self.retention.unwrap_or(info.retention);
        info.disappearing = self.disappearing.unwrap_or(info.disappearing);
        info.posting = self.posting.unwrap_or(info.posting);
        info.history = self.history.unwrap_or(info.history);
        info.heal = self.heal.unwrap_or(info.heal);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(value: &Value) -> String {
        let error = Rules::read(value).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Usage);
        error.detail().unwrap().to_owned()
    }

    #[test]
    fn what_is_not_named_stays_and_null_takes_a_limit_away() {
        let value = json!({"retention_s": 60, "heal_s": null, "posting": "admins", "history": 3});
        let rules = Rules::read(&value).unwrap();
        let expected = Rules {
            retention: Some(Some(Duration::from_secs(60))),
            heal: Some(None),
            posting: Some(Posting::Keyholders),
            history: Some(3),
            disappearing: None,
        };
        assert_eq!(rules, expected);
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(refused(&json!({"posting": "everybody"})), "posting: all or admins");
        assert_eq!(refused(&json!({"retention_s": -1})), "retention_s: whole seconds or null");
        assert_eq!(refused(&json!({"heal_s": 0})), "heal_s: whole seconds or null");
        assert_eq!(refused(&json!({"history": "many"})), "history: 0 to 100");
        assert_eq!(refused(&json!({"dissolved": true})), "dissolved: no such field");
        assert_eq!(refused(&json!({})), "policy: names nothing");
        assert_eq!(refused(&json!(["posting"])), "policy: an object");
    }
}
