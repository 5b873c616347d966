//! Command lines, parsed (RFC 5321 §4.1.1, and the extensions' parameters).
//!
//! Strict where two hosts could read one line in two ways, lenient where real clients are: verbs
//! and keywords in any case; blanks behind `FROM:` and `TO:`, between parameters and at the end of
//! a line; any text that is not blank as the argument of EHLO and HELO, since bare words,
//! underscores and broken literals are all in daily use. Brackets round a path are not waived.
//!
//! Sequence, permission and limits are the session's.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::str;

use crate::addr::{ForwardPath, ParsePathError, ReversePath};
use crate::envelope::{BodyType, Recipient, Requests, Ret};
use crate::reply::Reply;
use crate::residue::Claim;
use crate::smtp::on_behalf::{OnBehalf, ParseOnBehalfError};
use crate::smtp::parameters::{
    By, ParseParameterError, parse_by, parse_envid, parse_notify, parse_original, parse_ret,
};
use crate::smtp::xhold::{Through, Token, TransactionId, Wish, parse_via};

/// A command, well-formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// EHLO, or HELO.
    Hello {
        /// It was EHLO.
        extended: bool,
        /// The argument as it came.
        name: Box<str>,
    },
    /// MAIL FROM.
    Mail(Mail),
    /// RCPT TO.
    Recipient(Recipient),
    /// DATA.
    Data,
    /// BDAT: so many octets follow (RFC 3030).
    Chunk(Chunk),
    /// STARTTLS (RFC 3207).
    StartTls,
    /// RSET.
    Reset,
    /// NOOP.
    Noop,
    /// QUIT.
    Quit,
    /// VRFY.
    Verify,
    /// HELP.
    Help,
    /// XCLIENT.
    XClient(OnBehalf),
    /// XFORWARD.
    XForward(OnBehalf),
}

/// MAIL's argument and parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// The path.
    pub reverse_path: ReversePath,
    /// SIZE (RFC 1870).
    pub size: Option<u64>,
    /// BODY (RFC 6152).
    pub body: BodyType,
    /// SMTPUTF8 (RFC 6531).
    pub smtputf8: bool,
    /// RET and ENVID (RFC 3461), REQUIRETLS (RFC 8689); the session puts BY here, as a moment.
    pub requests: Requests,
    /// BY (RFC 2852).
    pub by: Option<By>,
    /// XHOLD, XTID and XVIA (PROTOCOLS C).
    pub through: Through,
    /// XVOUCH (PROTOCOLS D).
    pub claim: Option<Claim>,
    /// PRDR (draft-hall-prdr-00): the end of the message may be answered for each recipient.
    pub per_recipient: bool,
}

/// BDAT's arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Octets that follow. A number that no counter holds counts as the greatest there is.
    pub length: u64,
    /// It completes the message.
    pub last: bool,
    /// Something stood behind the length that is not LAST. The octets follow all the same, so
    /// this is not an error of parsing: they must be read first.
    pub malformed: bool,
}

/// Why a line is no command that can be obeyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseCommandError {
    /// Not UTF-8, which RFC 6531 §3.7.1 is the only one to widen ASCII to.
    #[error("command line is not text")]
    NotText,
    /// A verb that nobody knows.
    #[error("unknown verb")]
    UnknownVerb,
    /// A verb that is known and not offered.
    #[error("verb not implemented")]
    NotImplemented,
    /// An argument where none may be, none where one must be, or one of another form.
    #[error("malformed argument")]
    Argument,
    /// Arguments of XCLIENT or XFORWARD.
    #[error("malformed attributes: {0}")]
    OnBehalf(ParseOnBehalfError),
    /// MAIL's path.
    #[error("malformed reverse-path: {0}")]
    ReversePath(ParsePathError),
    /// RCPT's path.
    #[error("malformed forward-path: {0}")]
    ForwardPath(ParsePathError),
    /// A parameter that is not offered, or a value of one.
    #[error("unknown parameter")]
    UnknownParameter,
    /// A parameter given twice, or with a value it does not take.
    #[error("malformed parameter")]
    Parameter,
    /// One of those about reports and time.
    #[error(transparent)]
    Request(#[from] ParseParameterError),
}

