//! Did you send this? A domain that says what it has sent, and what that is good for; and why its digests are not MD5.

use std::collections::BTreeMap;
use std::io;

use vouchsafe_proto::addr::{Domain, ReversePath};
use vouchsafe_proto::residue::covered::{Hasher, Reader};
use vouchsafe_proto::residue::{Digest, first_prime};
use vouchsafe_proto::time::Wall;

use super::{Differed, Letter, Page, World, zones};
use crate::ledger::Sha256;
use crate::{chance, clock};

const ALICE: &str = "alice@college.example";
const ANN: &str = "ann@example.org";

/// What alice writes to somebody who was at the college once.
fn letter() -> Letter {
    let mut letter = Letter::write(
        ALICE,
        "ann@alumni.example",
        "The reunion",
        "It is on Saturday.",
    );
    // With a name of its own it leaves as it was written.
    let name = format!("Message-ID: <{:016x}@college.example>", chance::number());
    letter.lines.insert(4, name);
    letter
}

/// Gives lines to a server in alice's name, and expects this at their end.
async fn bring(
    world: &World,
    page: &Page,
    (client, helo, recipient): (std::net::Ipv4Addr, &str, &str),
    (lines, end): (&[String], u16),
) -> Result<String, Differed> {
    let mut conversation = world.connect(page, client).await?;
    conversation.hello(helo).await?;
    conversation
        .say(&format!("MAIL FROM:<{ALICE}>"), 250)
        .await?;
    conversation
        .say(&format!("RCPT TO:<{recipient}>"), 250)
        .await?;
    let said = conversation.content(lines, end).await?;
    conversation.quit().await?;
    Ok(said)
}

/// Where a `.forward` breaks what SPF can prove. Gives the message as the forwarder has it.
pub(super) async fn forwarded(world: &mut World, page: &Page) -> Result<Vec<String>, Differed> {
    page.title("9. A forward that SPF would break");
    page.prose(
        "college.example lets only its own host send, in its set and in SPF. And it keeps a ledger: before a \
         message of its people leaves, a digest of it is on the disk, and whoever has the message can ask \
         whether it was sent. Who answers stands in the DNS, at _sent. Alice writes from her desk to an \
         address that Ann once had:",
    );
    page.records(zones::LEDGER);
    let letter = letter();
    let mut conversation =
        super::Conversation::open(page, zones::COLLEGE_DESK, world.college.address()).await?;
    conversation.hello("desk.college.example").await?;
    conversation
        .say(&format!("MAIL FROM:<{ALICE}>"), 250)
        .await?;
    conversation
        .say("RCPT TO:<ann@alumni.example>", 250)
        .await?;
    conversation.message(&letter.lines).await?;
    conversation.quit().await?;
    let arrived = letter.arrives(&mut world.alumni).await?;
    page.prose(
        "Ann has a .forward there. The host of alumni.example sends the message on as it is, in Alice's name, \
         and it is no host of the college: by the set and by SPF it is to be refused. But the content can be \
         asked about, so the refusal waits for it:",
    );
    let forwarder = (zones::ALUMNI, "alumni.example", ANN);
    bring(world, page, forwarder, (&arrived.content, 250)).await?;
    let here = letter.arrives(&mut world.mailboxes).await?;
    page.prose(
        "college.example was asked twice, by remainders that tell it nothing of a message that is not its own: \
         did you send this to example.org? It does not say so. To alumni.example, which stands in To? Yes. So \
         it is the college's own message, come by another way. What Ann has says so:",
    );
    page.quote(&here.content);
    if !says(&here.content, "x-ledger=neutral reason=\"sent elsewhere\"") {
        return Err(Differed::Fact("the ledger says that it was sent elsewhere"));
    }
    Ok(arrived.content)
}

fn says(content: &[String], text: &str) -> bool {
    content.iter().any(|line| line.contains(text))
}

