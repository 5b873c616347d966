//! What the session says of its own: bland and fixed, each reply named once.
//!
//! Codes after RFC 5321 §4.2.3 and §4.3.2, enhanced status after RFC 3463 and RFC 5248. What a
//! malformed command is told stands beside the parser, what a verdict says beside the evidence.

use alloc::format;
use alloc::vec;

use crate::addr::Domain;
use crate::reply::{Reply, ReplyClass};
use crate::smtp::xhold::Reach;

/// RFC 5321 §4.3.1.
pub(super) fn greeting(hostname: &Domain) -> Reply {
    Reply::plain(220, vec![format!("{} ESMTP", hostname.as_ascii()).into()])
}

/// To RSET and NOOP.
pub(super) fn ok() -> Reply {
    Reply::new(250, (2, 0, 0), "ok")
}

/// To MAIL, when the verdict lets it pass.
pub(super) fn mail_ok() -> Reply {
    Reply::new(250, (2, 1, 0), "sender ok")
}

/// To RCPT.
pub(super) fn recipient_ok() -> Reply {
    Reply::new(250, (2, 1, 5), "recipient ok")
}

/// After RCPT, to who holds the path with us: where it ends (PROTOCOLS C).
pub(super) fn recipient_held(reach: Reach) -> Reply {
    Reply::new(250, (2, 1, 5), format!("recipient ok, {reach}"))
}

/// To EHLO and HELO whose argument is nothing that a host can be called (RFC 5321 §4.1.1.1).
pub(super) fn no_name() -> Reply {
    Reply::new(501, (5, 5, 2), "that is neither a host name nor an address")
}

/// To RCPT, when what is known of the reverse-path would hold for some recipients and not for
/// others: one message has one reply, so the rest is asked to come by itself (RFC 5321 §4.5.3.1.10
/// has clients send the rest in a further transaction).
pub(super) fn separate_transaction() -> Reply {
    Reply::new(
        452,
        (4, 5, 3),
        "send this recipient in a transaction of its own",
    )
}

/// No enhanced status exists for 3yz (RFC 2034 §3).
pub(super) fn send_content() -> Reply {
    Reply::plain(354, vec!["end data with <CRLF>.<CRLF>".into()])
}

/// Before a reply for each recipient (draft-hall-prdr-00 §4.5.1).
pub(super) fn each_follows() -> Reply {
    Reply::plain(353, vec!["one reply for each recipient follows".into()])
}

/// To a BDAT that is not the last. It acknowledges octets, not a message (RFC 3030 §2).
pub(super) fn chunk_ok() -> Reply {
    Reply::new(250, (2, 0, 0), "chunk received")
}

/// To STARTTLS; the handshake follows (RFC 3207 §4).
pub(super) fn ready_for_tls() -> Reply {
    Reply::new(220, (2, 0, 0), "ready to start TLS")
}

/// RFC 5321 §3.5.3: no user is confirmed or denied.
pub(super) fn cannot_verify() -> Reply {
    Reply::new(252, (2, 0, 0), "cannot verify, will attempt delivery")
}

/// To HELP: the verbs that are offered.
pub(super) fn help(starttls: bool) -> Reply {
    let verbs = if starttls {
        "EHLO HELO MAIL RCPT DATA BDAT RSET NOOP QUIT VRFY HELP STARTTLS"
    } else {
        "EHLO HELO MAIL RCPT DATA BDAT RSET NOOP QUIT VRFY HELP"
    };
    Reply::new(214, (2, 0, 0), verbs)
}

/// To QUIT.
pub(super) fn goodbye() -> Reply {
    Reply::new(221, (2, 0, 0), "goodbye")
}

/// To a command line with a bare CR, a bare LF or a NUL.
pub(super) fn stray_octets() -> Reply {
    Reply::new(
        500,
        (5, 5, 2),
        "lines must end in CRLF, and hold no CR, LF or NUL",
    )
}

/// RFC 5321 §4.5.3.1.10.
pub(super) fn line_too_long() -> Reply {
    Reply::new(500, (5, 5, 2), "line too long")
}

/// Before closing on a BDAT whose line is no line, so that its octets cannot be counted.
pub(super) fn out_of_step() -> Reply {
    Reply::new(421, (4, 5, 2), "chunk cannot be counted, closing")
}

/// To a BDAT whose octets could be counted and whose form is wrong.
pub(super) fn malformed_argument() -> Reply {
    Reply::new(501, (5, 5, 4), "syntax error in argument")
}

/// To what needs EHLO or HELO before it (RFC 5321 §4.1.4).
pub(super) fn hello_first() -> Reply {
    Reply::new(503, (5, 5, 1), "send EHLO first")
}

/// To MAIL in an open transaction.
pub(super) fn nested_mail() -> Reply {
    Reply::new(503, (5, 5, 1), "a transaction is open")
}

/// To RCPT, DATA and BDAT without MAIL.
pub(super) fn mail_first() -> Reply {
    Reply::new(503, (5, 5, 1), "no transaction is open")
}

