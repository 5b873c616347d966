//! Asks a service's responder over UDP, many questions at a time.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use vouchsafe_proto::residue::{
    Answer, Digest, Hour, Hours, Kind, Question, Residues, Width, Word,
};

/// Questions on their way at a time: no socket's buffer runs over.
const TOGETHER: usize = 64;

/// How long an answer may take, and how often it is asked for again.
const PATIENCE: Duration = Duration::from_secs(2);
const TRIES: usize = 20;

/// One digest that is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    pub kind: Kind,
    pub hour: Hour,
    pub digest: Digest,
}

impl Sent {
    fn question(self) -> Question {
        // Any prime does: whoever answers here is not to be kept from anything.
        let residues = Residues::of(self.digest, Width::Bits64, &[u64::MAX - 58]).unwrap();
        Question::new(
            self.kind,
            Hours::From(self.hour, 1),
            self.digest.index(),
            residues,
        )
        .unwrap()
    }
}

/// What is said of each, as one word about its own hour.
pub fn ask(server: SocketAddr, domain: &str, all: &[Sent]) -> Vec<Word> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    all.chunks(TOGETHER)
        .flat_map(|sent| ask_some(&socket, domain, sent))
        .collect()
}

fn ask_some(socket: &UdpSocket, domain: &str, sent: &[Sent]) -> Vec<Word> {
    let mut words: Vec<Option<Word>> = vec![None; sent.len()];
    for _ in 0..TRIES {
        let open = || words.iter().filter(|word| word.is_none()).count();
        if open() == 0 {
            break;
        }
        for (number, sent) in sent.iter().enumerate() {
            if words[number].is_none() {
                let query = query(u16::try_from(number).unwrap(), domain, &sent.question());
                socket.send(&query).unwrap();
            }
        }
        for _ in 0..open() {
            let mut datagram = [0; 1500];
            let Ok(len) = socket.recv(&mut datagram) else {
                break;
            };
            let number = usize::from(u16::from_be_bytes([datagram[0], datagram[1]]));
            let answer = answer(&datagram[..len]);
            words[number] = answer.map(|answer| answer.about(sent[number].hour));
        }
    }
    words
        .into_iter()
        .map(|word| word.expect("an answer"))
        .collect()
}

/// A query with an OPT record.
fn query(id: u16, domain: &str, question: &Question) -> Vec<u8> {
    let mut query = Vec::new();
    query.extend(id.to_be_bytes());
    query.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
    let name = format!("{}._sent.{domain}", question.to_labels());
    for label in name.split('.') {
        query.push(u8::try_from(label.len()).unwrap());
        query.extend(label.as_bytes());
    }
    query.extend([0, 0, 16, 0, 1]);
    query.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
    query
}

/// The answer in a datagram: none if it was cut short, or is something else.
fn answer(datagram: &[u8]) -> Option<Answer> {
    let at = datagram.windows(5).position(|five| five == b"v=1 s")?;
    let len = usize::from(*datagram.get(at.checked_sub(1)?)?);
    Answer::parse(datagram.get(at..at + len)?)
}
