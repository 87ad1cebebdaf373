//! The parameters and results of the methods, by topic. Parameters are read into these types, and the OpenRPC document is made of them;
//! results are what [`chancery::json`] makes, and these types say what is in it.

#![expect(dead_code, reason = "fields of results are there for their schemas")]

/// Parameters, as they are written here.
macro_rules! parameters {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        pub(crate) struct $name { $($(#[$field_doc])* pub(crate) $field: $type,)* }
    )*};
}

/// Parameters of what is done in an account.
macro_rules! account_parameters {
    ($($(#[$doc:meta])* $name:ident { $($fields:tt)* })*) => {
        parameters! {$(
            $(#[$doc])*
            $name {
                /// The account's name; it may be left out while there is only one.
                account: Option<String>,
                $($fields)*
            }
        )*}
    };
}

/// Parameters of what is done in an account and needs the relay.
macro_rules! waiting_parameters {
    ($($(#[$doc:meta])* $name:ident { $($fields:tt)* })*) => {
        account_parameters! {$(
            $(#[$doc])*
            $name {
                $($fields)*
                /// How long to wait for the relay, and for the desk where it is needed: 30,000 unless given, at most 600,000. What is stored by
                /// then is done later.
                timeout_ms: Option<u64>,
            }
        )*}
    };
}

/// Objects that results are made of.
macro_rules! results {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
        pub(crate) struct $name { $($(#[$field_doc])* $field: $type,)* }
    )*};
}

/// Words of which a parameter or result is one.
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $word:ident,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(rename_all = "kebab-case")]
        pub(crate) enum $name { $($(#[$word_doc])* $word,)* }
    )*};
}

mod accounts;
mod content;
mod conversations;
mod devices;
mod directory;
mod events;
mod groups;
mod messages;
mod settings;

pub use accounts::ReceiveMode;
pub(crate) use accounts::*;
pub(crate) use content::*;
pub(crate) use conversations::*;
pub(crate) use devices::*;
pub(crate) use directory::*;
pub(crate) use events::*;
pub(crate) use groups::*;
pub(crate) use messages::*;
pub(crate) use settings::*;
