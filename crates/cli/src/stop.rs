//! When to end: SIGINT, SIGTERM, the end of a supervisor or of the terminal.

use std::io::Read as _;

use tokio::sync::watch;

/// Becomes true once, for everybody who waits.
#[derive(Debug, Clone)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Listens from now on; a signal that comes before anybody waits is not lost. With `supervised`, the end of
    /// stdin counts as well, so that a supervisor that is killed leaves nothing behind.
    pub(crate) fn listen(supervised: bool) -> Result<Self, chancery::Error> {
        Self::begin(supervised, false)
    }

    /// As [`Self::listen`]; the end of the terminal counts as well, which what `nohup` starts has to outlive.
    pub(crate) fn listen_at_terminal() -> Result<Self, chancery::Error> {
        Self::begin(false, true)
    }

    fn begin(supervised: bool, at_terminal: bool) -> Result<Self, chancery::Error> {
        let (sender, receiver) = watch::channel(false);
        let signals = signals(at_terminal).map_err(|error| crate::failure::system(&error, "signals"))?;
        let by_signal = sender.clone();
        tokio::spawn(async move {
            signals.await;
            by_signal.send_replace(true);
        });
        if supervised {
            // A thread, not a task: a blocking read must not hold up the runtime's end.
            std::thread::spawn(move || {
                let mut buffer = [0; 64];
                while matches!(std::io::stdin().read(&mut buffer), Ok(1..)) {}
                sender.send_replace(true);
            });
        }
        Ok(Self(receiver))
    }

    /// Waits for the end.
    pub(crate) async fn wait(&self) {
        // An error means that nobody can ever say stop; the wait is then for ever.
        if self.0.clone().wait_for(|&stop| stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Whether it is time.
    pub(crate) fn is_due(&self) -> bool {
        *self.0.borrow()
    }
}

/// Waits until somebody wants a command that only watches its own processes to end; a closed terminal counts as well.
pub(crate) async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let (Ok(mut terminate), Ok(mut hang_up)) =
            (signal(SignalKind::terminate()), signal(SignalKind::hangup()))
        {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = hang_up.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}

#[cfg(unix)]
fn signals(at_terminal: bool) -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hang_up = if at_terminal { Some(signal(SignalKind::hangup())?) } else { None };
    let hung_up = async move {
        match &mut hang_up {
            Some(hang_up) => drop(hang_up.recv().await),
            None => std::future::pending().await,
        }
    };
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = hung_up => {}
        }
    })
}

#[cfg(not(unix))]
fn signals(_at_terminal: bool) -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    Ok(async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}
