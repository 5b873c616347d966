//! How long a peer may take, and what is asked of it when the house is nearly full.
//!
//! Silence is timed by `session` and `ends`. Here is what silence does not show: a peer that sends
//! just enough not to be silent, so as to hold its place for nothing.
//!
//! - Content must bring [`Limits::least_content`] octets in each [`Limits::content_span`]. What is
//!   asked is below what any link that carries TCP brings, stalls included, so that a slow client
//!   is never taken for a malicious one.
//! - Commands that bring no mail (NOOP, RSET, VRFY, HELP, and EHLO again) are counted since the
//!   last transaction, and too many end the session.
//! - Under pressure a client that is in no transaction has less time, and content has to come in
//!   shorter spans. In a transaction the time of one command (RFC 5321 §4.5.3.2) is the time for all
//!   until the content begins, and each has the shorter time at least: a message on its way is what the
//!   house is there for, but not one that is years in coming. Clients that we relay for are left alone.
//!
//! Whoever is cut hears 421 and keeps its mail (RFC 5321 §3.8).

use core::time::Duration;

use super::session::{Phase, Session, Transaction, Turn};
use super::{Limits, Note, replies};
use crate::smtp::command::Command;
use crate::time::{Mono, Now};

/// How fast content comes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Since when it is measured.
    since: Mono,
    /// Octets since then.
    octets: u64,
}

impl Pace {
    /// From now.
    const fn from(now: Now) -> Self {
        Self {
            since: now.mono,
            octets: 0,
        }
    }
}

/// Commands that bring no mail, since the last transaction.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Dallying(u32);

impl Session {
    /// The house is nearly full, or is no longer.
    pub(super) fn feel_pressure(&mut self, pressed: bool, now: Now) {
        self.pressed = pressed;
        let Some(deadline) = self.deadline else {
            return;
        };
        if matches!(self.phase, Phase::Command) {
            let fresh = self.command_deadline(now);
            // Time that is given back begins anew; time that is taken away never makes more of it.
            self.deadline = Some(if pressed { deadline.min(fresh) } else { fresh });
        }
    }

    /// Until when the next command may take.
    pub(super) fn command_deadline(&self, now: Now) -> Mono {
        let limits = &self.settings.limits;
        let full = match &self.transaction {
            Transaction::Open(open) if open.head.is_some() => {
                // Between two chunks.
                now.mono.plus(self.content_timeout())
            }
            Transaction::Open(open) if open.is_held => {
                let all = open.since.plus(limits.held_envelope);
                now.mono.plus(limits.command_timeout).min(all)
            }
            _ => now.mono.plus(limits.command_timeout),
        };
        if !self.pressed || self.peer.may_relay {
            return full;
        }
        let short = now.mono.plus(limits.pressed_timeout).min(full);
        match &self.transaction {
            Transaction::Open(open) => short.max(open.since.plus(limits.command_timeout)).min(full),
            Transaction::None | Transaction::Refused | Transaction::Invalidated => short,
        }
    }

    /// Its place would serve others better: the house is nearly full, and it is a stranger's turn who
    /// sends no content.
    pub(super) fn is_expendable(&self) -> bool {
        self.pressed && !self.peer.may_relay && !matches!(self.phase, Phase::Content(_))
    }

    /// Content begins, or goes on behind a chunk: its pace is that of the whole message.
    pub(super) fn begin_pace(&mut self, now: Now) {
        self.pace.get_or_insert(Pace::from(now));
    }

    /// The peer's time begins anew: others have kept it waiting.
    pub(super) fn resumed(&mut self, now: Now) {
        if !matches!(self.phase, Phase::Content(_)) {
            return;
        }
        self.deadline = Some(now.mono.plus(self.content_timeout()));
        if let Some(pace) = &mut self.pace {
            *pace = Pace::from(now);
        }
    }

