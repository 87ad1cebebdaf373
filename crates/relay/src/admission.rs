//! Who may put something under a name, by the name's delivery token (R-ID-20).

use chancery_identity::delivery::Use;
use chancery_wire::RefusalCode;

use crate::connection::Fault;
use crate::limits::MAX_TOKEN;
use crate::step::{Step, at_most};

impl Step<'_> {
    /// Lets a request pass whose token is that of `name` for this use; the refusal of another does not tell what there is
    /// (R-RELAY-57).
    pub(crate) fn admitted(&self, of: Use, name: &[u8; 16], token: &[u8]) -> Result<(), Fault> {
        at_most(token.len(), MAX_TOKEN)?;
        if matches!(of, Use::Set | Use::Slot | Use::Send) {
            is_named(name)?;
        }
        self.needs_token(of, name, token)
    }
}

/// Zeros name no set and no slot (R-RELAY-57).
pub(crate) fn is_named(name: &[u8; 16]) -> Result<(), Fault> {
    if *name == [0; 16] { Err(RefusalCode::BadRequest.into()) } else { Ok(()) }
}
