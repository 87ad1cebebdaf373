//! How a follower stands to the relay, and how far files have come.

use serde_json::{Value, json};

use super::{error, hex, insert, rfc3339};
use crate::attachment::Progress;
use crate::connection_state::Connection;

/// Returns how a follower stands to the relay; while it waits, why and until when.
#[must_use]
pub fn connection(now: &Connection) -> Value {
    let mut object = json!({"event": "connection", "state": now.name()});
    if let Connection::Waiting { why, until } = now {
        insert(&mut object, "error", error(why));
        insert(&mut object, "until", rfc3339(until.as_millis()).into());
    }
    object
}

/// Returns how far a file has come.
#[must_use]
pub fn progress(now: &Progress) -> Value {
    json!({
        "message": {"id": hex(&now.message.id), "from": now.message.author.to_string()},
        "index": now.index,
        "direction": now.direction.name(),
        "name": now.name,
        "done": now.done,
        "total": now.total,
    })
}

#[cfg(test)]
mod tests {
    use chancery_wire::Timestamp;

    use super::*;
    use crate::error::ErrorCode;

    #[test]
    fn what_waits_says_why_and_until_when() {
        let connected = connection(&Connection::Connected);
        assert_eq!(connected, json!({"event": "connection", "state": "connected"}));
        let until = Timestamp::from_millis(951_782_400_000);
        let waiting = connection(&Connection::Waiting { why: ErrorCode::RelayUnreachable.into(), until });
        assert_eq!(waiting["state"], "waiting");
        assert_eq!(waiting["error"]["code"], "relay-unreachable");
        assert_eq!(waiting["until"], "2000-02-29T00:00:00.000Z");
    }
}
