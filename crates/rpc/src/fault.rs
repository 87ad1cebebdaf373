//! Why a request fails, as JSON-RPC says it.

use chancery::{Error, ErrorCode};
use serde_json::{Value, json};

/// No JSON.
pub(crate) const PARSE_ERROR: i64 = -32_700;
/// No request.
pub(crate) const INVALID_REQUEST: i64 = -32_600;
/// There is no such method.
pub(crate) const METHOD_NOT_FOUND: i64 = -32_601;
/// The parameters are not the method's.
pub(crate) const INVALID_PARAMS: i64 = -32_602;

/// Why a request fails.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// The request itself is wrong: one of the standard's codes, and what is wrong.
    Request(i64, String),
    /// The call was understood and failed.
    Call(Error),
}

impl Fault {
    pub(crate) fn parse(what: impl ToString) -> Self {
        Self::Request(PARSE_ERROR, what.to_string())
    }

    pub(crate) fn invalid(what: impl ToString) -> Self {
        Self::Request(INVALID_REQUEST, what.to_string())
    }

    pub(crate) fn params(what: impl ToString) -> Self {
        Self::Request(INVALID_PARAMS, what.to_string())
    }

    /// Returns the error object.
    pub(crate) fn object(&self) -> Value {
        match self {
            Self::Request(code, what) => json!({"code": code, "message": what}),
            Self::Call(error) => of_code(error.code(), &error.to_string(), error.is_retryable()),
        }
    }
}

/// Returns the error object of an application's error: its stable number is the code, which is positive and so outside the numbers
/// that the standard keeps for itself.
pub(crate) fn of_code(code: ErrorCode, message: &str, retry: bool) -> Value {
    let data = json!({"code": code.number(), "name": code.name(), "retry": retry});
    json!({"code": code.number(), "message": message, "data": data})
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Call(error)
    }
}

impl From<ErrorCode> for Fault {
    fn from(code: ErrorCode) -> Self {
        Self::Call(code.into())
    }
}
