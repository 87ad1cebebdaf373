//! Who may put something under a name, by the name's delivery token (R-ID-20).

use crate::connection::Fault;
use crate::limits::MAX_TOKEN;
use crate::step::{Step, at_most};

impl Step<'_> {
    /// Lets a request pass whose token is that of `name`; the refusal of another does not tell what there is (R-RELAY-57).
    pub(crate) fn admitted(&self, name: &[u8; 16], token: &[u8]) -> Result<(), Fault> {
        at_most(token.len(), MAX_TOKEN)?;
        self.needs_token(name, token)
    }
}
