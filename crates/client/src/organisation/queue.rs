//! The way of the desk's statements into the log, by whatever process of the desk is connected (R-ORG-41).

use chancery_identity::log::LeafKind;
use chancery_org::{Desk, Entered, Queued};
use chancery_wire::proto::{AppendLog, Signed, client_frame, relay_frame};

use super::desk::Office;
use super::org_error;
use crate::clock;
use crate::connection::Connection;
use crate::error::{Error, ErrorCode};
use crate::replay::kind_name;

/// A statement that waits for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waiting {
    /// Its place in the queue.
    pub number: u64,
    /// What it is about, in a word or two.
    pub kind: &'static str,
}

impl From<&Queued> for Waiting {
    fn from(queued: &Queued) -> Self {
        Self { number: queued.number, kind: kind_name(queued.kind) }
    }
}

impl Office {
    /// Hands the log everything that waits for it, in order (R-ORG-41). Nothing may be published or answered before.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::StatementRefused`] for a statement that the log does not take: it stays, and what is behind it waits.
    pub(super) async fn append_all(&self, connection: &Connection) -> Result<(), Error> {
        while let Some(Queued { number, kind, statement }) = self.next_statement()? {
            let entered = match append(connection, kind, statement).await {
                Ok(index) => Entered::At(index),
                Err(error) if error.code() == ErrorCode::RelayConflict => {
                    tracing::warn!(
                        number,
                        kind = kind_name(kind),
                        "the log has something that contradicts this"
                    );
                    Entered::Refused
                }
                Err(error) if is_final(error.code()) => {
                    let code = error.code().name();
                    tracing::error!(number, kind = kind_name(kind), code, "the log refuses a statement");
                    let detail = format!("number {number}, {}: {code}", kind_name(kind));
                    return Err(Error::with(ErrorCode::StatementRefused, detail));
                }
                Err(error) => return Err(error),
            };
            self.change(|records| Desk::entered(records, number, entered, clock::now()))?;
        }
        Ok(())
    }

    fn next_statement(&self) -> Result<Option<Queued>, Error> {
        self.store().read(|records| Desk::next_statement(records).map_err(|error| org_error(&error)))
    }
}

/// Appends one statement and returns the index of its entry.
pub(super) async fn append(connection: &Connection, kind: LeafKind, statement: Signed) -> Result<u64, Error> {
    let append = AppendLog { kind: kind.number().into(), statement: Some(statement) };
    match connection.request(client_frame::Body::AppendLog(append)).await? {
        relay_frame::Body::Appended(appended) => Ok(appended.index),
        _ => Err(ErrorCode::RelayProtocol.into()),
    }
}

/// Whether the log will not take the same statement later.
const fn is_final(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::RelayNotAuthorised
            | ErrorCode::RelayRefused
            | ErrorCode::RelayNotFound
            | ErrorCode::MessageTooLarge
            | ErrorCode::QuotaExceeded
    )
}
