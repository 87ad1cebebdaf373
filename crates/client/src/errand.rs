//! A connection for an errand: requests with answers, and nobody who waits for what the relay pushes.

use std::ops::Deref;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::connection::{Connection, Push};

/// Takes what is pushed and drops it: a connection whose pushes nobody takes ends.
pub(crate) struct Errand {
    connection: Connection,
    pushes: JoinHandle<()>,
}

impl Errand {
    pub(crate) fn new(connection: Connection, mut pushes: mpsc::Receiver<Push>) -> Self {
        let pushes = tokio::spawn(async move { while pushes.recv().await.is_some() {} });
        Self { connection, pushes }
    }
}

impl Deref for Errand {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl Drop for Errand {
    fn drop(&mut self) {
        self.pushes.abort();
    }
}
