//! A whole way in on loopback, before a next hop that keeps to a script, for what takes minutes outside.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;
use vouchsafe_proto::time::Wall;
use vouchsafe_spool::fs::LocalDisk;
use vouchsafe_spool::{LocalSpool, Options, OutcomeCaps, Outcomes};

use super::{Ahead, Copies, House, Listener, Site};
use crate::config::schema::Listen;
use crate::current::Current;
use crate::dns::Resolver;
use crate::mta_sts;
use crate::next_hop::tests::hop::{Say, TestHop};
use crate::next_hop::tests::world::World;
use crate::next_hop::{NextHops, Reach, Recipients};
use crate::shutdown::Shutdown;
use crate::tls::next_hop::Client;
use crate::verify::{Policy, Verifier};

/// Nothing of this takes so long.
const LONG: Duration = Duration::from_mins(2);

/// What sessions work with that hold their paths to this next hop, and say NOOP there so often.
async fn site(folder: &TempDir, hop: &TestHop, kept_alive: Duration) -> Site {
    let text = format!(
        "hostname = \"mx.example.org\"\ndata_dir = \"{}\"\npostmaster = \"postmaster@example.org\"\n\
         relay.from = [\"127.0.0.1\"]\n[[listen]]\naddress = \"127.0.0.1:0\"\n\
         [domains.\"dst.example\"]\nnext_hop = \"smtp://{}\"\n",
        folder.path().display(),
        hop.address
    );
    let loaded = crate::config::parse(&text, Path::new("test.toml"));
    let config = loaded.unwrap_or_else(|error| panic!("{error}")).config;
    let recipients = Recipients::of(&config).await.unwrap();
    let current = Arc::new(Current::new(config, None).unwrap());
    let tls = Arc::new(Client::new(rustls::RootCertStore::empty()).unwrap());
    let resolver: Arc<dyn Resolver> = Arc::new(World::default().a("src.example", "192.0.2.1"));
    let policies = mta_sts::Policies::open(Arc::clone(&resolver), Arc::clone(&tls), None);
    let reach = Arc::new(Reach {
        policies: Arc::new(policies),
        resolver: Arc::clone(&resolver),
        tls,
    });
    let in_force = current.take();
    let verifier = Verifier::new(resolver, Arc::default(), Policy::of(&in_force.config));
    let spool = LocalSpool::open(folder.path(), Options::default().with_reserve(0)).unwrap();
    let disk = Arc::new(LocalDisk::new(folder.path().to_path_buf()));
    let outcomes = Outcomes::open(disk, Wall::default(), OutcomeCaps::default()).unwrap();
    let ahead = Ahead {
        sent: Arc::clone(spool.ledger()),
        copies: Copies::open(outcomes, &spool).await,
        in_flight: crate::next_hop::in_flight::InFlight::default(),
        marker: crate::hop_mark::marker(&[0; 32]),
        next_hops: Arc::new(NextHops::new(reach, current)),
        held: crate::next_hop::caps::Caps::default(),
        notebook: None,
        recipients,
    };
    let mut site = Site::new(&in_force, Arc::new(verifier), Arc::new(spool), ahead);
    site.kept_alive = kept_alive;
    site
}

/// A client that says one thing after the other.
struct Talk(BufReader<TcpStream>);

impl Talk {
    /// Says this, and hears a reply that begins so.
    async fn say(&mut self, line: &str, wanted: &str) {
        self.0.write_all(line.as_bytes()).await.unwrap();
        let mut reply = String::new();
        while reply.as_bytes().get(3) != Some(&b' ') {
            reply.clear();
            self.0.read_line(&mut reply).await.unwrap();
        }
        assert!(reply.starts_with(wanted), "{line}: {reply}");
    }

    /// To the first recipient.
    async fn begin(&mut self) {
        self.say("", "220").await;
        self.say("EHLO client.example\r\n", "250").await;
        self.say("MAIL FROM:<a@src.example>\r\n", "250").await;
        self.say("RCPT TO:<b@dst.example>\r\n", "250").await;
    }
}

/// While its client is silent between commands a next hop hears NOOP again and again; within content it
/// hears nothing but that, for as long as another takes to hear many.
#[tokio::test]
async fn next_hops_hear_from_us_while_a_client_thinks() {
    let mut hop = TestHop::start(|_, _| Say::Ordinary).await;
    let folder = tempfile::tempdir().unwrap();
    let site = site(&folder, &hop, Duration::from_millis(1)).await;
    let listen = Listen {
        address: "127.0.0.1:0".parse().unwrap(),
        proxy: false,
    };
    let listener = Listener::bind(listen).unwrap();
    let address = listener.address();
    let site = Arc::new(ArcSwap::from_pointee(site));
    let serving = listener.serve(Arc::new(House::default()), site, Shutdown::new(), LONG);
    let serving = tokio::spawn(serving);
    let talk = async {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut first = Talk(BufReader::new(stream));
        first.begin().await;
        hop.line("NOOP").await;
        hop.line("NOOP").await;
        first.say("RCPT TO:<c@dst.example>\r\n", "250").await;
        first.say("DATA\r\n", "354").await;
        first
            .0
            .write_all(b"Subject: x\r\n\r\none\r\n")
            .await
            .unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        let mut second = Talk(BufReader::new(stream));
        second.begin().await;
        // The first one's is the first connection.
        let mut heard = 0;
        while heard < 20 {
            heard += usize::from(hop.line("NOOP").await.0 == 1);
        }
        first.say("two\r\n.\r\n", "250").await;
        hop.next().await
    };
    let got = timeout(LONG, talk).await.expect("somebody waits");
    serving.abort();
    assert_eq!(got.recipients.len(), 2);
    assert!(
        got.content.ends_with("\r\n\r\none\r\ntwo\r\n"),
        "{}",
        got.content
    );
}
