//! Messages that hold secrets or content print their name and nothing else.

use core::fmt;

use crate::proto;

macro_rules! print_name_only {
    ($($message:ty => $name:literal),* $(,)?) => {
        $(impl fmt::Debug for $message {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!($name, "(..)"))
            }
        })*

        #[cfg(test)]
        mod tests {
            use super::*;
            use alloc::format;

            #[test]
            fn messages_with_secrets_print_their_name_only() {
                $(assert_eq!(format!("{:?}", <$message>::default()), concat!($name, "(..)"));)*
            }
        }
    };
}

print_name_only! {
    proto::Attachment => "Attachment",
    proto::Text => "Text",
    proto::ReplyTo => "ReplyTo",
    proto::Form => "Form",
    proto::FormValue => "FormValue",
    proto::Edit => "Edit",
    proto::Invitation => "Invitation",
    proto::Enrolled => "Enrolled",
    proto::DeskSettings => "DeskSettings",
    proto::DeskInvitation => "DeskInvitation",
    proto::DeskMember => "DeskMember",
    proto::GuestTokenRecord => "GuestTokenRecord",
    proto::DeviceRecord => "DeviceRecord",
    proto::DirectoryKeysRecord => "DirectoryKeysRecord",
    proto::PendingEnrolmentRecord => "PendingEnrolmentRecord",
    proto::OutboxItem => "OutboxItem",
    proto::SessionRecord => "SessionRecord",
    proto::SkippedKey => "SkippedKey",
    proto::GroupFile => "GroupFile",
    proto::GroupWelcome => "GroupWelcome",
    proto::GroupHandOut => "GroupHandOut",
    proto::GroupPath => "GroupPath",
    proto::GroupRecord => "GroupRecord",
    proto::GroupInfo => "GroupInfo",
    proto::GroupStateRecord => "GroupStateRecord",
    proto::GroupEpochRecord => "GroupEpochRecord",
    proto::GroupSecretRecord => "GroupSecretRecord",
    proto::GroupCommitRecord => "GroupCommitRecord",
    proto::NextGroupSet => "NextGroupSet",
}

impl fmt::Debug for proto::outbox_item::Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Step(..)")
    }
}
