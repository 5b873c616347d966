//! What a session does where paths are held: whom it asks, when, and what it gives up.

use super::*;
use crate::envelope::Clearance;
use crate::residue::{Offer, Policy};
use crate::verify::mail_from::Reason;
use crate::verify::{ledger, mail_from};
use alloc::string::ToString;

/// As many may come in one transaction.
pub(super) const RECIPIENTS: usize = 4;

/// A session whose asks are answered by hand.
pub(super) struct Talk {
    session: Session,
    pub(super) actions: Vec<Action>,
}

impl Talk {
    /// One in which MAIL was accepted by this verdict.
    fn behind_mail(verdict: Verdict) -> Self {
        Self::behind("MAIL FROM:<a@example.net>", verdict)
    }

    /// The same with this line.
    pub(super) fn behind(mail: &str, verdict: Verdict) -> Self {
        let mut talk = Self::new();
        talk.says(&alloc::format!("EHLO a\r\n{mail}\r\n"));
        talk.answer(Answer::Verdict(Arc::new(verdict)));
        talk
    }

    /// One that was greeted.
    pub(super) fn new() -> Self {
        Self::with(&Settings::clone(&settings()))
    }

    /// The same by these settings.
    pub(super) fn with(settings: &Settings) -> Self {
        let mut settings = settings.clone();
        settings.limits.recipients = RECIPIENTS;
        let session = Session::new(Arc::new(settings), peer());
        let actions = Vec::new();
        let mut talk = Self { session, actions };
        talk.step(Input::Connected);
        talk
    }

    fn step(&mut self, input: Input<'_>) {
        self.actions.clear();
        self.session.step(input, now(), &mut self.actions);
    }

    /// Octets, and what was asked then.
    pub(super) fn says(&mut self, octets: &str) -> Option<&Ask> {
        self.step(Input::Bytes(octets.as_bytes()));
        self.asked()
    }

    pub(super) fn asked(&self) -> Option<&Ask> {
        self.actions.iter().find_map(|action| match action {
            Action::Ask(_, ask) => Some(ask),
            _ => None,
        })
    }

    /// The answer to what was asked last; what was said then.
    pub(super) fn answer(&mut self, answer: Answer) -> String {
        let asked = self.actions.iter().find_map(|action| match action {
            Action::Ask(id, _) => Some(*id),
            _ => None,
        });
        self.step(Input::Answer(asked.expect("a question"), answer));
        self.said()
    }

    /// What was said last.
    pub(super) fn said(&self) -> String {
        let written = self.actions.iter().filter_map(|action| match action {
            Action::Write(octets) => Some(String::from_utf8(octets.clone()).unwrap()),
            _ => None,
        });
        written.collect()
    }

    /// RCPT, which nothing speaks against here: what is asked down the path.
    pub(super) fn recipient(&mut self, name: &str) -> Hold {
        let line = alloc::format!("RCPT TO:<{name}@example.org>\r\n");
        assert!(matches!(self.says(&line), Some(Ask::Recipient { .. })));
        self.answer(Answer::Recipient(Ok(Vec::new())));
        match self.asked() {
            Some(Ask::Hold(hold)) => (**hold).clone(),
            other => panic!("{other:?}"),
        }
    }
}

pub(super) fn begun(passes_on: bool) -> Answer {
    let queue_id = QueueId::new(Wall::from_secs(1), 1);
    Answer::Begun(Ok(Begun {
        queue_id,
        passes_on,
    }))
}

