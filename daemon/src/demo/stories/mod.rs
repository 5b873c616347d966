//! The stories, in their order, and what can be tried afterwards.
//!
//! Each is told as it happens: what is going on, what the DNS has to say, the SMTP conversation,
//! the verdict and why. `origin` has those in which the question is where a message is from,
//! `custody` those in which it is what becomes of it, `path` the one of a path that is held over three
//! servers, `ledger` those of a domain that says what it has sent.

mod custody;
mod ledger;
mod origin;
mod path;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use super::conversation::{Conversation, Differed};
use super::next_hop::{Exchange, NextHop};
use super::page::{Line, Page};
use super::world::World;
use super::{within, zones};
use crate::clock;
use crate::log::chain;
use vouchsafe_proto::verify::VerdictResult;

/// What there is to know before the first story, paragraph by paragraph.
const BEGINNING: [&str; 3] = [
    "This is the real service, as mx.example.org, on a small world of its own: a name server with a \
     few domains, a few mail hosts, all at loopback addresses. It stands where a site's mail comes \
     in.",
    "In MAIL FROM a client names the reverse-path: the address that a failure would be reported to. \
     Anybody can put anybody's address there. So before it takes the message, the service asks the \
     domain of that address which hosts its mail comes from. A domain says so in the DNS, in MX \
     records with preference 0 at MAIL-FROM.<domain>.",
    "In the conversations C: is the client and S: the server. Below each stand the verdict, the \
     reason, and all that the DNS was asked, with its answers.",
];

/// Tells all of them. Gives how many went otherwise.
pub async fn tell(world: &mut World, page: &Page) -> usize {
    page.title("Vouchsafe, in twelve stories");
    for paragraph in BEGINNING {
        page.prose(paragraph);
    }
    let mut differed = 0usize;
    let mut judge = |told: Result<(), Differed>| {
        if let Err(how) = told {
            page.gap();
            page.prose(&format!("NOT AS TOLD: {}.", chain(&how)));
            differed = differed.saturating_add(1);
        }
    };
    judge(origin::listed_relay(world, page).await);
    judge(origin::forger(world, page).await);
    judge(origin::failing_dns(world, page).await);
    judge(origin::nothing_published(world, page).await);
    judge(origin::second_stage(world, page).await);
    judge(custody::down_then_up(world, page).await);
    judge(custody::refused(world, page).await);
    judge(path::three_hops(world, page).await);
    let sent = ledger::forwarded(world, page).await;
    let sent = sent.map_err(|how| judge(Err(how))).unwrap_or_default();
    judge(ledger::forged_bounce(world, page, &sent).await);
    judge(ledger::replayed(world, page, &sent).await);
    judge(ledger::collision(page));
    page.title("The end");
    let end = match differed {
        0 => String::from("All twelve stories went as they are told."),
        _ => format!("{differed} of twelve stories went otherwise than they are told."),
    };
    page.prose(&end);
    differed
}

/// A message of the stories.
struct Letter {
    from: &'static str,
    to: &'static str,
    /// Header and body; no line begins with a dot.
    lines: Vec<String>,
}

impl Letter {
    /// Written now.
    fn write(from: &'static str, to: &'static str, subject: &str, text: &str) -> Self {
        let lines = vec![
            format!("From: <{from}>"),
            format!("To: <{to}>"),
            format!("Date: {}", clock::now().wall.to_rfc5322()),
            format!("Subject: {subject}"),
            String::new(),
            text.to_owned(),
        ];
        Self { from, to, lines }
    }

    /// Gives it to the service from MAIL to the 250, and ends the conversation. Gives the 250.
    async fn send(
        &self,
        mut conversation: Conversation<'_>,
        helo: &str,
    ) -> Result<String, Differed> {
        conversation.hello(helo).await?;
        let mail = format!("MAIL FROM:<{}>", self.from);
        conversation.say(&mail, 250).await?;
        conversation
            .say(&format!("RCPT TO:<{}>", self.to), 250)
            .await?;
        let taken = conversation.message(&self.lines).await?;
        conversation.quit().await?;
        Ok(taken)
    }

    /// Waits until it arrives at this host; below the trace fields it must be as it was sent. What
    /// else arrives there is of a story before, which went otherwise.
    async fn arrives(&self, host: &mut NextHop) -> Result<Exchange, Differed> {
        let subject = self.lines.get(3);
        let arriving = async {
            loop {
                let exchange = host.next().await;
                if exchange.content.iter().any(|line| Some(line) == subject) {
                    return exchange;
                }
            }
        };
        let exchange = within("the message's arrival at its next hop", arriving).await?;
        if exchange.content.ends_with(&self.lines) {
            Ok(exchange)
        } else {
            Err(Differed::Fact("the message arrived as it was sent"))
        }
    }
}

/// Shows the verdict, which must be this one, for the reason with this word.
async fn show_verdict(
    world: &World,
    page: &Page,
    (reverse_path, helo, client): (&str, &str, Ipv4Addr),
    (result, reason): (VerdictResult, &str),
    replied: Option<&str>,
) -> Result<(), Differed> {
    let verdict = world.verdict(reverse_path, helo, client).await;
    page.verdict(&verdict);
    let found = verdict
        .mail_from()
        .map_or("", |report| report.reason.as_str());
    if verdict.result() != result || found != reason {
        return Err(Differed::Verdict {
            expected: format!("{result} ({reason})"),
            got: format!("{} ({found})", verdict.result()),
        });
    }
    let refusal = verdict.refusal().map(|reply| reply.to_string());
    if refusal.as_deref() == replied {
        Ok(())
    } else {
        Err(Differed::Fact("the session said what the verdict says"))
    }
}

