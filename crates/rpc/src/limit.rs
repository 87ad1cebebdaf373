//! Every limit, and why it is what it is.

use std::time::Duration;

/// Longest request in bytes, of one call or a batch: 16 MiB. The longest text of a message is far below; files go by their paths.
pub(crate) const MAX_REQUEST: usize = 16 * 1024 * 1024;
/// Longest request in bytes of somebody who has not shown the token yet: a token and room for spaces.
pub(crate) const MAX_BEFORE_TOKEN: usize = 4 * 1024;
/// Most calls of a batch: its answer is held in memory as a whole.
pub(crate) const MAX_BATCH: usize = 256;
/// Most calls, or batches, of one connection that are worked on at once. Each may hold a connection to the relay.
pub(crate) const MAX_IN_FLIGHT: usize = 256;
/// Answers and events of one connection that wait until it reads; who does not read is not answered.
pub(crate) const MAX_UNREAD: usize = 64;
/// News of who is writing that a connection may be behind by; older ones are of no use.
pub(crate) const NEWS_BACKLOG: usize = 64;
/// Most connections of one process at once.
pub(crate) const MAX_CONNECTIONS: usize = 64;
/// Most accounts of one process: each keeps a store open and is connected to its relay.
pub(crate) const MAX_ACCOUNTS: usize = 64;
/// Longest name of an account, in bytes.
pub(crate) const MAX_ACCOUNT_NAME: usize = 64;
/// Longest that a call waits: 10 min. Whoever wants to wait longer asks again.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(600);
/// How long a call waits for the relay unless told otherwise.
pub(crate) const USUAL_WAIT: Duration = Duration::from_secs(30);
/// How long after the end of a connection's input its calls may go on: 60 s, so that `printf … | chancery rpc` has its answers.
pub(crate) const LEAVE: Duration = Duration::from_secs(60);
/// How long somebody may take to send the head of an HTTP request.
pub(crate) const HEAD_PATIENCE: Duration = Duration::from_secs(30);
/// How often to look for events that another process has stored in a home.
pub(crate) const POLL: Duration = Duration::from_secs(1);
/// How often an event stream over HTTP says that it is alive, so that a reader who is gone is noticed.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(15);
/// Entries of a history that are returned unless told otherwise: a screen or two.
pub(crate) const USUAL_PAGE: usize = 50;
