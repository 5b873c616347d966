//! What the supervisor (systemd, or anything that speaks `sd_notify`) is told, and what it tells us
//! by signals. Without one, nothing is told and the signals work all the same.
//!
//! SIGTERM and SIGINT stop the service once what is in hand is finished; a second one ends it at
//! once, which loses nothing that was acknowledged. SIGHUP reads configuration and certificate
//! again.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};

use crate::cli::Exit;
use crate::current::Current;
use crate::log::{Logging, chain};
use crate::shutdown::Shutdown;

/// The signals, caught from the moment this is made.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Begins to catch them; within a runtime.
    pub fn catch() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Does what they say, for as long as the service runs.
    pub async fn obey(mut self, shutdown: Shutdown, current: Arc<Current>, log: Arc<Logging>) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => stop(&shutdown, &log, "SIGTERM"),
                _ = self.interrupt.recv() => stop(&shutdown, &log, "SIGINT"),
                _ = self.hang_up.recv() => reload(Arc::clone(&current), &log).await,
            }
        }
    }
}

/// Begins to stop; said a second time, ends the process.
fn stop(shutdown: &Shutdown, log: &Logging, signal: &'static str) {
    if shutdown.has_begun() {
        warn!(signal, "ending at once");
        log.flush();
        std::process::exit(Exit::Temporary as i32);
    }
    info!(signal, "stopping; what is in hand is finished first");
    tell(&[NotifyState::Stopping]);
    shutdown.begin();
}

/// Reads the configuration again, off the threads that serve: the disk may be slow.
async fn reload(current: Arc<Current>, log: &Logging) {
    match NotifyState::monotonic_usec_now() {
        Ok(moment) => tell(&[NotifyState::Reloading, moment]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
    let reading = Arc::clone(&current);
    match tokio::task::spawn_blocking(move || reading.reload()).await {
        Ok(Ok(later)) => {
            log.set_level(current.take().config.log.level);
            info!("configuration reloaded");
            for key in later {
                warn!(key, "this change takes effect at the next start");
            }
        }
        Ok(Err(why)) => {
            error!(error = %chain(&why), "configuration not reloaded; the one before stays in force");
        }
        Err(why) => error!(error = %why, "configuration not reloaded"),
    }
    tell(&[NotifyState::Ready]);
}

/// The service takes connections from now on.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// One line for `systemctl status`.
pub fn status(status: &str) {
    tell(&[NotifyState::Status(status)]);
}

/// Says at half the time the supervisor allows that the service is alive; ends at once when it
/// does not want to know.
pub async fn watchdog() {
    let Some(allowed) = sd_notify::watchdog_enabled().filter(|span| *span > Duration::ZERO) else {
        return;
    };
    let mut every = tokio::time::interval((allowed / 2).max(Duration::from_millis(1)));
    loop {
        every.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}

/// Tells the supervisor, if there is one.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!(error = %error, "the supervisor cannot be told");
    }
}
