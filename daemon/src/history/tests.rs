//! Notes, from the queue that makes them to the file that keeps them.

use std::time::Duration;

use super::event::{Ended, Event, Lines, Note};
use super::*;
use vouchsafe_proto::addr::{ForwardPath, ReversePath};
use vouchsafe_proto::envelope::{Envelope, Origin};
use vouchsafe_proto::outcome::{Outcome, Remote};
use vouchsafe_proto::time::Wall;
use vouchsafe_proto::verify::VerdictResult;
use vouchsafe_spool::{Ask, LocalSpool, Options, Progress, Report, Settlement, Spool};

/// 2026-11-21T10:15:00Z.
const NOW: Wall = Wall::from_secs(1_795_256_100);

fn keeping(folder: &Path, keep: Duration) -> Keeping {
    Keeping {
        data_dir: folder.to_owned(),
        keep,
    }
}

fn envelope(origin: Origin, recipients: &[&str]) -> Envelope {
    let recipients = recipients
        .iter()
        .map(|path| ForwardPath::parse_inside(path).unwrap());
    let from = ReversePath::parse_inside("a@sender.example").unwrap();
    Envelope::plain(from, VerdictResult::Authorised, origin, recipients)
}

/// A queue with a memory in this folder.
fn kept(folder: &Path) -> Kept {
    let queue = LocalSpool::open(folder, Options::default().with_reserve(0)).unwrap();
    let notebook = Notebook::open(&keeping(folder, Duration::from_hours(24)), NOW).unwrap();
    Kept::new(std::sync::Arc::new(queue), notebook)
}

fn client() -> Origin {
    Origin::Client {
        address: "192.0.2.1".parse().unwrap(),
        helo: "mail.sender.example".into(),
    }
}

fn settlement(progress: Vec<Progress>, due: Option<Wall>, attempts: u32) -> Settlement {
    Settlement {
        progress,
        attempts,
        due,
        later: Vec::new(),
        delay_reported: false,
        deadline_reported: false,
        reports: Vec::new(),
    }
}

fn outcome(status: (u8, u16, u16), text: &str) -> Outcome {
    let remote = Remote {
        name: String::from("mail.example"),
        address: Some("192.0.2.7".parse().unwrap()),
    };
    Outcome::local(status, Some(remote), text)
}

#[tokio::test]
async fn a_life_is_told_from_custody_to_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let queue = kept(folder.path());
    let mut draft = queue.begin(NOW).await.unwrap();
    draft
        .append("Subject: x\r\n\r\nhello\r\n".into())
        .await
        .unwrap();
    let id = draft.id();
    let envelope_of_it = envelope(client(), &["b@one.example", "c@two.example"]);
    let custody = draft.commit(envelope_of_it, NOW).await.unwrap();
    assert_eq!(custody.queue_id(), id);

    let delivered = Progress::Done(outcome((2, 0, 0), "ok"));
    let busy = Progress::Waiting(Some(outcome((4, 3, 0), "busy")));
    let lease = queue
        .lease(NOW, Ask::up_to(9))
        .await
        .unwrap()
        .leases
        .remove(0);
    let first = vec![delivered.clone(), Progress::Waiting(None)];
    queue
        .record(&lease, settlement(first, Some(NOW), 1))
        .await
        .unwrap();
    let later = NOW.plus(Duration::from_mins(5));
    let second = vec![delivered.clone(), busy];
    queue
        .settle(lease, settlement(second, Some(later), 1))
        .await
        .unwrap();

    let lease = queue
        .lease(later, Ask::up_to(9))
        .await
        .unwrap()
        .leases
        .remove(0);
    let refused = Progress::Done(outcome((5, 1, 1), "no such mailbox"));
    let report = Report {
        envelope: Envelope {
            reverse_path: ReversePath::Null,
            ..envelope(Origin::Ourselves, &["a@sender.example"])
        },
        content: "From: us\r\nSubject: Not delivered\r\n\r\n".into(),
    };
    let mut last = settlement(vec![delivered, refused], None, 2);
    last.reports.push(report);
    queue.settle(lease, last).await.unwrap();
    let lease = queue
        .lease(later, Ask::up_to(9))
        .await
        .unwrap()
        .leases
        .remove(0);
    let of_report = lease.entry().id;
    let sent = vec![Progress::Done(outcome((2, 0, 0), "ok"))];
    queue
        .settle(lease, settlement(sent, None, 1))
        .await
        .unwrap();
    drop(queue);

    let notes = read(folder.path(), id).unwrap();
    let told: Vec<_> = notes.iter().map(|note| brief(&note.event)).collect();
    assert_eq!(
        told,
        [
            "a@sender.example authorised from 192.0.2.1, 21 octets, to b@one.example c@two.example",
            "attempt 1: b@one.example delivered",
            "attempt 1: c@two.example deferred; again",
            "attempt 2: c@two.example failed",
            "report to a@sender.example: Not delivered",
            "gone",
        ]
    );
    assert!(notes.iter().all(|note| note.id == id.to_string()));
    assert_eq!(notes[0].at, "2026-11-21T10:15:00Z");
    let of_report = read(folder.path(), of_report).unwrap();
    let told: Vec<_> = of_report.iter().map(|note| brief(&note.event)).collect();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[0].ends_with("to a@sender.example"), "{told:?}");
    assert_eq!(told[1..], ["attempt 1: a@sender.example delivered", "gone"]);
}

