//! Is it really from there? Five clients, five answers.

use vouchsafe_proto::verify::VerdictResult;

use super::{Differed, Letter, Page, World, show_verdict, zones};

/// Where a listed host brings a letter, which arrives.
pub(super) async fn listed_relay(world: &mut World, page: &Page) -> Result<(), Differed> {
    page.title("1. A listed relay");
    page.prose(
        "bank.example lists the one host that its mail leaves from. That host brings a letter \
         for ann@example.org.",
    );
    page.records(zones::BANK);
    let letter = Letter::write(
        "alice@bank.example",
        "ann@example.org",
        "Your new account",
        "It is open.",
    );
    let conversation = world.connect(page, zones::BANK_OUT).await?;
    letter.send(conversation, "out.bank.example").await?;
    show_verdict(
        world,
        page,
        (letter.from, "out.bank.example", zones::BANK_OUT),
        (VerdictResult::Authorised, "host"),
        None,
    )
    .await?;
    let arrival = letter.arrives(&mut world.mailboxes).await?;
    page.prose(
        "The path was held open: the site's mailbox server, the next hop of example.org, had said \
         250 before ours was said. This is what it has:",
    );
    page.quote(&arrival.content);
    Ok(())
}

/// Where somebody else says that he is the bank.
pub(super) async fn forger(world: &mut World, page: &Page) -> Result<(), Differed> {
    page.title("2. A forger");
    page.prose(&format!(
        "{} is no host of the bank's, and says that it is. The records are those of the first \
         story. The reverse-path is repudiated, and the session is of no more use for mail until \
         RSET or a new EHLO: who goes on as if nothing had happened is told so, each time.",
        zones::FORGER
    ));
    let mut conversation = world.connect(page, zones::FORGER).await?;
    conversation.hello("out.bank.example").await?;
    let replied = conversation
        .say("MAIL FROM:<alice@bank.example>", 550)
        .await?;
    conversation.say("RCPT TO:<ann@example.org>", 503).await?;
    conversation
        .say("MAIL FROM:<dave@quiet.example>", 451)
        .await?;
    conversation.say("RSET", 250).await?;
    conversation
        .say("MAIL FROM:<dave@quiet.example>", 250)
        .await?;
    conversation.quit().await?;
    show_verdict(
        world,
        page,
        ("alice@bank.example", "out.bank.example", zones::FORGER),
        (VerdictResult::Repudiated, "not_listed"),
        Some(&replied),
    )
    .await?;
    page.prose(
        "Before it refuses, the check also looks behind the listed host, in case that relays \
         through others, and makes sure that the set is not the work of a wildcard. Nothing was \
         stored, so there will never be a report to the bank about mail that it did not send.",
    );
    nothing_is_queued(world).await
}

/// Where nobody knows.
pub(super) async fn failing_dns(world: &mut World, page: &Page) -> Result<(), Differed> {
    page.title("3. A domain whose DNS fails");
    page.prose(
        "The name servers of broken.example answer SERVFAIL to every question. Perhaps the client \
         is listed, perhaps not. That is no reason to refuse mail, and none to believe it: the \
         client is asked to come again. Should the trouble last for more than four hours, the mail \
         is taken, unproven.",
    );
    let mut conversation = world.connect(page, zones::BROKEN_OUT).await?;
    conversation.hello("out.broken.example").await?;
    let replied = conversation
        .say("MAIL FROM:<carol@broken.example>", 450)
        .await?;
    conversation.quit().await?;
    show_verdict(
        world,
        page,
        (
            "carol@broken.example",
            "out.broken.example",
            zones::BROKEN_OUT,
        ),
        (VerdictResult::Tempfail, "temporary"),
        Some(&replied),
    )
    .await
}

/// Where nobody has said anything.
pub(super) async fn nothing_published(world: &mut World, page: &Page) -> Result<(), Differed> {
    page.title("4. A domain that publishes nothing");
    page.prose(
        "quiet.example has never heard of MAIL-FROM records. It loses nothing: its mail is taken \
         as it always was. It is not protected either.",
    );
    page.records(zones::QUIET);
    let letter = Letter::write("dave@quiet.example", "ann@example.org", "Lunch", "At noon?");
    let conversation = world.connect(page, zones::QUIET_OUT).await?;
    letter.send(conversation, "mail.quiet.example").await?;
    show_verdict(
        world,
        page,
        (letter.from, "mail.quiet.example", zones::QUIET_OUT),
        (VerdictResult::Unknown, "unpublished"),
        None,
    )
    .await?;
    letter.arrives(&mut world.mailboxes).await?;
    page.prose("It has arrived at the mailbox server, like the first.");
    Ok(())
}

/// Where a provider sends for a domain.
pub(super) async fn second_stage(world: &mut World, page: &Page) -> Result<(), Differed> {
    page.title("5. A relay of the provider");
    page.prose(
        "shop.example sends through its provider. It does not copy the names of the provider's \
         hosts; it names the provider's own set, and when the provider changes a host, nobody \
         else has to.",
    );
    page.records(&format!("{}\n{}", zones::SHOP, zones::ISP));
    let letter = Letter::write(
        "erin@shop.example",
        "ann@example.org",
        "Your order",
        "It is on its way.",
    );
    let conversation = world.connect(page, zones::ISP_OUT).await?;
    letter.send(conversation, "relay.isp.example").await?;
    show_verdict(
        world,
        page,
        (letter.from, "relay.isp.example", zones::ISP_OUT),
        (VerdictResult::Authorised, "host"),
        None,
    )
    .await?;
    letter.arrives(&mut world.mailboxes).await?;
    page.prose("It has arrived at the mailbox server.");
    Ok(())
}

/// Nothing waits: a refused message leaves no trace.
pub(super) async fn nothing_is_queued(world: &World) -> Result<(), Differed> {
    world
        .server
        .queue_until("the queue being empty", |queue| {
            queue.is_empty().then_some(())
        })
        .await
}