/// To DATA and BDAT without RCPT (RFC 5321 §3.3).
pub(super) fn recipient_first() -> Reply {
    Reply::new(503, (5, 5, 1), "no valid recipients")
}

/// RCPT or DATA when BDAT has begun, BDAT when one has failed (RFC 3030 §2).
pub(super) fn not_while_chunking() -> Reply {
    Reply::new(503, (5, 5, 1), "not in the middle of BDAT")
}

/// MAIL in an invalidated session (PROTOCOLS A.3). Transient, so that a relay which uses the
/// connection again loses nothing.
pub(super) fn invalidated() -> Reply {
    Reply::new(451, (4, 5, 1), "session invalidated, send RSET")
}

/// To XCLIENT and XFORWARD from a host that is no front of ours.
pub(super) fn no_front() -> Reply {
    Reply::new(550, (5, 7, 0), "you speak for nobody else here")
}

/// To STARTTLS without a certificate.
pub(super) fn not_offered() -> Reply {
    Reply::new(502, (5, 5, 1), "command not implemented")
}

/// To STARTTLS within TLS.
pub(super) fn already_tls() -> Reply {
    Reply::new(503, (5, 5, 1), "TLS is on already")
}

/// RFC 6531 §3.5: an address that is not ASCII, without SMTPUTF8.
pub(super) fn needs_smtputf8() -> Reply {
    Reply::new(553, (5, 6, 7), "non-ASCII address needs SMTPUTF8")
}

/// RFC 1870 §6.1 at MAIL, §6.3 after the content.
pub(super) fn too_large() -> Reply {
    Reply::new(552, (5, 3, 4), "message too large")
}

/// To parameters of extensions that HELO has not offered (RFC 5321 §4.1.1.11).
pub(super) fn parameter_not_offered() -> Reply {
    Reply::new(
        555,
        (5, 5, 4),
        "parameter not recognized or not implemented",
    )
}

/// To BY with less time than EHLO said (RFC 2852 §3).
pub(super) fn too_soon(least: u64) -> Reply {
    let text = format!("BY with R takes {least} seconds or more");
    Reply::new(555, (5, 5, 4), text)
}

/// RFC 5321 §4.5.3.1.10.
pub(super) fn too_many_recipients() -> Reply {
    Reply::new(452, (4, 5, 3), "too many recipients")
}

/// After content with a bare CR, a bare LF or a NUL.
pub(super) fn stray_in_content() -> Reply {
    Reply::new(550, (5, 6, 0), "content holds a bare CR, a bare LF or NUL")
}

/// RFC 5321 §6.3.
pub(super) fn looping() -> Reply {
    Reply::new(554, (5, 4, 6), "too many Received fields, mail is looping")
}

/// To XVIA with our own token (PROTOCOLS C): found before there is a message.
pub(super) fn passed_here() -> Reply {
    Reply::new(
        554,
        (5, 4, 6),
        "this host is on the path already, mail is looping",
    )
}

/// Before closing on a peer with too many refused commands.
pub(super) fn too_many_errors() -> Reply {
    Reply::new(421, (4, 7, 0), "too many errors, closing")
}

/// Before closing on a silent peer (RFC 5321 §4.5.3.2).
pub(super) fn timed_out() -> Reply {
    Reply::new(421, (4, 4, 2), "timed out, closing")
}

/// Before closing on a client in no transaction, to make room for others (RFC 5321 §3.8).
pub(super) fn make_room() -> Reply {
    Reply::new(
        421,
        (4, 3, 2),
        "busy, closing idle sessions, come again later",
    )
}

/// Before closing on content that comes by single octets.
pub(super) fn too_slow() -> Reply {
    Reply::new(421, (4, 4, 2), "content comes too slowly, closing")
}

/// Before closing on a peer that sends commands and no mail.
pub(super) fn no_mail() -> Reply {
    Reply::new(421, (4, 7, 0), "too many commands without mail, closing")
}

/// Before closing because the service stops (RFC 5321 §3.8).
pub(super) fn shutting_down() -> Reply {
    Reply::new(421, (4, 3, 2), "service is stopping, closing")
}

/// For a repudiation whose evidence has no words of its own (PROTOCOLS A.3).
pub(super) fn repudiated() -> Reply {
    Reply::new(550, (5, 7, 1), "delivery not authorized")
}

/// For a tempfail whose evidence has no words of its own (PROTOCOLS A.3).
pub(super) fn cannot_check_now() -> Reply {
    Reply::new(
        450,
        (4, 4, 3),
        "sender cannot be checked now, try again later",
    )
}

/// A refusal that the world gave. One that does not refuse would be a 250 without custody; it
/// counts as our own trouble.
pub(super) fn refusal(given: Reply) -> Reply {
    match given.class() {
        ReplyClass::Transient | ReplyClass::Permanent => given,
        ReplyClass::Positive | ReplyClass::Intermediate => {
            Reply::new(451, (4, 3, 0), "local error, try again later")
        }
    }
}