impl ParseCommandError {
    /// What the peer is told (RFC 5321 §4.2.2 and §4.1.1.11, RFC 5248 §2.4).
    pub fn reply(self) -> Reply {
        match self {
            Self::NotText | Self::UnknownVerb => {
                Reply::new(500, (5, 5, 2), "command not recognized")
            }
            Self::NotImplemented => Reply::new(502, (5, 5, 1), "command not implemented"),
            Self::Argument | Self::OnBehalf(_) => {
                Reply::new(501, (5, 5, 4), "syntax error in argument")
            }
            Self::ReversePath(_) => Reply::new(501, (5, 1, 7), "bad sender address syntax"),
            Self::ForwardPath(_) => Reply::new(501, (5, 1, 3), "bad recipient address syntax"),
            Self::UnknownParameter => Reply::new(
                555,
                (5, 5, 4),
                "parameter not recognized or not implemented",
            ),
            Self::Parameter => Reply::new(501, (5, 5, 4), "syntax error in parameter"),
            Self::Request(error) => Reply::new(501, (5, 5, 4), error.text()),
        }
    }
}

impl Command {
    /// Reads a line, given without its CRLF.
    pub fn parse(line: &[u8]) -> Result<Self, ParseCommandError> {
        match str::from_utf8(line) {
            Ok(text) => Self::parse_text(text),
            // The octets of a BDAT follow whatever stands behind its length.
            Err(_) => match Self::parse_text(&String::from_utf8_lossy(line)) {
                Ok(chunk @ Self::Chunk(_)) => Ok(chunk),
                _ => Err(ParseCommandError::NotText),
            },
        }
    }

    /// Reads a line of text.
    fn parse_text(line: &str) -> Result<Self, ParseCommandError> {
        let line = line.trim_end_matches(BLANKS);
        let (verb, argument) = match line.find(BLANKS) {
            Some(at) => line.split_at_checked(at).unwrap_or((line, "")),
            None => (line, ""),
        };
        let argument = argument.trim_start_matches(BLANKS);
        let verb = VERBS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(verb))
            .map(|(_, verb)| *verb)
            .ok_or(ParseCommandError::UnknownVerb)?;
        verb.parse_argument(argument)
    }
}

/// The verbs that are known.
#[derive(Clone, Copy, Debug)]
enum Verb {
    Ehlo,
    Helo,
    Mail,
    Rcpt,
    Data,
    Bdat,
    StartTls,
    Rset,
    Noop,
    Quit,
    Vrfy,
    Help,
    XClient,
    XForward,
    NotImplemented,
}

impl Verb {
    /// Reads what stands behind the verb.
    fn parse_argument(self, argument: &str) -> Result<Command, ParseCommandError> {
        match self {
            Self::Ehlo => parse_hello(true, argument),
            Self::Helo => parse_hello(false, argument),
            Self::Mail => parse_mail(argument).map(Command::Mail),
            Self::Rcpt => parse_recipient(argument),
            Self::Data => without(argument, Command::Data),
            Self::Bdat => parse_chunk(argument).map(Command::Chunk),
            Self::StartTls => without(argument, Command::StartTls),
            Self::Rset => without(argument, Command::Reset),
            Self::Quit => without(argument, Command::Quit),
            // RFC 5321 §4.1.1.8 and §4.1.1.9 allow HELP and NOOP a text.
            Self::Noop => Ok(Command::Noop),
            Self::Help => Ok(Command::Help),
            Self::Vrfy if argument.is_empty() => Err(ParseCommandError::Argument),
            Self::Vrfy => Ok(Command::Verify),
            Self::XClient => OnBehalf::parse_xclient(argument)
                .map(Command::XClient)
                .map_err(ParseCommandError::OnBehalf),
            Self::XForward => OnBehalf::parse_xforward(argument)
                .map(Command::XForward)
                .map_err(ParseCommandError::OnBehalf),
            Self::NotImplemented => Err(ParseCommandError::NotImplemented),
        }
    }
}

/// A command that takes no argument.
fn without(argument: &str, command: Command) -> Result<Command, ParseCommandError> {
    if argument.is_empty() {
        Ok(command)
    } else {
        Err(ParseCommandError::Argument)
    }
}

/// EHLO and HELO: any text that is not blank.
fn parse_hello(extended: bool, name: &str) -> Result<Command, ParseCommandError> {
    if name.is_empty() {
        return Err(ParseCommandError::Argument);
    }
    Ok(Command::Hello {
        extended,
        name: name.into(),
    })
}

