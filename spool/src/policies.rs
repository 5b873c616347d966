//! What other domains ask of whoever sends to them, kept across restarts: small files in the folder
//! `mta-sts`, one for each domain.
//!
//! Promises: [`Policies::keep`] has made the new file durable when it returns, and a crash leaves the
//! old one or the new one, never a mixture: it is written beside, flushed, and put in its place.
//! Unlike the queue nothing here is owed to anybody: a file that cannot be read counts as absent, and
//! a failed write poisons nothing.
//!
//! Left to others: what the files say, and for how long it holds.

use std::io;
use std::sync::Arc;

use vouchsafe_proto::addr::Domain;

use crate::fs::Disk;
use crate::whole;

/// The folder.
const FOLDER: &str = "mta-sts";

/// Octets of one file that are read; a policy and a few words.
const MAX_FILE: u64 = 80 << 10;

/// The files.
#[derive(Clone, Debug)]
pub struct Policies {
    disk: Arc<dyn Disk>,
}

impl Policies {
    /// The files of this data folder. Blocks.
    pub fn open(disk: Arc<dyn Disk>) -> io::Result<Self> {
        disk.create_dir("")?;
        disk.create_dir(FOLDER)?;
        Ok(Self { disk })
    }

    /// All that are there and can be read; what a crash left half-written is taken away. Blocks.
    pub fn all(&self) -> io::Result<Vec<(Domain, Vec<u8>)>> {
        let mut all = Vec::new();
        for listed in self.disk.list(FOLDER)? {
            let name = listed.name;
            if name.ends_with(UNBORN) {
                self.disk.remove(&format!("{FOLDER}/{name}"))?;
            } else if let Ok(domain) = Domain::parse(&name)
                && let Ok(octets) = self.read(&name)
            {
                all.push((domain, octets));
            }
        }
        Ok(all)
    }

    /// Keeps this for a domain, in place of what was kept. Blocks.
    pub fn keep(&self, domain: &Domain, octets: &[u8]) -> io::Result<()> {
        let name = format!("{FOLDER}/{}", domain.as_ascii());
        let unborn = format!("{name}{UNBORN}");
        whole::replace(&*self.disk, &name, &unborn, octets)
    }

    /// Forgets a domain. Blocks.
    pub fn forget(&self, domain: &Domain) -> io::Result<()> {
        let removed = self.disk.remove(&format!("{FOLDER}/{}", domain.as_ascii()));
        match removed {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let name = format!("{FOLDER}/{name}");
        let octets = whole::read(&*self.disk, &name, MAX_FILE)?;
        octets.ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// Ends the name of a file that is being written; no domain name has it.
const UNBORN: &str = "~";