    /// No content is on its way any more.
    pub(super) fn end_pace(&mut self) {
        self.pace = None;
    }

    /// So many octets of content have come, and the machine has taken them. A peer that is too slow
    /// is let go, unless the content has just ended.
    pub(super) fn keep_pace(&mut self, octets: usize, turn: &mut Turn<'_>) {
        let more_chunks =
            matches!(&self.transaction, Transaction::Open(open) if open.head.is_some());
        match self.phase {
            Phase::Content(_) => {}
            Phase::Command if more_chunks => {}
            _ => return,
        }
        let span = self.content_span();
        let least = self.settings.limits.least_content;
        let Some(pace) = &mut self.pace else {
            return;
        };
        let more = u64::try_from(octets).unwrap_or(u64::MAX);
        pace.octets = pace.octets.saturating_add(more);
        if turn.now.mono < pace.since.plus(span) {
            return;
        }
        if pace.octets >= least {
            *pace = Pace::from(turn.now);
            return;
        }
        turn.say(&replies::too_slow());
        turn.note(Note::TooSlow {
            octets: pace.octets,
        });
        self.close(turn);
    }

    /// In what time the least must come.
    fn content_span(&self) -> Duration {
        let limits = &self.settings.limits;
        if self.pressed && !self.peer.may_relay {
            limits.pressed_span.min(limits.content_span)
        } else {
            limits.content_span
        }
    }

    /// Counts a command that brings no mail. False if there were too many, and the session is over.
    pub(super) fn may_dally(&mut self, command: &Command, turn: &mut Turn<'_>) -> bool {
        let dallies = match command {
            Command::Hello { .. }
            | Command::Reset
            | Command::Noop
            | Command::Help
            | Command::Verify => true,
            Command::Mail(_) => {
                self.dallying = Dallying::default();
                false
            }
            _ => false,
        };
        if !dallies {
            return true;
        }
        self.dallying.0 = self.dallying.0.saturating_add(1);
        if self.dallying.0 <= self.settings.limits.dallying {
            return true;
        }
        turn.say(&replies::no_mail());
        turn.note(Note::NoMail);
        self.close(turn);
        false
    }
}

/// What is asked of a peer's pace; each with its reason.
impl Limits {
    /// Octets that content must bring in each span: seven a second over ten minutes. A modem of the
    /// slowest kind in use brings that in seconds, so that nine and a half of the ten minutes may be
    /// a dead line. Whoever means to hold a place by single octets pays for it in traffic.
    pub(super) const LEAST_CONTENT: u64 = 4096;

    /// Twice the time for silence (RFC 5321 §4.5.3.2.5 has three minutes for a block of data), so
    /// that one long stall is never enough.
    pub(super) const CONTENT_SPAN: Duration = Duration::from_mins(10);

    /// Under pressure, thirty octets a second.
    pub(super) const PRESSED_SPAN: Duration = Duration::from_mins(2);

    /// Under pressure, for a client in no transaction: longer than any round trip and than the
    /// pause between two messages of one queue run, and a tenth of what it has in quiet times.
    pub(super) const PRESSED_TIMEOUT: Duration = Duration::from_secs(30);

    /// Clients say RSET before each message at most; what is counted begins anew with each MAIL.
    pub(super) const DALLYING: u32 = 100;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::Domain;
    use crate::queue_id::QueueId;
    use crate::smtp::receive::{Action, Answer, Ask, AskId, Begun, Input, Peer, Settings};
    use crate::time::Wall;
    use crate::verify::timing::Possible;
    use crate::verify::{Evidence, Verdict};
    use alloc::string::String;
    use alloc::sync::Arc;
    use alloc::vec::Vec;
    use core::net::SocketAddr;

    const MINUTE: u64 = 60;

    /// A session whose every question is answered yes, and its clock in seconds.
    struct Talk {
        session: Session,
        seconds: u64,
        /// When the driver's timer fires.
        timer: Option<u64>,
        said: String,
        closed: bool,
    }