/// Drops `keyword` and its colon from the front, in any case, and blanks behind it.
fn strip_keyword<'a>(argument: &'a str, keyword: &str) -> Result<&'a str, ParseCommandError> {
    argument
        .split_at_checked(keyword.len())
        .filter(|(word, _)| word.eq_ignore_ascii_case(keyword))
        .map(|(_, rest)| rest.trim_start_matches(BLANKS))
        .ok_or(ParseCommandError::Argument)
}

/// What stands behind a path: nothing, or a blank and parameters.
fn parameters(rest: &str) -> Result<impl Iterator<Item = &str>, ParseCommandError> {
    if rest.is_empty() || rest.starts_with(BLANKS) {
        Ok(rest.split(BLANKS).filter(|word| !word.is_empty()))
    } else {
        Err(ParseCommandError::Argument)
    }
}

/// MAIL: `FROM:<path>` and parameters (RFC 5321 §4.1.1.2).
fn parse_mail(argument: &str) -> Result<Mail, ParseCommandError> {
    let text = strip_keyword(argument, "FROM:")?;
    let (reverse_path, rest) =
        ReversePath::parse_prefix(text).map_err(ParseCommandError::ReversePath)?;
    let mut said = Said::default();
    for word in parameters(rest)? {
        let (keyword, value) = match word.split_once('=') {
            Some((keyword, value)) => (keyword, Some(value)),
            None => (word, None),
        };
        said.take(keyword, value)?;
    }
    // Tokens are made of the id: without it none could be known again.
    if said.via.is_some() && said.id.is_none() {
        return Err(ParseParameterError::Via.into());
    }
    Ok(Mail {
        reverse_path,
        size: said.size,
        body: said.body.unwrap_or_default(),
        smtputf8: said.smtputf8.is_some(),
        requests: Requests {
            ret: said.returned,
            envid: said.envid,
            deliver_by: None,
            require_tls: said.require_tls.is_some(),
        },
        by: said.by,
        through: Through {
            wish: said.wish,
            id: said.id,
            via: said.via.unwrap_or_default(),
        },
        claim: said.claim,
        per_recipient: said.per_recipient.is_some(),
    })
}

/// MAIL's parameters, each as it was said.
#[derive(Default)]
struct Said {
    size: Option<u64>,
    body: Option<BodyType>,
    smtputf8: Option<()>,
    returned: Option<Ret>,
    envid: Option<Box<str>>,
    by: Option<By>,
    require_tls: Option<()>,
    wish: Option<Wish>,
    id: Option<TransactionId>,
    via: Option<Vec<Token>>,
    claim: Option<Claim>,
    per_recipient: Option<()>,
}

impl Said {
    /// Takes one more.
    fn take(&mut self, keyword: &str, value: Option<&str>) -> Result<(), ParseCommandError> {
        let is = |known: &str| keyword.eq_ignore_ascii_case(known);
        let text = value.unwrap_or_default();
        if is("SIZE") {
            set_once(&mut self.size, parse_size(value)?)
        } else if is("BODY") {
            set_once(&mut self.body, parse_body(value)?)
        } else if is("SMTPUTF8") {
            set_once(&mut self.smtputf8, parse_none(value)?)
        } else if is("RET") {
            set_once(&mut self.returned, parse_ret(text)?)
        } else if is("ENVID") {
            set_once(&mut self.envid, parse_envid(text)?)
        } else if is("BY") {
            set_once(&mut self.by, parse_by(text)?)
        } else if is("REQUIRETLS") {
            set_once(&mut self.require_tls, parse_none(value)?)
        } else if is("XHOLD") {
            set_once(&mut self.wish, Wish::parse(text)?)
        } else if is("XTID") {
            set_once(&mut self.id, TransactionId::parse(text)?)
        } else if is("XVIA") {
            set_once(&mut self.via, parse_via(text)?)
        } else if is("XVOUCH") {
            set_once(&mut self.claim, Claim::parse(text)?)
        } else if is("PRDR") {
            set_once(&mut self.per_recipient, parse_none(value)?)
        } else {
            Err(ParseCommandError::UnknownParameter)
        }
    }
}

/// Sets what may be given once.
fn set_once<T>(slot: &mut Option<T>, value: T) -> Result<(), ParseCommandError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(ParseCommandError::Parameter),
    }
}

/// A keyword that stands alone.
fn parse_none(value: Option<&str>) -> Result<(), ParseCommandError> {
    let none = value.is_none().then_some(());
    none.ok_or(ParseCommandError::Parameter)
}

