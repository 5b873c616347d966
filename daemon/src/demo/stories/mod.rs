//! The stories, in their order, and what can be tried afterwards.
//!
//! Each is told as it happens: what is going on, what the DNS has to say, the SMTP conversation,
//! the verdict and why. `origin` has those in which the question is where a message is from,
//! `custody` those in which it is what becomes of it.

mod custody;
mod origin;

use std::path::PathBuf;

use super::conversation::{Conversation, Differed};
use super::next_hop::Exchange;
use super::page::{Line, Page};
use super::world::World;
use super::{within, zones};
use crate::clock;
use crate::log::chain;
use vouchsafe_proto::verify::VerdictResult;

/// A sentence on the whole, before the first story.
const BEGINNING: &str = "\
Vouchsafe stands where a site's mail comes in, as mx.example.org. Here it is the real service, on a \
small world of its own: a few domains in a name server of the demo's, and a few mail hosts, all on \
loopback addresses. Before it takes a message it asks the domain of the sender's address (the \
reverse-path, which MAIL FROM gives) whether the client is one of the hosts that its mail comes \
from. A domain names them in MX records with preference 0 at MAIL-FROM.<domain>. Lines with C: are \
said by the client, lines with S: by the server.";

/// Tells all of them. Gives how many went otherwise.
pub async fn tell(world: &mut World, page: &Page) -> usize {
    page.prose(BEGINNING);
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
    page.title("The end");
    let end = match differed {
        0 => String::from("All seven stories went as they are told."),
        _ => format!("{differed} of seven stories went otherwise than they are told."),
    };
    page.prose(&end);
    differed
}

/// A message of the stories.
struct Letter {
    from: &'static str,
    to: &'static str,
    subject: &'static str,
    text: &'static str,
}

impl Letter {
    /// Header and body, without dot-stuffing: no line begins with a dot.
    fn lines(&self) -> Vec<String> {
        vec![
            format!("From: <{}>", self.from),
            format!("To: <{}>", self.to),
            format!("Date: {}", clock::now().wall.to_rfc5322()),
            format!("Subject: {}", self.subject),
            String::new(),
            self.text.to_owned(),
        ]
    }

    /// Gives it to the service from MAIL to the 250, and ends the conversation.
    async fn send(&self, mut conversation: Conversation<'_>, helo: &str) -> Result<(), Differed> {
        conversation.hello(helo).await?;
        let mail = format!("MAIL FROM:<{}>", self.from);
        conversation.say(&mail, 250).await?;
        conversation
            .say(&format!("RCPT TO:<{}>", self.to), 250)
            .await?;
        conversation.message(&self.lines()).await?;
        conversation.quit().await
    }

    /// What arrived is this letter, below the trace fields.
    fn arrived(&self, exchange: Exchange) -> Result<Vec<String>, Differed> {
        let content = exchange
            .content
            .ok_or(Differed::Fact("the next hop took the message"))?;
        if content.ends_with(&self.lines_without_date())
            && content
                .iter()
                .any(|line| *line == format!("To: <{}>", self.to))
        {
            Ok(content)
        } else {
            Err(Differed::Fact("the message arrived as it was sent"))
        }
    }

    /// The end of it, which does not hang on the moment.
    fn lines_without_date(&self) -> Vec<String> {
        self.lines().split_off(3)
    }
}

/// Shows the verdict, which must be this one, for the reason with this word.
async fn show_verdict(
    world: &World,
    page: &Page,
    (reverse_path, helo, client): (&str, &str, std::net::Ipv4Addr),
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
    let (program, config) = (program.display(), world.config_file.display());
    page.title("The world stays up until Ctrl-C");
    page.records(&format!(
        "service        {service}\nname server    {dns}\nconfiguration  {config}"
    ));
    page.prose(
        "Tell the stories yourself, from another terminal. swaks speaks SMTP (it is a package of \
         Debian's); the second command of each pair asks for the verdict only. What arrives \
         anywhere is told here.",
    );
    for (story, from, helo, client, to) in TRIES {
        page.prose(story);
        page.command(&format!(
            "swaks --server {service} --local-interface {client} --ehlo {helo} --from {from} --to {to}"
        ));
        page.command(&format!(
            "{program} check --resolver {dns} --ip {client} --helo {helo} --mail-from {from}"
        ));
        page.gap();
    }
    page.prose("What is in the queue, and what the domains publish:");
    page.command(&format!("{program} queue list --config {config}"));
    page.command(&format!(
        "dig @{} -p {} MAIL-FROM.bank.example MX",
        dns.ip(),
        dns.port()
    ));
    page.gap();
}

/// For each story: what it is, reverse-path, HELO, client, recipient.
const TRIES: [(&str, &str, &str, std::net::Ipv4Addr, &str); 7] = [
    (
        "1. A listed relay:",
        "alice@bank.example",
        "out.bank.example",
        zones::BANK_OUT,
        "ann@example.org",
    ),
    (
        "2. A forger:",
        "alice@bank.example",
        "out.bank.example",
        zones::FORGER,
        "ann@example.org",
    ),
    (
        "3. DNS that fails:",
        "carol@broken.example",
        "out.broken.example",
        zones::BROKEN_OUT,
        "ann@example.org",
    ),
    (
        "4. Nothing published:",
        "dave@quiet.example",
        "mail.quiet.example",
        zones::QUIET_OUT,
        "ann@example.org",
    ),
    (
        "5. A provider's relay:",
        "erin@shop.example",
        "relay.isp.example",
        zones::ISP_OUT,
        "ann@example.org",
    ),
    (
        "6. The branch office (its host is up now):",
        "alice@bank.example",
        "out.bank.example",
        zones::BANK_OUT,
        "bob@branch.example.org",
    ),
    (
        "7. A next hop that refuses:",
        "alice@bank.example",
        "out.bank.example",
        zones::BANK_OUT,
        "ann@old.example.org",
    ),
];

/// Waits for one thing that happens while the world stays up, and tells it; the name of a part of
/// the service that has ended.
pub async fn watch(world: &mut World, page: &Page) -> Result<(), &'static str> {
    let (mailboxes, branch, old, bank) = (
        world.mailboxes.name,
        world.branch.name,
        world.old.name,
        world.bank.name,
    );
    let (host, exchange) = tokio::select! {
        exchange = world.mailboxes.next() => (mailboxes, exchange),
        exchange = world.branch.next() => (branch, exchange),
        exchange = world.old.next() => (old, exchange),
        exchange = world.bank.next() => (bank, exchange),
        part = world.service.failed() => return Err(part),
    };
    let what = if exchange.content.is_some() {
        "took"
    } else {
        "refused"
    };
    page.prose(&format!("{host} {what} a message:"));
    page.lines(&exchange.lines);
    Ok(())
}
