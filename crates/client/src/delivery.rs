//! What became of a message of one's own, as one value.

use chancery_engine::MessageState;

use crate::message::Message;

/// How far a message of one's own has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Delivery {
    /// It waits on this device.
    Queued,
    /// The relay has it for a device of the recipient, or for the group; nobody has said that it came.
    Sent,
    /// A device of so many members has said that it came.
    Delivered {
        /// Members who have it, or have read it.
        by: usize,
        /// How many there are: 1, or `None` in a group, whose members now [`crate::Client::readers`] says.
        of: Option<usize>,
    },
    /// So many members have read it.
    Read {
        /// Members who have read it.
        by: usize,
        /// As in [`Self::Delivered`].
        of: Option<usize>,
    },
    /// It will never reach anybody.
    Failed,
}

impl Delivery {
    /// Returns the name by which programs know it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Delivered { .. } => "delivered",
            Self::Read { .. } => "read",
            Self::Failed => "failed",
        }
    }
}

impl Message {
    /// Returns how far a message of one's own has come, as far as others tell (they may tell nothing): reading goes before delivery.
    /// `None` for what somebody else wrote.
    #[must_use]
    pub fn delivery(&self) -> Option<Delivery> {
        let of = self.group.is_none().then_some(1);
        let read = self.receipts.iter().filter(|it| it.read_at.is_some()).count();
        let has_come = |it: &&crate::MessageReceipt| it.delivered_at.is_some() || it.read_at.is_some();
        let delivered = self.receipts.iter().filter(has_come).count();
        Some(match self.state {
            MessageState::Received => return None,
            MessageState::Failed => Delivery::Failed,
            // Another device may have it, and say so, before this one's outbox is empty.
            _ if read > 0 => Delivery::Read { by: read, of },
            _ if delivered > 0 => Delivery::Delivered { by: delivered, of },
            MessageState::Sent => Delivery::Sent,
            _ => Delivery::Queued,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemberId, MessageReceipt, Timestamp};

    #[test]
    fn reading_goes_before_delivery_and_that_before_what_the_relay_says() {
        let waiting = chancery_engine::Unaddressed {
            message_id: [1; 16],
            to: "bob".into(),
            written_at: Timestamp::from_millis(1),
            text: chancery_wire::proto::Text::default(),
            failed: None,
            failed_at: Timestamp::from_millis(0),
            meant: None,
        };
        let mut message = Message::waiting(MemberId::new([2; 16]), "alice".into(), waiting);
        assert_eq!(message.delivery(), Some(Delivery::Queued));
        message.state = MessageState::Sent;
        assert_eq!(message.delivery(), Some(Delivery::Sent));
        let at = Some(Timestamp::from_millis(5));
        let receipt = |id: u8, delivered_at, read_at| MessageReceipt {
            member: MemberId::new([id; 16]),
            delivered_at,
            read_at,
        };
        message.receipts = vec![receipt(3, at, None)];
        assert_eq!(message.delivery(), Some(Delivery::Delivered { by: 1, of: Some(1) }));
        message.group = Some(crate::GroupName { id: [9; 16], name: "Crew".into() });
        message.receipts.push(receipt(4, None, at));
        assert_eq!(message.delivery(), Some(Delivery::Read { by: 1, of: None }));
        message.receipts.pop();
        message.receipts.push(receipt(4, at, None));
        assert_eq!(message.delivery(), Some(Delivery::Delivered { by: 2, of: None }));
        message.state = MessageState::Failed;
        assert_eq!(message.delivery(), Some(Delivery::Failed));
        message.state = MessageState::Received;
        assert_eq!(message.delivery(), None);
    }
}