/// A note in few words.
fn brief(event: &Event) -> String {
    match event {
        Event::Accepted {
            reverse_path,
            verdict,
            client,
            recipients,
            size,
            ..
        } => {
            let from = client.as_ref().map_or("ourselves", |(address, _)| address);
            let to = recipients.join(" ");
            format!("{reverse_path} {verdict} from {from}, {size} octets, to {to}")
        }
        Event::Attempt {
            number,
            recipients,
            next,
        } => {
            let each = |ended: &Ended| format!("{} {}", ended.recipient, ended.outcome);
            let all: Vec<_> = recipients.iter().map(each).collect();
            let again = if next.is_some() { "; again" } else { "" };
            format!("attempt {number}: {}{again}", all.join(", "))
        }
        Event::Report { to, subject } => format!("report to {}: {subject}", to.join(" ")),
        Event::Operator { did, .. } => format!("{did} by the operator"),
        Event::Gone => String::from("gone"),
        Event::Asked { about, outcome, .. } => format!("{about} {outcome}"),
        Event::Onward => String::from("onward"),
        Event::Repeated { of } => format!("repeated: {of}"),
        Event::Refused { reply } => format!("refused: {reply}"),
    }
}

/// The line that says that a message was taken.
fn accepted(id: QueueId) -> Lines {
    let envelope = envelope(client(), &["b@one.example"]);
    let mut lines = Lines::default();
    lines.push(&Note::accepted(id, id.arrived(), &envelope, 1));
    lines
}

#[test]
fn old_files_go_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let of_hour = |hours: u64| QueueId::new(Wall::from_secs(hours * 3_600), 1);
    let base = NOW.as_secs() / 3_600;
    let notes = Notebook::open(&keeping(folder.path(), Duration::from_hours(2)), NOW).unwrap();
    for back in [5, 2, 0] {
        let id = of_hour(base - back);
        notes.note(id, &accepted(id));
    }
    drop(notes);
    std::fs::File::create(folder.path().join("history/notes.txt")).unwrap();
    let known = |back| {
        !read(folder.path(), of_hour(base - back))
            .unwrap()
            .is_empty()
    };
    assert!(known(2) && known(0));
    let later = NOW.plus(Duration::from_hours(1));
    drop(Notebook::open(&keeping(folder.path(), Duration::from_hours(2)), later).unwrap());
    assert!(!known(5) && !known(2) && known(0));
    assert!(folder.path().join("history/notes.txt").exists());
}

/// What is noted while something is being written leaves with the next, in order and each in the file of
/// its hour; dropping the notebook writes what is left.
#[test]
fn many_notes_gather_and_none_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let notes = Notebook::open(&keeping(folder.path(), Duration::from_hours(9)), NOW).unwrap();
    let earlier = Wall::from_secs(NOW.as_secs() - 2 * 3_600);
    let id = |number: u64| {
        QueueId::new(
            [NOW, earlier][usize::from(number.is_multiple_of(2))],
            number,
        )
    };
    for number in 0..1_000 {
        let id = id(number % 200);
        notes.note(id, &accepted(id));
    }
    drop(notes);
    for number in 0..200 {
        assert_eq!(read(folder.path(), id(number)).unwrap().len(), 5);
    }
}

#[test]
fn a_line_that_a_crash_has_cut_hides_no_other() {
    use std::io::Write as _;
    let folder = tempfile::tempdir().unwrap();
    let id = QueueId::new(NOW, 7);
    let note = || serde_json::from_slice::<Note>(&accepted(id).octets).unwrap();
    let notes = Notebook::open(&keeping(folder.path(), Duration::from_hours(2)), NOW).unwrap();
    notes.note(id, &accepted(id));
    drop(notes);
    let path = super::folder(folder.path()).join(file_name(id));
    let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
    write!(file, "{{\"id\":\"{id}\",\"at\":\"2026-11").unwrap();
    drop(file);
    assert_eq!(read(folder.path(), id).unwrap(), [note()]);
    let notes = Notebook::open(&keeping(folder.path(), Duration::from_hours(2)), NOW).unwrap();
    notes.note(id, &accepted(id));
    drop(notes);
    assert_eq!(read(folder.path(), id).unwrap(), [note(), note()]);
    let other = QueueId::new(NOW, 8);
    assert_eq!(read(folder.path(), other).unwrap(), []);
}
