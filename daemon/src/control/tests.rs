//! Both ends of the socket, on a real queue.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tempfile::TempDir;
use vouchsafe_proto::addr::{ForwardPath, ReversePath};
use vouchsafe_proto::envelope::{BodyType, Envelope, Origin};
use vouchsafe_proto::verify::VerdictResult;
use vouchsafe_spool::{LocalSpool, Options, Spool};

use super::client::{AskError, ask};
use super::wire::{Refusal, Reply, Request, State};
use super::{BindError, Control, Sources};
use crate::bounded::Figures;
use crate::clock;
use crate::config::parse;
use crate::config::schema::control_socket;
use crate::current::Current;
use crate::operator::{Filter, Hand};
use crate::rates::Rates;
use crate::runner::Desk;
use crate::shutdown::Shutdown;

/// A service that is nothing but its control socket.
struct World {
    folder: TempDir,
    sources: Arc<Sources>,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "hostname = \"mx.example.org\"\ndata_dir = \"{}\"\nlisten = [{{ address = \
             \"127.0.0.1:0\" }}]\n[domains.\"example.org\"]\nnext_hop = \"smtp://127.0.0.1:9\"\n",
            folder.path().display()
        );
        let config = parse(&text, Path::new("test")).unwrap().config;
        let options = Options::default().with_reserve(0);
        let spool = LocalSpool::open(folder.path(), options).unwrap();
        let ledger = Arc::clone(spool.ledger());
        let sources = Arc::new(Sources {
            ledger,
            hand: Hand::new(Arc::new(spool), Desk::empty(), folder.path()),
            current: Arc::new(Current::new(config, None).unwrap()),
            shutdown: Shutdown::new(),
            started: clock::now().wall,
            listening: vec!["127.0.0.1:25".parse().unwrap()],
            house: Arc::default(),
            rates: Arc::new(Rates::new().and("dns", || Figures {
                hits: 3,
                ..Figures::default()
            })),
        });
        Self { folder, sources }
    }

    /// Puts a message into the queue.
    async fn store(&self, recipient: &str) -> String {
        let now = clock::now().wall;
        let mut draft = self.sources.hand.spool.begin(now).await.unwrap();
        draft.append(Bytes::from_static(b"a: b\r\n")).await.unwrap();
        let origin = Origin::Client {
            address: "192.0.2.1".parse().unwrap(),
            helo: "mail.example.net".into(),
        };
        let envelope = Envelope {
            body: BodyType::EightBitMime,
            ..Envelope::plain(
                ReversePath::parse_inside("a@example.net").unwrap(),
                VerdictResult::Unknown,
                origin,
                [ForwardPath::parse_inside(recipient).unwrap()],
            )
        };
        let custody = draft.commit(envelope, now).await.unwrap();
        custody.queue_id().to_string()
    }

    /// Asks, off the runtime, and gives all that is answered.
    async fn ask(&self, request: Request) -> Result<Vec<Reply>, AskError> {
        let socket = control_socket(self.folder.path());
        tokio::task::spawn_blocking(move || ask(&socket, &request)?.collect())
            .await
            .unwrap()
    }

    fn open(&self) -> Result<Control, BindError> {
        Control::bind(&control_socket(self.folder.path()))
    }
}

/// Everything.
fn list() -> Request {
    Request::List {
        filter: Filter::default(),
        limit: None,
    }
}

#[tokio::test]
async fn the_queue_is_listed_and_shown() {
    let world = World::new();
    let service = tokio::spawn(world.open().unwrap().serve(Arc::clone(&world.sources)));
    assert_eq!(world.ask(list()).await.unwrap(), []);
    // More than one page.
    let mut ids = Vec::new();
    for number in 0..130 {
        ids.push(world.store(&format!("b{number}@example.org")).await);
    }
    let listed = world.ask(list()).await.unwrap();
    let found: Vec<_> = listed
        .iter()
        .map(|reply| match reply {
            Reply::Message(message) => message.id.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    ids.sort();
    assert_eq!(found, ids);

    let id = ids[7].clone();
    let shown = world.ask(Request::Show { id: id.clone() }).await.unwrap();
    let [Reply::Message(message)] = shown.as_slice() else {
        panic!("{shown:?}");
    };
    assert_eq!((&message.id, message.size), (&id, 6));
    assert_eq!(message.reverse_path, "a@example.net");
    assert_eq!(message.verdict, "unknown");
    assert_eq!(message.body, "8BITMIME");
    assert_eq!(message.recipients[0].state, State::Waiting);
    service.abort();
}

#[tokio::test]
async fn other_requests_are_answered_or_refused() {
    let world = World::new();
    let service = tokio::spawn(world.open().unwrap().serve(Arc::clone(&world.sources)));
    assert_eq!(world.ask(Request::Ping).await.unwrap(), []);
    let status = world.ask(Request::Status).await.unwrap();
    let [Reply::Status(status)] = status.as_slice() else {
        panic!("{status:?}");
    };
    assert_eq!(status.listening, ["127.0.0.1:25"]);
    assert!(status.sound && !status.stopping);
    assert_eq!(status.hostname, "mx.example.org");
    assert_eq!(status.caches.get("dns").unwrap().hits, 3);
    for id in ["0123456789ABCDEFGHJK", "nonsense"] {
        let id = String::from(id);
        let refused = world.ask(Request::Show { id }).await.err().unwrap();
        assert!(
            matches!(refused, AskError::Refused(Refusal::Unknown)),
            "{refused}"
        );
    }
    service.abort();
}

#[tokio::test]
async fn what_is_no_request_is_refused_and_bounded() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let world = World::new();
    let service = tokio::spawn(world.open().unwrap().serve(Arc::clone(&world.sources)));
    for request in ["\n", "{\"verb\":\"fly\"}\n", &"x".repeat(128 * 1024)] {
        let socket = control_socket(world.folder.path());
        let mut stream = tokio::net::UnixStream::connect(socket).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "{\"error\":\"request\"}\n", "{request:.20}");
    }
    service.abort();
}

#[tokio::test]
async fn a_socket_left_behind_is_replaced_and_one_in_use_is_not() {
    let world = World::new();
    assert!(matches!(
        world.ask(Request::Ping).await,
        Err(AskError::Nobody)
    ));
    // As after a kill: the socket is there, and nobody behind it.
    let socket = control_socket(world.folder.path());
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert!(matches!(
        world.ask(Request::Ping).await,
        Err(AskError::Nobody)
    ));

    let control = world.open().unwrap();
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(matches!(world.open(), Err(BindError::InUse(_))));
    drop(control);
    assert!(!socket.exists());
}
