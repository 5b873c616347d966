//! Every dialogue of `testdata/held`: all sides of a held transaction, line by line, against the pure
//! machines. It must come out the same however the octets are split.

mod host;
mod script;
#[path = "../../dialogue/words.rs"]
mod words;

use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use vouchsafe_proto::cutthrough::{Opens, Way};
use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::reply::Reply;
use vouchsafe_proto::route::{NextHop, WhenUnproven};
use vouchsafe_proto::smtp::deliver::Protocol;
use vouchsafe_proto::smtp::receive::Hold;
use vouchsafe_proto::smtp::xhold::{Holding, Marker};
use vouchsafe_proto::time::Now;
use vouchsafe_proto::verify::Evidence;

use super::branch::Branch;
use super::stage::{self, CLIENT, Operation, Stage, Surroundings};
use host::{Line, Shared};
use script::{Fate, Host, Script, Step};
use words::matches;

/// How octets are split on their way, the client's and the hosts'.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    client: usize,
    hosts: usize,
}

/// A dialogue on its way.
struct Scene {
    script: Script,
    sizes: Sizes,
    /// The next step.
    at: usize,
    /// What the client has heard, and was not told of.
    said: String,
    closed: bool,
    /// What the client does while the server waits for a next hop, and hears later.
    early: VecDeque<Option<Vec<u8>>>,
    hosts: BTreeMap<String, Shared>,
    /// Our fields.
    head: String,
    troubles: Vec<(Operation, Reply)>,
    fates: Vec<Fate>,
}

impl Scene {
    fn new(script: Script, sizes: Sizes) -> Self {
        Self {
            script,
            sizes,
            at: 0,
            said: String::new(),
            closed: false,
            early: VecDeque::new(),
            hosts: BTreeMap::new(),
            head: String::new(),
            troubles: Vec::new(),
            fates: Vec::new(),
        }
    }

    fn fail(&self, what: &str) -> ! {
        let Self { script, sizes, .. } = self;
        let number = script.steps.get(self.at).map_or(0, |(number, _)| *number);
        let step = script.steps.get(self.at).map(|(_, step)| step);
        panic!("{}:{number} {sizes:?}: {what}, at {step:?}", script.name);
    }

    /// What does something, behind all that was heard: that is compared here.
    fn next(&mut self) -> Option<Step> {
        loop {
            let (_, step) = self.script.steps.get(self.at)?.clone();
            if !self.hears(&step) {
                return Some(step);
            }
            self.at += 1;
        }
    }

    /// Compares what somebody has heard. False if the step is none of it.
    fn hears(&mut self, step: &Step) -> bool {
        match step {
            Step::Server(pattern) => {
                let line = self.said_line();
                if !matches(pattern, &line) {
                    self.fail(&format!("the client hears {line:?}"));
                }
            }
            Step::ServerHello => {
                let mut line = self.said_line();
                while line.starts_with("250-") {
                    line = self.said_line();
                }
                if !line.starts_with("250 ") {
                    self.fail(&format!("the client hears {line:?}"));
                }
            }
            Step::ServerCloses if mem::take(&mut self.closed) => {}
            Step::ServerCloses => self.fail("it is not closed"),
            Step::Host(name, step) => return self.host_hears(name, step),
            _ => return false,
        }
        true
    }

    fn host_hears(&self, name: &str, step: &Host) -> bool {
        if matches!(step, Host::Open(_) | Host::Says(_) | Host::Ends) {
            return false;
        }
        let Some(connection) = self.hosts.get(name) else {
            self.fail("nobody has connected");
        };
        let mut connection = connection.borrow_mut();
        let heard = match step {
            Host::Hears(pattern) => connection.line(|line| matches(pattern, line)),
            Host::Content(octets) => connection.tell(octets),
            Host::Head => connection.tell(self.head.as_bytes()),
            Host::Closed if mem::take(&mut connection.closed) => Ok(()),
            _ => Err("no end".into()),
        };
        if let Err(heard) = heard {
            self.fail(&format!("{name} hears {heard:?}"));
        }
        true
    }

    fn said_line(&mut self) -> String {
        match self.said.split_once("\r\n") {
            Some((line, rest)) => {
                let line = line.to_owned();
                self.said = rest.to_owned();
                line
            }
            None => mem::take(&mut self.said),
        }
    }