    impl Talk {
        fn of(may_relay: bool) -> Self {
            let settings = Settings {
                hostname: Domain::parse("mx.example.org").unwrap(),
                authserv_id: Domain::parse("mx.example.org").unwrap(),
                limits: Limits::default(),
                starttls: false,
                require_tls: false,
                holds: false,
                xhold: None,
                xvouch: false,
                helo_syntax: false,
                possible: Possible::default(),
            };
            let peer = Peer {
                address: SocketAddr::from(([192, 0, 2, 1], 4000)),
                may_relay,
                is_front: false,
            };
            let mut talk = Self {
                session: Session::new(Arc::new(settings), peer),
                seconds: 0,
                timer: None,
                said: String::new(),
                closed: false,
            };
            talk.step(Input::Connected);
            talk
        }

        fn step(&mut self, input: Input<'_>) {
            let now = Now {
                mono: Mono::from_millis(self.seconds * 1000),
                wall: Wall::from_secs(self.seconds),
            };
            let mut actions = Vec::new();
            self.session.step(input, now, &mut actions);
            for action in actions {
                match action {
                    Action::Write(octets) => self.said = String::from_utf8(octets).unwrap(),
                    Action::SetTimer(at) => self.timer = Some(at.as_millis() / 1000),
                    Action::Close => self.closed = true,
                    Action::Ask(id, ask) => self.say_yes(id, &ask),
                    _ => {}
                }
            }
        }

        fn say_yes(&mut self, id: AskId, ask: &Ask) {
            let evidence = Evidence::RelayClient {
                local_domain: false,
            };
            let answer = match ask {
                Ask::Verify { .. } => Answer::Verdict(Arc::new(Verdict::of(evidence, []))),
                Ask::Recipient { .. } => Answer::Recipient(Ok(Vec::new())),
                Ask::Begin { .. } => {
                    Answer::Begun(Ok(Begun::to_keep(QueueId::new(Wall::from_secs(0), 7))))
                }
                other => panic!("{other:?}"),
            };
            self.step(Input::Answer(id, answer));
        }

        fn send(&mut self, text: &str) {
            self.step(Input::Bytes(text.as_bytes()));
        }

        /// Lets time pass; the timer fires when it is due.
        fn wait(&mut self, seconds: u64) {
            let until = self.seconds + seconds;
            while let Some(due) = self.timer.filter(|due| *due <= until && !self.closed) {
                self.seconds = due;
                self.timer = None;
                self.step(Input::TimerFired);
            }
            self.seconds = until;
        }

        fn begin_content(&mut self) {
            self.send("EHLO a\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n");
            assert!(self.said.ends_with("354 end data with <CRLF>.<CRLF>\r\n"));
        }
    }

    #[test]
    fn content_by_single_octets_is_cut_and_a_line_that_stalls_is_not() {
        for pressed in [false, true] {
            let mut drips = Talk::of(false);
            drips.begin_content();
            drips.step(Input::Pressure(pressed));
            while !drips.closed {
                drips.wait(MINUTE);
                drips.send("x");
            }
            assert!(drips.said.starts_with("421 4.4.2 "), "{}", drips.said);
            let span = if pressed { 2 } else { 10 };
            assert_eq!(drips.seconds, span * MINUTE);
        }
        // Dead for nearly as long as silence may last, over and over.
        let mut stalls = Talk::of(false);
        stalls.begin_content();
        for _ in 0..100 {
            stalls.wait(5 * MINUTE - 1);
            stalls.send(&"x".repeat(2100));
        }
        stalls.wait(5 * MINUTE - 1);
        assert!(!stalls.closed);
    }

