//! The small world: a folder, a name server, the hosts around the service, and the service itself.
//!
//! Promises: everything is on loopback, at ports that were free; when the world ends, so does all of it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use vouchsafe_proto::addr::{Domain, ReversePath};
use vouchsafe_proto::time::{Mono, Now, Wall};
use vouchsafe_proto::verify::Verdict;
use vouchsafe_spool::fs::LocalDisk;
use vouchsafe_spool::ledger::Ledger;

use super::conversation::{Conversation, Differed};
use super::next_hop::{Conduct, NextHop};
use super::page::Page;
use super::server::Server;
use super::zones;
use crate::cli::{Exit, Failure, OrExit as _};
use crate::clock;
use crate::dns::authority::{Authority, Zones};
use crate::dns::{Settings, Stub};
use crate::perimeter::Perimeter;
use crate::verify::{Policy, Verifier};

/// What the refusing next hop says to every recipient.
pub const REFUSAL: &str = "550 5.1.1 no such user here";

/// Which mailboxes the laboratory's host refuses, and how.
pub const LAB_REFUSALS: [(&str, &str); 2] = [
    (
        "gus@lab.example.org",
        "550 5.1.1 gus moved out of room 12 in spring",
    ),
    (
        "fay@lab.example.org",
        "452 4.2.2 fay has 40 of 40 megabytes on /srv/box3",
    ),
];

/// All of it.
pub struct World {
    /// Takes mail for `example.org`.
    pub mailboxes: NextHop,
    /// Takes mail for `branch.example.org`, once it is up.
    pub branch: NextHop,
    /// Refuses mail for `old.example.org`.
    pub old: NextHop,
    /// Takes the bank's mail; the service finds it by MX.
    pub bank: NextHop,
    /// Has the mailboxes of `lab.example.org`, behind three servers.
    pub lab: NextHop,
    /// Forwards for those who were at the college once.
    pub alumni: NextHop,
    /// Has the mailboxes of `college.example`.
    pub college_mail: NextHop,
    /// The name server.
    pub dns: Authority,
    /// The service, which all clients of the stories speak to.
    pub server: Server,
    /// The server behind it, on the way to `lab.example.org`.
    pub campus: Server,
    /// The last before `lab`.
    pub faculty: Server,
    /// The server of `college.example`, which has its ledger.
    pub college: Server,
}

impl World {
    /// Makes it; what it writes goes into this folder.
    pub async fn start(folder: &Folder) -> Result<Self, Failure> {
        let zones = Zones::parse(&zones::text()).or_exit(Exit::Software)?;
        let dns = Authority::start(SocketAddr::from((zones::HERE, 0)), zones)
            .await
            .context("cannot start the demo's name server")
            .or_exit(Exit::Unavailable)?;
        let host = |name, address, conduct, is_up| {
            let mut host = NextHop::down(name, address, conduct)?;
            if is_up {
                host.up()?;
            }
            Ok::<_, io::Error>(host)
        };
        let hosts = || {
            let refuses = Conduct::Refuses(REFUSAL);
            let some = Conduct::RefusesSome(&LAB_REFUSALS);
            Ok::<_, io::Error>((
                host("mail.example.org", zones::MAILBOXES, Conduct::Takes, true)?,
                host("branch.example.org", zones::BRANCH, Conduct::Takes, false)?,
                host("old.example.org", zones::OLD, refuses, true)?,
                host("mail.bank.example", zones::BANK_IN, Conduct::Takes, true)?,
                host("lab.example.org", zones::LAB, some, true)?,
            ))
        };
        let (mailboxes, branch, old, bank, lab) = hosts()
            .context("cannot use the loopback addresses of the demo")
            .or_exit(Exit::Unavailable)?;
        let (alumni, college_mail) = Self::of_college()
            .context("cannot use the loopback addresses of the demo")
            .or_exit(Exit::Unavailable)?;
        let data_dir = folder.0.join("college");
        keep_ledger(&data_dir)
            .context("cannot write the college's ledger")
            .or_exit(Exit::Io)?;
        let text = zones::configuration_of_college(
            &data_dir.display().to_string(),
            dns.address(),
            college_mail.address,
            alumni.address,
        );
        let college = Server::start(folder.0.join("college.toml"), &text).await?;
        let faculty = Self::behind(folder, ("faculty", zones::FACULTY), &dns, lab.address).await?;
        let campus =
            Self::behind(folder, ("campus", zones::CAMPUS), &dns, faculty.address()).await?;
        let text = zones::configuration(&zones::Places {
            data_dir: &folder.0.join("data").display().to_string(),
            dns: dns.address(),
            mailboxes: mailboxes.address,
            branch: branch.address,
            old: old.address,
            campus: campus.address(),
            mx_port: bank.address.port(),
            ledgers: college.answering().port(),
        });
        let server = Server::start(folder.0.join("vouchsafe.toml"), &text).await?;
        Ok(Self {
            mailboxes,
            branch,
            old,
            bank,
            lab,
            alumni,
            college_mail,
            dns,
            server,
            campus,
            faculty,
            college,
        })
    }