/// What can be tried while the world stays up.
pub fn invite(world: &World, page: &Page) {
    let (service, dns) = (world.address(), world.dns.address());
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("vouchsafe"));
    let (program, config) = (quoted(&program), quoted(&world.server.config_file));
    page.title("The world stays up until Ctrl-C");
    page.records(&format!(
        "service        {service}\nname server    {dns}\nconfiguration  {config}"
    ));
    page.prose(
        "Play the stories yourself, from another terminal. swaks speaks SMTP (Debian has it as a \
         package); `check` gives the verdict only, without any mail. Whatever then arrives \
         somewhere is told here.",
    );
    for Try {
        story,
        from,
        helo,
        client,
        to,
    } in TRIES
    {
        page.prose(story);
        page.command(&[
            &format!("swaks --server {service} --local-interface {client}"),
            &format!("--ehlo {helo} --from {from} --to {to}"),
        ]);
        page.command(&[
            &format!("{program} check --resolver {dns}"),
            &format!("--ip {client} --helo {helo} --mail-from {from}"),
        ]);
        page.gap();
    }
    page.prose("What is in the queue, and what a domain publishes:");
    page.command(&[
        &format!("{program} queue list"),
        &format!("--config {config}"),
    ]);
    page.command(&[&format!(
        "dig @{} -p {} MAIL-FROM.bank.example MX",
        dns.ip(),
        dns.port()
    )]);
    page.gap();
}

/// A path as a shell takes it for one word.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || b"/._-+".contains(&octet);
    if text.bytes().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// A story to be played by hand.
struct Try {
    story: &'static str,
    from: &'static str,
    helo: &'static str,
    client: Ipv4Addr,
    to: &'static str,
}

impl Try {
    /// A client that brings a message for Ann.
    const fn new(
        story: &'static str,
        from: &'static str,
        (helo, client): (&'static str, Ipv4Addr),
    ) -> Self {
        Self {
            story,
            from,
            helo,
            client,
            to: "ann@example.org",
        }
    }

    /// The same for another recipient.
    const fn to(self, to: &'static str) -> Self {
        Self { to, ..self }
    }
}

/// The bank's host, as it calls itself, and where it is.
const BANK: (&str, Ipv4Addr) = ("out.bank.example", zones::BANK_OUT);

/// One for each story in which a client needs no more than its address.
const TRIES: [Try; 8] = [
    Try::new("1. A listed relay:", "alice@bank.example", BANK),
    Try::new(
        "2. A forger:",
        "alice@bank.example",
        ("out.bank.example", zones::FORGER),
    ),
    Try::new(
        "3. A domain whose DNS fails:",
        "carol@broken.example",
        ("out.broken.example", zones::BROKEN_OUT),
    ),
    Try::new(
        "4. A domain that publishes nothing:",
        "dave@quiet.example",
        ("mail.quiet.example", zones::QUIET_OUT),
    ),
    Try::new(
        "5. A relay of the provider:",
        "erin@shop.example",
        ("relay.isp.example", zones::ISP_OUT),
    ),
    Try::new(
        "6. A next hop that was down, and is up now:",
        "alice@bank.example",
        BANK,
    )
    .to("bob@branch.example.org"),
    Try::new(
        "7. A next hop that refuses, and the report:",
        "alice@bank.example",
        BANK,
    )
    .to("ann@old.example.org"),
    Try::new(
        "8. Three servers, and a mailbox that is not there:",
        "dave@quiet.example",
        ("mail.quiet.example", zones::QUIET_OUT),
    )
    .to("gus@lab.example.org"),
];

/// Waits for one thing that happens while the world stays up, and tells it; the name of a part of
/// the service that has ended.
pub async fn watch(world: &mut World, page: &Page) -> Result<(), &'static str> {
    let names = [
        world.mailboxes.name,
        world.branch.name,
        world.old.name,
        world.bank.name,
        world.lab.name,
        world.alumni.name,
        world.college_mail.name,
    ];
    let [mailboxes, branch, old, bank, lab, alumni, college] = names;
    let (host, exchange) = tokio::select! {
        exchange = world.mailboxes.next() => (mailboxes, exchange),
        exchange = world.branch.next() => (branch, exchange),
        exchange = world.old.next() => (old, exchange),
        exchange = world.bank.next() => (bank, exchange),
        exchange = world.lab.next() => (lab, exchange),
        exchange = world.alumni.next() => (alumni, exchange),
        exchange = world.college_mail.next() => (college, exchange),
        part = world.server.failed() => return Err(part),
        part = world.campus.failed() => return Err(part),
        part = world.faculty.failed() => return Err(part),
        part = world.college.failed() => return Err(part),
    };
    let what = if exchange.content.is_empty() {
        "refused"
    } else {
        "took"
    };
    page.prose(&format!("{host} {what} a message:"));
    page.lines(&exchange.lines);
    Ok(())
}
