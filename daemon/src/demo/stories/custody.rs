//! Will it get there? A 250 is kept, or its sender hears why not.

use vouchsafe_proto::verify::VerdictResult;

use super::origin::nothing_is_queued;
use super::{Differed, Letter, Line, Page, World, within, zones};
use crate::cli::show_message;
use crate::control::wire::Message;
use crate::demo::world::REFUSAL;

/// Where the next hop is down at first.
pub(super) async fn down_then_up(world: &mut World, page: &Page) -> Result<(), Differed> {
    page.title("6. A next hop that is down, then up");
    page.prose(
        "The mail host of the branch office does not run: nobody listens at its port. The client \
         gets its 250 all the same, once the message lies on the disk. From then on it is \
         for Vouchsafe to see it delivered, through crashes and power cuts.",
    );
    let letter = Letter::write(
        "alice@bank.example",
        "bob@branch.example.org",
        "The contract",
        "Please sign.",
    );
    let conversation = world.connect(page, zones::BANK_OUT).await?;
    letter.send(conversation, "out.bank.example").await?;
    let waiting = world
        .server
        .queue_until("a first attempt at the branch office", |queue| {
            let tried = |message: &Message| {
                // A next hop that cannot be reached is no attempt of the message's own.
                let reason = message.waiting().any(|to| to.diagnostic.is_some());
                !message.active && reason
            };
            queue.into_iter().find(tried)
        })
        .await?;
    page.prose("It cannot be handed on. What `vouchsafe queue show` says of it, with the reason:");
    page.quote(show_message(&waiting).lines());
    world.branch.up()?;
    page.prose(
        "Now the host is started. At the next attempt, in which Vouchsafe is the client, it takes \
         the message:",
    );
    let arrival = letter.arrives(&mut world.branch).await?;
    page.lines(&arrival.lines);
    nothing_is_queued(world).await?;
    page.prose(
        "The queue is empty. Here attempts are a second apart; by default they begin five minutes \
         apart, end after five days, and the sender hears of a delay after four hours.",
    );
    Ok(())
}

/// Where the next hop says no, after us.
pub(super) async fn refused(world: &mut World, page: &Page) -> Result<(), Differed> {
    page.title("7. A next hop that refuses, and the report");
    page.prose(
        "Ann has left old.example.org, and its mailbox server says so: but only to Vouchsafe, when \
         the bank's host already has its 250.",
    );
    let letter = Letter::write(
        "alice@bank.example",
        "ann@old.example.org",
        "Are you there?",
        "I hope so.",
    );
    let conversation = world.connect(page, zones::BANK_OUT).await?;
    letter.send(conversation, "out.bank.example").await?;
    let refusal = within("the refusal", world.old.next()).await?;
    page.prose("Now Vouchsafe is the client, and the mailbox server refuses:");
    page.lines(&refusal.lines);
    page.prose(
        "The sender must hear of it. The reverse-path is authorised, so the report goes to one \
         who did send: to the host that takes the bank's mail, found by MX, with the null \
         reverse-path, so that no report can ever follow a report.",
    );
    page.records(zones::BANK_MX);
    let report = within("the report's arrival at the bank", world.bank.next()).await?;
    page.lines(&report.lines);
    let said = |text: &str| report.lines.contains(&Line::Client(text.to_owned()));
    let from_null =
        |line: &Line| matches!(line, Line::Client(mail) if mail.starts_with("MAIL FROM:<>"));
    if !report.lines.iter().any(from_null) || !said("RCPT TO:<alice@bank.example>") {
        return Err(Differed::Fact(
            "the report is from the null reverse-path, to the message's",
        ));
    }
    page.prose("Alice's copy, whole, as it arrived:");
    page.quote(&report.content);
    let says = |text: &str| report.content.iter().any(|line| line.contains(text));
    if !says("Action: failed") || !says(REFUSAL) {
        return Err(Differed::Fact("the report says what failed, and why"));
    }
    no_report_about_the_forger(world, page).await
}

/// The forger tries the same.
async fn no_report_about_the_forger(world: &mut World, page: &Page) -> Result<(), Differed> {
    page.prose(
        "Could a forger have such reports sent to the bank, by writing in its name to addresses \
         that do not exist? It does not come to that:",
    );
    let mut conversation = world.connect(page, zones::FORGER).await?;
    conversation.hello("out.bank.example").await?;
    let replied = conversation
        .say("MAIL FROM:<alice@bank.example>", 550)
        .await?;
    conversation
        .say("RCPT TO:<ann@old.example.org>", 503)
        .await?;
    conversation.quit().await?;
    let verdict = world
        .verdict("alice@bank.example", "out.bank.example", zones::FORGER)
        .await;
    if verdict.result() != VerdictResult::Repudiated
        || verdict.refusal().map(|reply| reply.to_string()) != Some(replied)
    {
        return Err(Differed::Fact("the forger is repudiated"));
    }
    nothing_is_queued(world).await?;
    if world.bank.has_more() || world.old.has_more() {
        return Err(Differed::Fact("nothing but the one report was sent"));
    }
    page.prose(
        "The queue is empty, and the bank has had one report: about the one message that it sent. \
         What is repudiated is never stored, and what is not stored can never be reported on.",
    );
    Ok(())
}