    /// The hosts around the college.
    fn of_college() -> io::Result<(NextHop, NextHop)> {
        let takes = Conduct::Takes;
        let mut alumni = NextHop::down("alumni.example", zones::ALUMNI, takes)?;
        let mut mailboxes = NextHop::down("mail.college.example", zones::COLLEGE_IN, takes)?;
        alumni.up()?;
        mailboxes.up()?;
        Ok((alumni, mailboxes))
    }

    /// A server that holds the path from the one before it to this next hop.
    async fn behind(
        folder: &Folder,
        (name, address): (&str, Ipv4Addr),
        dns: &Authority,
        next_hop: SocketAddr,
    ) -> Result<Server, Failure> {
        let data_dir = folder.0.join(name).display().to_string();
        let hostname = format!("{name}.example.org");
        let host = (hostname.as_str(), address);
        let text = zones::configuration_behind(host, &data_dir, dns.address(), next_hop);
        Server::start(folder.0.join(format!("{name}.toml")), &text).await
    }

    /// Where the service listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Connects to the service from this address.
    pub async fn connect<'a>(
        &self,
        page: &'a Page,
        from: Ipv4Addr,
    ) -> Result<Conversation<'a>, Differed> {
        Conversation::open(page, from, self.address()).await
    }

    /// The verdict, as `vouchsafe check` gives it: by the service's own verifier, with an empty
    /// cache, so that the whole evidence is seen.
    pub async fn verdict(&self, reverse_path: &str, helo: &str, client: Ipv4Addr) -> Arc<Verdict> {
        let resolver = Arc::new(Stub::new(Settings::new(vec![self.dns.address()])));
        let perimeter = Arc::new(Perimeter::default());
        let verifier = Verifier::new(resolver, perimeter, Policy::default());
        let reverse_path = ReversePath::parse_inside(reverse_path).unwrap_or(ReversePath::Null);
        verifier
            .verify(reverse_path, helo.into(), IpAddr::V4(client))
            .await
    }

    /// Ends it, gracefully: as the service does at SIGTERM.
    pub async fn stop(self) {
        // The front first: whoever is behind has nothing under way then.
        for server in [self.server, self.campus, self.faculty, self.college] {
            server.stop().await;
        }
    }
}

/// A ledger that has been kept for two days in this folder: only then it can be said of a message that it was not sent.
fn keep_ledger(data_dir: &Path) -> anyhow::Result<()> {
    let (ledger, _) = Ledger::open(Arc::new(LocalDisk::new(data_dir.to_owned())))?;
    let (domain, span) = (Domain::parse("college.example")?, Duration::from_hours(48));
    let now = clock::now();
    let start = now.wall.as_secs().saturating_sub(span.as_secs());
    // Nothing of the two days has gone by on the clock of this process.
    let moment = |past: u64| Now {
        wall: Wall::from_secs(start.saturating_add(past)),
        mono: Mono::from_millis(past.saturating_mul(1000)),
    };
    ledger.begin(moment(0), &[domain.as_ascii().into()].into())?;
    for past in (0..=span.as_secs()).step_by(20 * 60) {
        ledger.witness(moment(past).wall, &domain, true)?;
        ledger.beat(moment(past))?;
    }
    Ok(())
}

/// A folder of our own, which goes when it is dropped: to be done when nothing writes into it any
/// more.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Makes it, in the system's place for such folders; only its owner can look into it.
    pub fn make() -> io::Result<Self> {
        let number = getrandom::u64().map_err(io::Error::other)?;
        let path = std::env::temp_dir().join(format!("vouchsafe-demo-{number:016x}"));
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::error!(folder = %self.0.display(), %error, "the demo's folder stays");
        }
    }
}