    /// Everything that was heard was told of.
    fn nothing_more(&self) {
        if !self.said.is_empty() || self.closed {
            let end = if self.closed { " and the end" } else { "" };
            self.fail(&format!("the client also hears {:?}{end}", self.said));
        }
        for (name, connection) in &self.hosts {
            if let Err(heard) = connection.borrow().nothing_more() {
                self.fail(&format!("{name} also hears {heard:?}"));
            }
        }
    }

    /// Those of the steps from here on that are the client's words, or the same host's.
    fn words(&mut self, of: impl Fn(&Step) -> Option<Vec<u8>>) -> Vec<u8> {
        let mut words = Vec::new();
        while let Some((_, step)) = self.script.steps.get(self.at)
            && let Some(more) = of(step)
        {
            words.extend(more);
            self.at += 1;
        }
        words
    }

    fn client_words(&mut self) -> Vec<u8> {
        self.words(|step| match step {
            Step::Client(octets) => Some(octets.clone()),
            _ => None,
        })
    }

    /// What is neither the client's nor the server's to do.
    fn happens(&mut self, step: &Step) -> Duration {
        match step {
            Step::Time(span) => {
                self.at += 1;
                return *span;
            }
            Step::Spool(operation, reply) => {
                self.at += 1;
                self.troubles.push((*operation, reply.clone()));
            }
            Step::Host(name, Host::Says(_)) => {
                let octets = self.words(|step| match step {
                    Step::Host(of, Host::Says(octets)) if of == name => Some(octets.clone()),
                    _ => None,
                });
                let size = self.sizes.hosts;
                self.hosts[name].borrow_mut().says(&octets, size);
            }
            Step::Host(name, Host::Ends) => {
                self.at += 1;
                self.hosts[name].borrow_mut().ends();
            }
            _ => self.fail("not now"),
        }
        Duration::ZERO
    }
}

impl Surroundings for Scene {
    fn tell(&mut self, octets: &[u8]) {
        self.said.push_str(std::str::from_utf8(octets).unwrap());
    }

    fn closed(&mut self) {
        self.closed = true;
    }

    fn evidence(&mut self) -> Evidence {
        super::evidence(self.script.is_proven)
    }

    fn way(&mut self, hold: &Hold) -> Way {
        let recipient = hold.recipient.path.to_string();
        let (_, domain) = recipient.split_once('@').unwrap();
        let mut routes = self.script.routes.iter();
        let Some(number) = routes.position(|route| route.domain == domain) else {
            self.fail(&format!("no route for {domain}"));
        };
        let route = &self.script.routes[number];
        if route.hosts.is_empty() {
            return Way::Stored;
        }
        let scheme = if route.is_lmtp { "lmtp" } else { "smtp" };
        let next_hop = format!("{scheme}://192.0.2.1:{}", number + 1);
        Way::Held {
            next_hop: NextHop::parse(&next_hop).unwrap(),
            answers_each: route.is_lmtp,
            when_unproven: if route.stores {
                WhenUnproven::Store
            } else {
                WhenUnproven::Defer
            },
            remembered: None,
            opens: Opens::Now,
        }
    }

    fn connect(&mut self, next_hop: &NextHop, host: usize, now: Now) -> Result<Option<Branch>, ()> {
        let number: usize = next_hop
            .to_string()
            .rsplit(':')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        let route = self.script.routes[number - 1].clone();
        let Some(name) = route.hosts.get(host) else {
            return Err(());
        };
        let step = self.next();
        self.nothing_more();
        let Some(Step::Host(of, Host::Open(answers))) = step else {
            self.fail(&format!("we connect to {name}"));
        };
        if of != *name {
            self.fail(&format!("we connect to {name}"));
        }
        self.at += 1;
        if !answers {
            return Ok(None);
        }
        let connection = Shared::default();
        self.hosts.insert(of, Rc::clone(&connection));
        let protocol = if route.is_lmtp {
            Protocol::Lmtp
        } else {
            Protocol::Smtp
        };
        Ok(Some(Branch::open(
            Box::new(Line(connection)),
            protocol,
            now,
        )))
    }

    fn head(&mut self, head: &str) {
        self.head = head.into();
    }

    fn trouble(&mut self, operation: Operation) -> Option<Reply> {
        let at = self.troubles.iter().position(|(of, _)| *of == operation)?;
        Some(self.troubles.remove(at).1)
    }