    #[test]
    fn the_end_of_the_content_is_never_too_late() {
        let mut slow = Talk::of(false);
        slow.send("EHLO a\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n");
        // In chunks, the second behind a long pause: it completes a message of four octets.
        slow.send("BDAT 2\r\nab");
        for _ in 0..3 {
            slow.wait(4 * MINUTE);
            slow.send("BDAT 0\r\n");
            assert!(!slow.closed, "{}", slow.said);
        }
        // A chunk that is refused is waited for no longer than a message.
        slow.send("RSET\r\nBDAT 1000000\r\n");
        while !slow.closed {
            slow.wait(4 * MINUTE);
            slow.send("x");
        }
        assert_eq!(slow.seconds, 24 * MINUTE);
    }

    #[test]
    fn under_pressure_a_stranger_without_mail_makes_room() {
        let mut idle = Talk::of(false);
        idle.send("EHLO a\r\n");
        idle.wait(MINUTE);
        idle.step(Input::Pressure(true));
        idle.wait(29);
        assert!(!idle.closed);
        idle.wait(1);
        assert!(idle.closed && idle.said.starts_with("421 4.3.2 "));
        // The pressure has gone in time.
        let mut lucky = Talk::of(false);
        lucky.step(Input::Pressure(true));
        lucky.wait(29);
        lucky.step(Input::Pressure(false));
        lucky.wait(5 * MINUTE - 1);
        assert!(!lucky.closed);
        lucky.wait(1);
        assert!(lucky.closed && lucky.said.starts_with("421 4.4.2 "));
    }

    #[test]
    fn under_pressure_a_transaction_and_our_own_clients_keep_their_time() {
        let mut sends = Talk::of(false);
        sends.step(Input::Pressure(true));
        sends.send("EHLO a\r\nMAIL FROM:<a@b.example>\r\n");
        sends.wait(5 * MINUTE - 1);
        for _ in 0..20 {
            sends.send("RCPT TO:<c@d.example>\r\n");
            sends.wait(29);
            assert!(!sends.closed);
        }
        sends.send("RSET\r\n");
        sends.wait(30);
        assert!(sends.closed);
        let mut ours = Talk::of(true);
        ours.step(Input::Pressure(true));
        ours.wait(5 * MINUTE - 1);
        assert!(!ours.closed);
    }

    #[test]
    fn under_pressure_a_transaction_has_no_new_five_minutes_for_each_command() {
        for pressed in [false, true] {
            let mut drips = Talk::of(false);
            drips.send("EHLO a\r\nMAIL FROM:<a@b.example>\r\n");
            drips.step(Input::Pressure(pressed));
            for _ in 0..4 {
                drips.wait(2 * MINUTE);
                drips.send("RCPT TO:<c@d.example>\r\n");
            }
            assert_eq!(drips.closed, pressed, "{}", drips.said);
            if pressed {
                assert!(drips.said.starts_with("421 4.3.2 "), "{}", drips.said);
            }
        }
        // It begins while the client takes its time.
        let mut late = Talk::of(false);
        late.send("EHLO a\r\nMAIL FROM:<a@b.example>\r\n");
        late.wait(4 * MINUTE);
        late.send("RCPT TO:<c@d.example>\r\n");
        late.step(Input::Pressure(true));
        late.wait(MINUTE - 1);
        assert!(!late.closed);
        late.wait(1);
        assert!(late.closed);
    }

    #[test]
    fn commands_without_mail_come_to_an_end() {
        let mut talk = Talk::of(false);
        talk.send("EHLO a\r\n");
        for round in 0..3 {
            for _ in 0..49 {
                talk.send("NOOP\r\nRSET\r\n");
            }
            assert!(!talk.closed, "{round}");
            talk.send("MAIL FROM:<a@b.example>\r\n");
            assert!(talk.said.starts_with("250 "));
        }
        for _ in 0..50 {
            talk.send("NOOP\r\nRSET\r\n");
        }
        assert!(!talk.closed);
        talk.send("NOOP\r\n");
        assert!(talk.closed && talk.said.starts_with("421 4.7.0 "));
    }
}
