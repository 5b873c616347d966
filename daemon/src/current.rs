//! The configuration and the certificate in force, and their exchange at a reload.
//!
//! Whoever needs them takes them at the start of a piece of work (a session, an attempt) and keeps
//! what it took until the end of it. A reload is whole or not at all: with a mistake in the file
//! everything stays as it was.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::sync::watch;

use crate::config::{Config, LoadError, load};
use crate::tls::{self, CertificateError};

/// What is in force.
#[derive(Debug)]
pub struct Current {
    /// Where a reload reads; none for a world that has no file.
    path: Option<PathBuf>,
    in_force: ArcSwap<InForce>,
    reloads: watch::Sender<u64>,
}

/// One configuration with what was made from it.
#[derive(Debug)]
pub struct InForce {
    /// The configuration.
    pub config: Config,
    /// The server's side of TLS, if there is a certificate.
    pub tls: Option<Arc<ServerConfig>>,
}

/// Why a reload changed nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// There is no file to read.
    #[error("this configuration is not from a file")]
    NoFile,
    /// The file has mistakes.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The certificate went away between the check and its use.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

impl Current {
    /// Puts a configuration in force.
    pub fn new(config: Config, path: Option<PathBuf>) -> Result<Self, CertificateError> {
        Ok(Self {
            path,
            in_force: ArcSwap::from_pointee(InForce::make(config)?),
            reloads: watch::Sender::new(0),
        })
    }

    /// What is in force now.
    pub fn take(&self) -> Arc<InForce> {
        self.in_force.load_full()
    }

    /// Reads the file again. Gives the keys that changed but hold only from the next start.
    pub fn reload(&self) -> Result<Vec<&'static str>, ReloadError> {
        let path = self.path.as_deref().ok_or(ReloadError::NoFile)?;
        let mut fresh = InForce::make(load(path)?.config)?;
        let old = self.take();
        let mut later = Vec::new();
        if fresh.config.data_dir != old.config.data_dir {
            fresh.config.data_dir.clone_from(&old.config.data_dir);
            later.push("data_dir");
        }
        if fresh.config.listen != old.config.listen {
            fresh.config.listen.clone_from(&old.config.listen);
            later.push("listen");
        }
        if fresh.config.log.format != old.config.log.format {
            fresh.config.log.format = old.config.log.format;
            later.push("log.format");
        }
        self.in_force.store(Arc::new(fresh));
        self.reloads
            .send_modify(|count| *count = count.wrapping_add(1));
        Ok(later)
    }

    /// Changes with each reload that took effect.
    pub fn reloads(&self) -> watch::Receiver<u64> {
        self.reloads.subscribe()
    }
}

impl InForce {
    /// Reads the certificate that the configuration names.
    fn make(config: Config) -> Result<Self, CertificateError> {
        let tls = match &config.tls {
            Some(files) => Some(tls::server(&files.certificate, &files.key)?),
            None => None,
        };
        Ok(Self { config, tls })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reload_is_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("v.toml");
        #[expect(clippy::disallowed_methods, reason = "a file of a test")]
        let write = |hostname: &str, port: u16, tail: &str| {
            let text = format!(
                "hostname = \"{hostname}\"\ndata_dir = \"/tmp/vouchsafe\"\n[[listen]]\naddress = \
                 \"127.0.0.1:{port}\"\n[domains.\"example.org\"]\nnext_hop = \
                 \"smtp://192.0.2.1\"\n{tail}"
            );
            std::fs::write(&file, text).unwrap();
        };
        write("one.example.org", 2525, "");
        let current = Current::new(load(&file).unwrap().config, Some(file.clone())).unwrap();
        let reloads = current.reloads();
        let before = current.take();

        write("two.example.org", 2525, "nonsense = 1\n");
        assert!(matches!(current.reload(), Err(ReloadError::Load(_))));
        assert!(Arc::ptr_eq(&before, &current.take()));
        assert!(!reloads.has_changed().unwrap());

        let (certificate, key) = crate::config::test_certificate(folder.path());
        let tls = format!("[tls]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n");
        write("two.example.org", 2526, &tls);
        assert_eq!(current.reload().unwrap(), ["listen"]);
        assert!(reloads.has_changed().unwrap());
        let after = current.take();
        assert_eq!(after.config.hostname.as_str(), "two.example.org");
        assert_eq!(after.config.listen, before.config.listen);
        assert!(after.tls.is_some() && before.tls.is_none());
    }

    #[test]
    fn a_world_without_a_file_is_not_reloaded() {
        let text = "hostname = \"mx.example.org\"\ndata_dir = \"/tmp/v\"\npostmaster = \
                    \"root@example.org\"\nrelay.from = [\"127.0.0.1\"]\nlisten = [{ address = \
                    \"127.0.0.1:0\" }]\n";
        let config = crate::config::parse(text, "test".as_ref()).unwrap().config;
        let current = Current::new(config, None).unwrap();
        assert!(matches!(current.reload(), Err(ReloadError::NoFile)));
    }
}