#[test]
fn the_reply_to_rcpt_is_that_of_the_path() {
    let mut talk = Talk::behind_mail(unknown());
    let hold = talk.recipient("c");
    assert_eq!(hold.opens, Some(Opens::Now));
    assert_eq!(hold.recipient.to_string(), "c@example.org");
    assert_eq!(hold.reverse_path.to_string(), "a@example.net");
    let refused = Reply::new(550, (5, 1, 1), "no such mailbox");
    let said = talk.answer(Answer::Held(Err(refused)));
    assert_eq!(said, "550 5.1.1 no such mailbox\r\n");
    talk.recipient("d");
    assert_eq!(
        talk.answer(Answer::Held(Ok(None))),
        "250 2.1.5 recipient ok\r\n"
    );
    // Only the one that was taken counts.
    assert!(matches!(talk.says("DATA\r\n"), Some(Ask::Begin { .. })));
    talk.answer(begun(true));
    match talk.says("a: b\r\n\r\nx\r\n.\r\n") {
        Some(Ask::Commit(envelope)) => assert_eq!(envelope.recipients.len(), 1),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_goes_on_as_it_comes_has_its_head_first_and_is_not_judged_again() {
    let mut talk = Talk::behind_mail(unknown());
    talk.recipient("c");
    talk.answer(Answer::Held(Ok(None)));
    talk.says("DATA\r\n");
    assert!(talk.answer(begun(true)).starts_with("354 "));
    // The peer may begin before a next hop has said 354.
    let [Action::Write(_), Action::Head(head), ..] = &talk.actions[..] else {
        panic!("{:?}", talk.actions);
    };
    let head = head.clone();
    assert!(head.contains("Received: from a") && head.ends_with("\r\n"));
    // A signature would be looked at in a message that is kept.
    match talk.says("DKIM-Signature: x\r\n\r\n.\r\n") {
        Some(Ask::Commit(envelope)) => {
            assert_eq!(envelope.trace, head);
            assert_eq!(envelope.clearance, Clearance::Unneeded);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_transaction_that_is_given_up_gives_its_paths_up() {
    for line in ["RSET\r\n", "EHLO a\r\n", "QUIT\r\n"] {
        let mut talk = Talk::behind_mail(unknown());
        talk.recipient("c");
        talk.answer(Answer::Held(Ok(None)));
        talk.says(line);
        assert!(talk.actions.contains(&Action::Abandon), "{line}");
        talk.step(Input::EndOfStream);
        assert!(!talk.actions.contains(&Action::Abandon), "twice");
    }
    // Silence, and a peer that leaves.
    for input in [Input::Shutdown, Input::EndOfStream] {
        let mut talk = Talk::behind_mail(unknown());
        talk.recipient("c");
        talk.answer(Answer::Held(Ok(None)));
        talk.step(input);
        assert!(talk.actions.contains(&Action::Abandon));
    }
}

#[test]
fn a_chunk_that_fails_gives_the_paths_up_before_the_next_transaction() {
    // Malformed; without a recipient; and one for which no message can be begun.
    for (line, is_taken) in [("BDAT 3 X", true), ("BDAT 3", false), ("BDAT 3", true)] {
        let mut talk = Talk::behind_mail(unknown());
        talk.recipient("c");
        let no = Reply::new(450, (4, 2, 0), "later");
        talk.answer(Answer::Held(if is_taken { Ok(None) } else { Err(no) }));
        if let Some(Ask::Begin { .. }) = talk.says(&alloc::format!("{line}\r\nabc")) {
            talk.answer(Answer::Begun(Err(Reply::new(452, (4, 3, 1), "no room"))));
        }
        assert!(talk.actions.contains(&Action::Abandon));
        talk.says("RSET\r\n");
        assert!(!talk.actions.contains(&Action::Abandon), "twice");
    }
}

/// The moment so many seconds from the beginning.
fn after(seconds: u64) -> Now {
    Now {
        mono: now().mono.plus(Duration::from_secs(seconds)),
        wall: now().wall,
    }
}

#[test]
fn a_peer_that_was_kept_waiting_has_its_time_anew() {
    for resumes in [true, false] {
        let mut talk = Talk::behind_mail(unknown());
        talk.recipient("c");
        talk.answer(Answer::Held(Ok(None)));
        talk.says("DATA\r\n");
        talk.answer(begun(true));
        let mut actions = Vec::new();
        if resumes {
            talk.session.step(Input::Resumed, after(170), &mut actions);
        }
        talk.session
            .step(Input::TimerFired, after(181), &mut actions);
        assert_eq!(actions.contains(&Action::Abandon), !resumes);
    }
}

#[test]
fn recipients_come_within_ten_minutes_where_next_hops_wait() {
    let mut talk = Talk::behind_mail(unknown());
    for minute in [4, 8] {
        let mut actions = Vec::new();
        let line = alloc::format!("RCPT TO:<c{minute}@example.org>\r\n");
        let bytes = Input::Bytes(line.as_bytes());
        talk.session.step(bytes, after(minute * 60), &mut actions);
        for answer in [Answer::Recipient(Ok(Vec::new())), Answer::Held(Ok(None))] {
            let Some(Action::Ask(id, _)) = actions.pop() else {
                panic!("{actions:?}");
            };
            actions.clear();
            let input = Input::Answer(id, answer);
            talk.session.step(input, after(minute * 60), &mut actions);
        }
    }
    let mut actions = Vec::new();
    talk.session
        .step(Input::TimerFired, after(599), &mut actions);
    assert!(!actions.contains(&Action::Abandon));
    talk.session
        .step(Input::TimerFired, after(600), &mut actions);
    assert!(actions.contains(&Action::Abandon));
}

#[test]
fn chunks_come_at_the_pace_of_content_where_next_hops_wait() {
    let mut talk = Talk::behind_mail(unknown());
    talk.recipient("c");
    talk.answer(Answer::Held(Ok(None)));
    talk.says("BDAT 1\r\na");
    talk.answer(begun(true));
    let mut actions = Vec::new();
    for minute in 1..=12 {
        assert!(actions.is_empty() || minute < 11, "{minute}: {actions:?}");
        let bytes = Input::Bytes(b"BDAT 1\r\na");
        talk.session.step(bytes, after(minute * 60), &mut actions);
        if actions.contains(&Action::Abandon) {
            assert_eq!(minute, 10);
            return;
        }
        actions.clear();
    }
    panic!("a session that holds its place for nothing goes on");
}

#[test]
fn next_hops_wait_no_longer_than_three_minutes_for_a_silent_peer() {
    for (passes_on, minutes) in [(true, 3), (false, 5)] {
        let mut talk = Talk::behind_mail(unknown());
        talk.recipient("c");
        talk.answer(Answer::Held(Ok(None)));
        talk.says("DATA\r\n");
        talk.answer(begun(passes_on));
        let later = now().mono.plus(Duration::from_mins(minutes));
        let deadline = Now {
            mono: later,
            wall: now().wall,
        };
        let mut actions = Vec::new();
        talk.session.step(Input::TimerFired, deadline, &mut actions);
        // A driver's timer may be early: what was armed before is looked at again.
        assert!(actions.contains(&Action::Abandon), "{passes_on}");
    }
}

/// The verdict on a domain that has a ledger, which has said this of what is claimed.
pub(super) fn offered(audit: bool, claimed: Option<ledger::Claimed>) -> Verdict {
    let report = ledger::Report {
        domain: Domain::parse("example.net").unwrap(),
        offer: Offer {
            window: 336,
            least_revealed: 80,
            policy: Policy::Reject,
        },
        audit,
        finding: ledger::Finding::Offered,
        claimed,
        asked: Vec::new(),
        steps: Vec::new(),
        ttl: 300,
    };
    let reason = if audit {
        Reason::Host
    } else {
        Reason::Unpublished
    };
    let client = peer().address.ip();
    let first = mail_from::Report::unasked(reason, client, mail_from::Identity::ReversePath);
    let first = Evidence::MailFrom(Arc::new(first));
    Verdict::of(first, [Evidence::Ledger(Arc::new(report))])
}

#[test]
fn no_path_is_opened_before_the_senders_domain_is_asked() {
    for audit in [false, true] {
        let mut talk = Talk::behind_mail(offered(audit, None));
        assert_eq!(talk.recipient("c").opens, Some(Opens::AfterVerdict));
        talk.answer(Answer::Held(Ok(None)));
        talk.says("DATA\r\n");
        talk.answer(begun(false));
        match talk.says("a: b\r\n\r\nx\r\n.\r\n") {
            Some(Ask::Content {
                recipients,
                is_signed,
                ..
            }) => assert_eq!((recipients.len(), *is_signed), (1, false)),
            other => panic!("{other:?}"),
        }
    }
}