/// A report about a message, as hosts send them.
fn report(message_id: &str, date: Wall) -> Vec<String> {
    let text = format!(
        "From: <postmaster@deceived.example>\nTo: <{ALICE}>\nDate: {}\n\
         Subject: Undelivered Mail Returned to Sender\nMIME-Version: 1.0\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n\
         --b\n\nYour message could not be delivered.\n\
         --b\nContent-Type: message/delivery-status\n\n\
         Reporting-MTA: dns; out.deceived.example\n\n\
         Final-Recipient: rfc822; nobody@deceived.example\nAction: failed\nStatus: 5.1.1\n\
         --b\nContent-Type: text/rfc822-headers\n\n\
         From: <{ALICE}>\nDate: {}\n{message_id}\nSubject: Act now\n\
         --b--",
        clock::now().wall.to_rfc5322(),
        date.to_rfc5322()
    );
    text.lines().map(str::to_owned).collect()
}

/// Where a report comes about what nobody sent.
pub(super) async fn forged_bounce(
    world: &mut World,
    page: &Page,
    sent: &[String],
) -> Result<(), Differed> {
    page.title("10. A forged bounce");
    page.prose(
        "Somebody has written to a mailbox that is not there, in Alice's name, by a host that believes \
         everything; that host is honest, and reports to Alice. The report names the message. The college's server \
         asks its own ledger, and nobody else:",
    );
    let college = Domain::parse("college.example").map_err(io::Error::other)?;
    world.college.until_covered(&college).await?;
    let name = sent.iter().find(|line| line.starts_with("Message-ID:"));
    let name = name.map_or("", String::as_str);
    let hours_ago = |hours: u64| {
        let now = clock::now().wall.as_secs();
        Wall::from_secs(now.saturating_sub(hours.saturating_mul(3600)))
    };
    for (message_id, hours, end) in [
        ("Message-ID: <forged@college.example>", 3, 550),
        (name, 0, 250),
    ] {
        let mut conversation =
            super::Conversation::open(page, zones::DECEIVED, world.college.address()).await?;
        conversation.hello("out.deceived.example").await?;
        conversation.say("MAIL FROM:<>", 250).await?;
        conversation.say(&format!("RCPT TO:<{ALICE}>"), 250).await?;
        let report = report(message_id, hours_ago(hours));
        conversation.content(&report, end).await?;
        conversation.quit().await?;
        if end == 550 {
            page.prose(
                "Nothing of that name was sent, and that is known of the time of its Date. A report about \
                 the letter of the story before is true, and she has it:",
            );
        }
    }
    let arrived = super::within("the report's arrival", world.college_mail.next()).await?;
    if !says(&arrived.content, "x-bounce=pass") {
        return Err(Differed::Fact("the true report is known to be true"));
    }
    page.lines(&arrived.lines);
    Ok(())
}

/// Where a message is sent once more, by somebody else.
pub(super) async fn replayed(
    world: &mut World,
    page: &Page,
    sent: &[String],
) -> Result<(), Differed> {
    page.title("11. A replay");
    page.prose(&format!(
        "{} has got hold of Alice's letter, and sends it to Bob. It was never sent to his domain, so nothing is \
         proven by it; it was sent to the domain in To, so it is the college's own message, word for word, and \
         no reason to refuse:",
        zones::FORGER
    ));
    let forger = (zones::FORGER, "out.college.example", "bob@example.org");
    bring(world, page, forger, (sent, 250)).await?;
    let subject = "Subject: The reunion";
    let arrived = loop {
        let exchange = super::within("the replay's arrival", world.mailboxes.next()).await?;
        if says(&exchange.content, subject) {
            break exchange;
        }
    };
    if !says(&arrived.content, "x-vouchsafe=unknown") {
        return Err(Differed::Fact("a replay proves nothing"));
    }
    page.prose(
        "With one word of his own in it, it is no message that the college has sent to anybody:",
    );
    let words = |line: &String| line.replace("Saturday", "Sunday, and costs 90 euros");
    let altered: Vec<_> = sent.iter().map(words).collect();
    let refused = bring(world, page, forger, (&altered, 550)).await?;
    if !refused.contains("not a border relay of college.example") {
        return Err(Differed::Fact("the college's lists decide then"));
    }
    Ok(())
}

