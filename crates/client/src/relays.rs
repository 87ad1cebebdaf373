//! Connecting to the relay where it is now, or where it was (R-ENGINE-69).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chancery_engine::{Input, RelayPlace, relay_places};
use chancery_transport::Connector;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::client::Shared;
use crate::connection::{Connection, Push};
use crate::error::{Error, ErrorCode};
use crate::transport::Transport;

/// How long a place where the relay was never reached is left alone after it could not be: 5 minutes. Each try may take 10 s,
/// and there is a connection for every go of the outbox.
const LEFT_ALONE: Duration = Duration::from_secs(300);

/// What this process has made of the places: their connectors, which resume TLS sessions.
pub(crate) struct Relays {
    transport: Arc<dyn Transport>,
    known: Mutex<Vec<Known>>,
}

struct Known {
    place: RelayPlace,
    connector: Arc<dyn Connector>,
    failed: Option<Instant>,
}

impl Relays {
    /// Reaches every place by `transport`.
    pub(crate) fn over(transport: Arc<dyn Transport>) -> Self {
        Self { transport, known: Mutex::default() }
    }

    fn connector(&self, place: &RelayPlace) -> Result<Arc<dyn Connector>, Error> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.iter().find(|known| known.place == *place) {
            return Ok(Arc::clone(&known.connector));
        }
        let connector = self.transport.connector(&place.url, &place.pin)?;
        known.push(Known { place: place.clone(), connector: Arc::clone(&connector), failed: None });
        Ok(connector)
    }

    fn note(&self, place: &RelayPlace, failed: Option<Instant>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter_mut().filter(|known| known.place == *place).for_each(|known| known.failed = failed);
    }

    fn is_left_alone(&self, place: &RelayPlace) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = known.iter().find(|known| known.place == *place).and_then(|known| known.failed);
        failed.is_some_and(|failed| failed.elapsed() < LEFT_ALONE)
    }
}

impl Shared {
    /// Connects to the relay and says hello; returns the relay's pin as well, for a login.
    pub(crate) async fn connect(&self) -> Result<(Connection, mpsc::Receiver<Push>, [u8; 32]), Error> {
        let places = self.worker.call(|state| state.read_with(relay_places)).await?;
        let (new, reached) = match places.as_slice() {
            [new, reached] => (Some(new), reached),
            [reached] => (None, reached),
            _ => return Err(ErrorCode::Internal.into()),
        };
        if let Some(new) = new.filter(|new| !self.relays.is_left_alone(new)) {
            match self.connect_to(new).await {
                Ok(connected) => {
                    tracing::info!(url = new.url, "the relay has moved");
                    let place = new.clone();
                    self.worker.call(move |state| state.handle(Input::RelayReached(&place))).await?;
                    return Ok(connected);
                }
                Err(error) => {
                    tracing::info!(code = error.code().name(), "the relay is not yet where it has moved to");
                    self.relays.note(new, Some(Instant::now()));
                }
            }
        }
        self.connect_to(reached).await
    }

    async fn connect_to(
        &self,
        place: &RelayPlace,
    ) -> Result<(Connection, mpsc::Receiver<Push>, [u8; 32]), Error> {
        let connector = self.relays.connector(place)?;
        let (connection, pushes) = Connection::open(connector.as_ref(), &self.org).await?;
        self.relays.note(place, None);
        Ok((connection, pushes, place.pin))
    }
}