/// One to twenty digits (RFC 1870 §3).
fn parse_size(value: Option<&str>) -> Result<u64, ParseCommandError> {
    value
        .and_then(parse_number)
        .ok_or(ParseCommandError::Parameter)
}

/// One to twenty digits; beyond what a counter holds, the greatest number there is.
fn parse_number(text: &str) -> Option<u64> {
    let digits = (1..=20).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

/// `7BIT` or `8BITMIME`.
fn parse_body(value: Option<&str>) -> Result<BodyType, ParseCommandError> {
    let value = value.ok_or(ParseCommandError::Parameter)?;
    if value.eq_ignore_ascii_case("7BIT") {
        Ok(BodyType::SevenBit)
    } else if value.eq_ignore_ascii_case("8BITMIME") {
        Ok(BodyType::EightBitMime)
    } else {
        // BINARYMIME (RFC 3030 §3) among them.
        Err(ParseCommandError::UnknownParameter)
    }
}

/// RCPT: `TO:<path>` and parameters (RFC 5321 §4.1.1.3, RFC 3461 §4).
fn parse_recipient(argument: &str) -> Result<Command, ParseCommandError> {
    let text = strip_keyword(argument, "TO:")?;
    let (forward_path, rest) =
        ForwardPath::parse_prefix(text).map_err(ParseCommandError::ForwardPath)?;
    let (mut notify, mut original) = (None, None);
    for word in parameters(rest)? {
        let (keyword, value) = word.split_once('=').unwrap_or((word, ""));
        if keyword.eq_ignore_ascii_case("NOTIFY") {
            set_once(&mut notify, parse_notify(value)?)?;
        } else if keyword.eq_ignore_ascii_case("ORCPT") {
            set_once(&mut original, parse_original(value)?)?;
        } else {
            return Err(ParseCommandError::UnknownParameter);
        }
    }
    Ok(Command::Recipient(Recipient {
        path: forward_path,
        notify,
        original,
    }))
}

/// Once a length can be read its octets will follow, and what else is wrong must wait.
fn parse_chunk(argument: &str) -> Result<Chunk, ParseCommandError> {
    let mut words = argument.split(BLANKS).filter(|word| !word.is_empty());
    let length = words.next().ok_or(ParseCommandError::Argument)?;
    if !length.bytes().all(|octet| octet.is_ascii_digit()) {
        return Err(ParseCommandError::Argument);
    }
    let marker = words.next();
    let last = marker.is_some_and(|word| word.eq_ignore_ascii_case("LAST"));
    Ok(Chunk {
        length: length.parse().unwrap_or(u64::MAX),
        last,
        malformed: (marker.is_some() && !last) || words.next().is_some(),
    })
}

/// What separates words. A tab is none in RFC 5321 §4.1.1, and some clients send it.
const BLANKS: [char; 2] = [' ', '\t'];

/// Every verb that is known, by name.
const VERBS: &[(&str, Verb)] = &[
    ("EHLO", Verb::Ehlo),
    ("HELO", Verb::Helo),
    ("MAIL", Verb::Mail),
    ("RCPT", Verb::Rcpt),
    ("DATA", Verb::Data),
    ("BDAT", Verb::Bdat),
    ("STARTTLS", Verb::StartTls),
    ("RSET", Verb::Rset),
    ("NOOP", Verb::Noop),
    ("QUIT", Verb::Quit),
    ("VRFY", Verb::Vrfy),
    ("HELP", Verb::Help),
    ("XCLIENT", Verb::XClient),
    ("XFORWARD", Verb::XForward),
    // Known, and not offered (RFC 5321 §4.2.4): 502, where an unknown verb is 500.
    ("EXPN", Verb::NotImplemented),
    ("AUTH", Verb::NotImplemented),
    ("ETRN", Verb::NotImplemented),
    ("TURN", Verb::NotImplemented),
    ("SEND", Verb::NotImplemented),
    ("SOML", Verb::NotImplemented),
    ("SAML", Verb::NotImplemented),
];

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString;
    use proptest::prelude::*;

    fn parse(line: &str) -> Result<Command, ParseCommandError> {
        Command::parse(line.as_bytes())
    }

    /// The reply code and enhanced status of a line that is refused.
    fn refused(line: &str) -> String {
        let reply = parse(line).expect_err(line).reply();
        format!("{} {}", reply.code(), reply.enhanced().unwrap())
    }

    #[test]
    fn what_real_clients_send_is_taken() {
        let mail = |path: &str| Mail {
            reverse_path: ReversePath::parse_inside(path).unwrap(),
            size: None,
            body: BodyType::SevenBit,
            smtputf8: false,
            requests: Requests::default(),
            by: None,
            through: Through::default(),
            claim: None,
            per_recipient: false,
        };
        let hello = |extended, name: &str| Command::Hello {
            extended,
            name: name.into(),
        };
        for (line, expected) in [
            ("EHLO mx.example", hello(true, "mx.example")),
            ("helo my_pc", hello(false, "my_pc")),
            ("Ehlo [192.0.2.1]  ", hello(true, "[192.0.2.1]")),
            ("MAIL FROM:<>", Command::Mail(mail(""))),
            (
                "mail from: <a@b.example> ",
                Command::Mail(mail("a@b.example")),
            ),
            (
                "MAIL FROM:<a@b.example> body=8bitmime SIZE=12",
                Command::Mail(Mail {
                    size: Some(12),
                    body: BodyType::EightBitMime,
                    ..mail("a@b.example")
                }),
            ),
            (
                "MAIL FROM:<é@b.example> SMTPUTF8 BODY=7BIT",
                Command::Mail(Mail {
                    smtputf8: true,
                    ..mail("é@b.example")
                }),
            ),
            (
                "MAIL FROM:<a@b.example> prdr",
                Command::Mail(Mail {
                    per_recipient: true,
                    ..mail("a@b.example")
                }),
            ),
            (
                "MAIL FROM:<a@b.example> XVouch=79BF9.870834f17f8ca9078fdba2f63449d26a",
                Command::Mail(Mail {
                    claim: Claim::parse("79bf9.870834f17f8ca9078fdba2f63449d26a").ok(),
                    ..mail("a@b.example")
                }),
            ),
            (
                "RCPT TO:<Postmaster>",
                Command::Recipient(ForwardPath::Postmaster.into()),
            ),
            ("DATA  ", Command::Data),
            ("rset", Command::Reset),
            ("NOOP whatever", Command::Noop),
            ("HELP MAIL", Command::Help),
            ("VRFY someone", Command::Verify),
            ("QUIT", Command::Quit),
            ("STARTTLS", Command::StartTls),
        ] {
            assert_eq!(parse(line).as_ref(), Ok(&expected), "{line}");
        }
    }

    #[test]
    fn each_fault_has_its_code() {
        for (line, expected) in [
            ("", "500 5.5.2"),
            ("HELLO x", "500 5.5.2"),
            ("MAILFROM:<a@b>", "500 5.5.2"),
            (" NOOP", "500 5.5.2"),
            ("EXPN list", "502 5.5.1"),
            ("AUTH PLAIN", "502 5.5.1"),
            ("EHLO", "501 5.5.4"),
            ("HELO  ", "501 5.5.4"),
            ("MAIL", "501 5.5.4"),
            ("MAIL TO:<a@b>", "501 5.5.4"),
            ("MAIL FROM:a@b", "501 5.1.7"),
            ("MAIL FROM:<a@b", "501 5.1.7"),
            ("MAIL FROM:<a b@c>", "501 5.1.7"),
            ("MAIL FROM:<a@b>SIZE=1", "501 5.5.4"),
            ("MAIL FROM:<a@b> SIZE", "501 5.5.4"),
            ("MAIL FROM:<a@b> SIZE=-1", "501 5.5.4"),
            ("MAIL FROM:<a@b> SIZE=123456789012345678901", "501 5.5.4"),
            ("MAIL FROM:<a@b> SIZE=1 SIZE=1", "501 5.5.4"),
            ("MAIL FROM:<a@b> BODY", "501 5.5.4"),
            ("MAIL FROM:<a@b> BODY=BINARYMIME", "555 5.5.4"),
            ("MAIL FROM:<a@b> SMTPUTF8=1", "501 5.5.4"),
            ("MAIL FROM:<a@b> RET=SOME", "501 5.5.4"),
            ("MAIL FROM:<a@b> RET", "501 5.5.4"),
            ("MAIL FROM:<a@b> RET=FULL RET=FULL", "501 5.5.4"),
            ("MAIL FROM:<a@b> ENVID=x ENVID=x", "501 5.5.4"),
            ("MAIL FROM:<a@b> BY=1;N BY=1;N", "501 5.5.4"),
            ("MAIL FROM:<a@b> NOTIFY=NEVER", "555 5.5.4"),
            ("RCPT TO:<>", "501 5.1.3"),
            ("RCPT TO:a@b", "501 5.1.3"),
            ("RCPT TO:<root>", "501 5.1.3"),
            ("RCPT FROM:<a@b>", "501 5.5.4"),
            ("MAIL FROM:<a@b> XHOLD", "501 5.5.4"),
            ("MAIL FROM:<a@b> XHOLD=S:1:2:17", "501 5.5.4"),
            ("MAIL FROM:<a@b> XHOLD=S:1:2:3 XHOLD=S:1:2:3", "501 5.5.4"),
            ("MAIL FROM:<a@b> XVOUCH", "501 5.5.4"),
            ("MAIL FROM:<a@b> XVOUCH=79bf9", "501 5.5.4"),
            ("MAIL FROM:<a@b> XTID=a", "501 5.5.4"),
            ("MAIL FROM:<a@b> XTID=a@b XTID=a@b", "501 5.5.4"),
            ("MAIL FROM:<a@b> XTID=a@b XVIA=ABC", "501 5.5.4"),
            ("MAIL FROM:<a@b> XVIA=ABCDEFGH", "501 5.5.4"),
            ("RCPT TO:<a@b> XHOLD=S:1:2:3", "555 5.5.4"),
            ("RCPT TO:<a@b> NOTIFY", "501 5.5.4"),
            ("RCPT TO:<a@b> NOTIFY=NEVER NOTIFY=NEVER", "501 5.5.4"),
            ("RCPT TO:<a@b> ORCPT=rfc822;a ORCPT=rfc822;a", "501 5.5.4"),
            ("RCPT TO:<a@b> RET=FULL", "555 5.5.4"),
            ("DATA now", "501 5.5.4"),
            ("RSET now", "501 5.5.4"),
            ("QUIT now", "501 5.5.4"),
            ("STARTTLS now", "501 5.5.4"),
            ("VRFY", "501 5.5.4"),
            ("BDAT", "501 5.5.4"),
            ("BDAT x", "501 5.5.4"),
            ("BDAT -1", "501 5.5.4"),
        ] {
            assert_eq!(refused(line), expected, "{line:?}");
        }
        assert_eq!(
            Command::parse(b"NOOP \xff"),
            Err(ParseCommandError::NotText)
        );
    }

    #[test]
    fn a_chunk_whose_length_can_be_read_is_never_lost() {
        let chunk = |length, last, malformed| {
            Ok(Command::Chunk(Chunk {
                length,
                last,
                malformed,
            }))
        };
        assert_eq!(parse("BDAT 10"), chunk(10, false, false));
        assert_eq!(parse("bdat 0 last"), chunk(0, true, false));
        assert_eq!(parse("BDAT 10 FIRST"), chunk(10, false, true));
        assert_eq!(parse("BDAT 10 LAST LAST"), chunk(10, true, true));
        assert_eq!(Command::parse(b"BDAT 10 LAST \xff"), chunk(10, true, true));
        assert_eq!(Command::parse(b"BDAT 10 \xff"), chunk(10, false, true));
        assert_eq!(
            Command::parse(b"BDAT 1\xff"),
            Err(ParseCommandError::NotText)
        );
        assert_eq!(
            parse("BDAT 99999999999999999999"),
            chunk(u64::MAX, false, false)
        );
    }

    proptest! {
        #[test]
        fn a_path_that_was_parsed_is_parsed_again(
            local in "[a-z0-9.+=_-]{1,20}|\"([a-z @>]|\\\\[\"\\\\]){0,12}\"",
            domain in "([a-z0-9]{1,10}\\.){0,3}[a-z]{2,6}|\\[192\\.0\\.2\\.[1-9]\\]",
        ) {
            let line = format!("MAIL FROM:<{local}@{domain}>");
            let Ok(Command::Mail(mail)) = parse(&line) else {
                panic!("{line}");
            };
            prop_assert_eq!(format!("MAIL FROM:<{}>", mail.reverse_path), line);
            let again = ReversePath::parse_inside(&mail.reverse_path.to_string());
            prop_assert_eq!(again.unwrap(), mail.reverse_path);
            let Ok(Command::Recipient(path)) = parse(&format!("RCPT TO:<{local}@{domain}>")) else {
                panic!("{local}@{domain}");
            };
            prop_assert_eq!(path.to_string(), format!("{local}@{domain}"));
        }

        #[test]
        fn no_line_is_too_odd(line in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = Command::parse(&line);
        }
    }
}