/// SHA-256 of which three octets are left: as much weaker than sixteen as anybody can wait for.
#[derive(Default)]
struct Weak(Sha256);

impl Hasher for Weak {
    fn update(&mut self, octets: &[u8]) {
        self.0.update(octets);
    }

    fn finish(self) -> [u8; 32] {
        let [first, second, third, ..] = self.0.finish();
        let mut weak = [0; 32];
        for (at, octet) in weak.iter_mut().enumerate() {
            *octet = match at % 3 {
                0 => first,
                1 => second,
                _ => third,
            };
        }
        weak
    }
}

/// How many letters of the harmless kind are written; of the other kind three thousand are enough, most of the time.
const HARMLESS: u32 = 5_000;

/// After so many of the other kind there is no such pair, which does not happen.
const MOST: u32 = 500_000;

/// The digest of a letter with this text.
fn digest<H: Hasher>(text: &str) -> Option<Digest> {
    let mut reader = Reader::<H>::default();
    reader.read(format!("From: <{ALICE}>\r\nSubject: Tomorrow\r\n\r\n{text}\r\n").as_bytes());
    let path = ReversePath::parse_inside(ALICE).ok()?;
    let domain = Domain::parse("example.org").ok()?;
    reader.finish().ok()?.digest::<H>(&domain, &path)
}

/// Two letters, one harmless and one not, that have the same weak digest.
fn pair() -> Option<(String, String)> {
    let harmless = |number| format!("Lunch is at noon, table {number}.");
    let other = |number| format!("Please pay Eve {number} euros.");
    let known: BTreeMap<_, _> = (0..HARMLESS)
        .filter_map(|number| Some((digest::<Weak>(&harmless(number))?, number)))
        .collect();
    (0..MOST).find_map(|number| {
        let text = other(number);
        let same = known.get(&digest::<Weak>(&text)?)?;
        Some((harmless(*same), text))
    })
}

/// Why a digest that somebody can find two messages for is of no use.
pub(super) fn collision(page: &Page) -> Result<(), Differed> {
    page.title("12. Why the digest is not MD5");
    page.prose(
        "A receiver draws a prime after the message has come, and asks by the remainder that the digest leaves. A \
         forger who does not know the prime cannot make a message that leaves the right one. But who finds two \
         messages with one digest has the first sent, and brings the second: they agree modulo every number. For \
         MD5, of which the founding text spoke in 2002, such pairs are cheap by now. Here is one for a digest of \
         24 bits, which takes a moment:",
    );
    let Some((harmless, other)) = pair() else {
        return Err(Differed::Fact("two letters have one weak digest"));
    };
    page.quote([&harmless, &other]);
    // One odd number in twenty-two is prime there: of a thousand some are.
    let draws = (0..1000).map(|_| chance::number() | 1 << 63 | 1);
    let Some(prime) = first_prime(draws) else {
        return Err(Differed::Fact("there is a prime among the numbers"));
    };
    let both = |digest: fn(&str) -> Option<Digest>| {
        let of = |text| digest(text).map(|digest| digest.number() % u128::from(prime));
        Some((of(&harmless)?, of(&other)?))
    };
    let weak = both(digest::<Weak>).unwrap_or_default();
    let strong = both(digest::<Sha256>).unwrap_or_default();
    page.records(&format!(
        "prime               {prime}\n\
         24 bits, harmless   {}\n\
         24 bits, the other  {}\n\
         SHA-256, harmless   {}\n\
         SHA-256, the other  {}",
        weak.0, weak.1, strong.0, strong.1
    ));
    page.prose("By SHA-256, of which 128 bits are kept, nobody knows a way to such a pair.");
    if weak.0 == weak.1 && strong.0 != strong.1 {
        Ok(())
    } else {
        Err(Differed::Fact("only the weak digests agree"))
    }
}