    fn became(&mut self, fate: stage::Fate) {
        let (what, content) = match fate {
            stage::Fate::Held => ("held".into(), Vec::new()),
            stage::Fate::Repeated => ("taken before".into(), Vec::new()),
            stage::Fate::Refused(reply) if reply.code() < 500 => ("deferred".into(), Vec::new()),
            stage::Fate::Refused(_) => ("refused".into(), Vec::new()),
            stage::Fate::GivenUp => ("given up".into(), Vec::new()),
            stage::Fate::Stored { to, content, .. } => {
                (format!("stored for <{}>", to.join("> <")), content)
            }
        };
        self.fates.push(Fate { what, content });
    }

    fn wait(&mut self) -> Option<Duration> {
        let Some(step) = self.next() else {
            self.fail("a next hop is waited for");
        };
        self.nothing_more();
        match step {
            // It is heard when its turn has come.
            Step::Client(_) => {
                let words = self.client_words();
                self.early.push_back(Some(words));
            }
            Step::ClientEnds => {
                self.at += 1;
                self.early.push_back(None);
            }
            step => return Some(self.happens(&step)),
        }
        Some(Duration::ZERO)
    }
}

/// Plays a dialogue to its end.
fn play(script: Script, sizes: Sizes) {
    let xhold = script.xhold.map(|terms| Holding {
        terms,
        // Our token is AAAAAAAA, whatever is marked by it.
        marker: Marker::new(|_| [0; 32]),
    });
    let mut stage = Stage::new(Scene::new(script, sizes), 20, xhold, 1);
    connect(&mut stage, CLIENT);
    while let Some(step) = stage.around.next() {
        stage.around.nothing_more();
        match step {
            Step::Connect(client) => {
                stage.around.at += 1;
                stage.end();
                mem::take(&mut stage.around.closed);
                connect(&mut stage, client);
            }
            Step::InHand(key) => {
                stage.around.at += 1;
                stage.copies.take(key);
            }
            Step::LetGo(key, is_taken) => {
                stage.around.at += 1;
                let name = is_taken.then(|| QueueId::new(stage.now().wall, 0));
                stage.copies.let_go(key, name);
            }
            Step::Client(_) => {
                let words = stage.around.client_words();
                stage.around.early.push_back(Some(words));
            }
            Step::ClientEnds => {
                stage.around.at += 1;
                stage.around.early.push_back(None);
            }
            step => {
                let span = stage.around.happens(&step);
                stage.pass(span);
            }
        }
        while let Some(does) = stage.around.early.pop_front() {
            match does {
                Some(words) => words
                    .chunks(sizes.client)
                    .for_each(|piece| stage.says(piece)),
                None => stage.end(),
            }
        }
    }
    stage.around.nothing_more();
    stage.end();
    stage.around.closed = false;
    let scene = &stage.around;
    scene.nothing_more();
    assert!(stage.is_idle(), "{}: something is left", scene.script.name);
    assert_eq!(scene.fates, scene.script.fates, "{}", scene.script.name);
}

fn connect(stage: &mut Stage<Scene>, client: IpAddr) {
    stage.connect(client);
    assert_eq!(stage.around.said_line(), "220 mx.example.org ESMTP");
}

fn dialogues() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/held");
    let entries = std::fs::read_dir(folder).unwrap();
    let mut paths: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "smtp"))
        .collect();
    paths.sort();
    paths
}

#[test]
fn every_held_dialogue_comes_out_the_same_however_it_is_split() {
    let all = dialogues();
    assert!(all.len() >= 60, "only {} dialogues", all.len());
    let wrong = all.iter().filter(|path| {
        // Each wrong dialogue prints what is wrong with it; the others are told too.
        let played = std::panic::catch_unwind(|| play_split(&Script::load(path)));
        played.is_err()
    });
    let wrong: Vec<_> = wrong.map(|path| path.display().to_string()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn play_split(script: &Script) {
    let all = usize::MAX;
    let play_in = |client, hosts| play(script.clone(), Sizes { client, hosts });
    play_in(all, all);
    let octets = |(_, step): &(usize, Step)| match step {
        Step::Client(octets) => octets.len(),
        _ => 0,
    };
    let steps = &script.steps;
    if steps.iter().map(octets).sum::<usize>() > 100_000 {
        return;
    }
    play_in(all, 1);
    // Chunks follow what the client brings at a time.
    let counts = |(_, step): &(usize, Step)| matches!(step, Step::Host(_, Host::Hears(line)) if line.starts_with("BDAT"));
    if !script.is_whole && !steps.iter().any(counts) {
        play_in(1, 1);
    }
}
