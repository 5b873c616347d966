//! What does the last host say? A path that is held open over three servers, and nothing is queued.

use std::net::Ipv4Addr;

use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::verify::VerdictResult;

use super::{Differed, Exchange, Letter, Line, Page, World, show_verdict, within, zones};
use crate::cli::show_trace;
use crate::control::wire::Message;
use crate::demo::world::LAB_REFUSALS;
use crate::history::event::{Event, Note};

/// Who writes, and by which host.
const DAVE: (&str, &str, Ipv4Addr) = ("dave@quiet.example", "mail.quiet.example", zones::QUIET_OUT);

/// Where the last of four hosts refuses, and its sender hears it.
pub(super) async fn three_hops(world: &mut World, page: &Page) -> Result<(), Differed> {
    page.title("8. Three servers, and a mailbox that is not there");
    page.prose(
        "Mail for the laboratory goes through three servers of this kind: this one, the campus's, \
         the faculty's. Behind them is the host with the mailboxes. Gus is not there any more, and \
         Fay's mailbox is full. At RCPT each server asks the next one before it answers:",
    );
    let (reverse_path, helo, client) = DAVE;
    let mut conversation = world.connect(page, client).await?;
    conversation.hello(helo).await?;
    let mail = format!("MAIL FROM:<{reverse_path}>");
    conversation.say(&mail, 250).await?;
    let unknown = conversation
        .say("RCPT TO:<gus@lab.example.org>", 550)
        .await?;
    let full = conversation
        .say("RCPT TO:<fay@lab.example.org>", 452)
        .await?;
    conversation.quit().await?;
    let evidence = (VerdictResult::Unknown, "unpublished");
    show_verdict(world, page, DAVE, evidence, None).await?;
    page.prose(
        "Nothing shows that Dave is who he says he is, so a report might go to somebody else. None is \
         needed: his own host has heard it. What the last of the four hosts said, to the faculty's \
         server:",
    );
    let refusals = refusals(world).await?;
    page.lines(&refusals.lines);
    for (told, (_, inner)) in [unknown, full].iter().zip(LAB_REFUSALS) {
        if told.get(..CODES) != inner.get(..CODES) || told == inner {
            return Err(Differed::Fact(
                "the last host's code and status come back, in words of ours",
            ));
        }
    }
    page.prose(
        "Its codes have come back, not its words: they are its own affair. On the way nobody has \
         queued anything; what `vouchsafe queue list` says on each server:",
    );
    nobody_has_queued(world, page).await?;
    taken_by_the_last(world, page).await
}

/// Octets of a code and a status, with the blanks behind them.
const CODES: usize = 10;

/// Both refusals, in the one transaction that the last host had.
async fn refusals(world: &mut World) -> Result<Exchange, Differed> {
    let first = within("the first refusal", world.lab.next()).await?;
    let both = within("the second refusal", world.lab.next()).await?;
    let said = |(_, reply): &(&str, &str)| both.lines.contains(&Line::Server((*reply).to_owned()));
    if first.content.is_empty() && both.content.is_empty() && LAB_REFUSALS.iter().all(said) {
        Ok(both)
    } else {
        Err(Differed::Fact("the last host refused both mailboxes"))
    }
}

/// A message to somebody who is there.
async fn taken_by_the_last(world: &mut World, page: &Page) -> Result<(), Differed> {
    page.prose("Hal is there, and has room:");
    let (reverse_path, helo, client) = DAVE;
    let letter = Letter::write(
        reverse_path,
        "hal@lab.example.org",
        "The samples",
        "They are on their way.",
    );
    let conversation = world.connect(page, client).await?;
    let taken = letter.send(conversation, helo).await?;
    if !world.lab.has_more() {
        return Err(Differed::Fact(
            "the last host had the message before 250 was said",
        ));
    }
    let arrival = letter.arrives(&mut world.lab).await?;
    let hops = [&world.server, &world.campus, &world.faculty];
    let passed = |name: &str| {
        let by = format!("by {name}");
        arrival.content.iter().any(|line| line.contains(&by))
    };
    if !hops.iter().all(|hop| passed(hop.name())) {
        return Err(Differed::Fact("the message went through all three"));
    }
    page.prose(
        "The last host's 250 came first, then the faculty's, the campus's, and this one. Still \
         nothing is queued:",
    );
    nobody_has_queued(world, page).await?;
    page.prose(
        "What `vouchsafe trace` tells on this server of its way: each answer of the campus's, which \
         waited for those behind, how long it took, and the end.",
    );
    show_onward(world, page, &taken).await
}

/// What the first server has noted of the message of this 250.
async fn show_onward(world: &World, page: &Page, taken: &str) -> Result<(), Differed> {
    let name = taken.rsplit(' ').next().unwrap_or_default();
    let id: QueueId = name
        .parse()
        .map_err(|_| Differed::Fact("the 250 names the message"))?;
    let mut notes = world.server.notes(id).await?;
    // The verdict and the trace fields have been seen in other stories.
    notes.retain(|note| matches!(note.event, Event::Asked { .. } | Event::Onward));
    page.quote(show_trace(&notes, None).lines());
    match notes.as_slice() {
        [recipient, message, end]
            if is_said(recipient, "recipient", "accepted")
                && is_said(message, "message", "delivered")
                && end.event == Event::Onward =>
        {
            Ok(())
        }
        _ => Err(Differed::Fact(
            "trace tells of both answers, and that the message went onward",
        )),
    }
}

/// True if this was the answer to a question about that.
fn is_said(note: &Note, what: &str, answer: &str) -> bool {
    matches!(&note.event, Event::Asked { about, outcome, .. } if about == what && outcome == answer)
}

/// Asks each of the three for its queue, once: nothing of this story may be in it now. What else is there
/// is of a story before, which went otherwise.
async fn nobody_has_queued(world: &World, page: &Page) -> Result<(), Differed> {
    let mut queued = 0usize;
    let mut said = Vec::new();
    for hop in [&world.server, &world.campus, &world.faculty] {
        let queue = hop.queue().await?;
        let ours = queue.iter().filter(|message| is_ours(message)).count();
        queued = queued.saturating_add(ours);
        let what = match queue.len() {
            0 => String::from("the queue is empty"),
            all => format!("{all} in the queue, {ours} of them for lab.example.org"),
        };
        said.push(format!("{:<20}  {what}", hop.name()));
    }
    page.records(&said.join("\n"));
    if queued == 0 {
        Ok(())
    } else {
        Err(Differed::Fact("nobody on the way has queued anything"))
    }
}

/// True of a message to the laboratory.
fn is_ours(message: &Message) -> bool {
    let mut recipients = message.recipients.iter();
    recipients.any(|recipient| recipient.forward_path.ends_with("@lab.example.org"))
}
