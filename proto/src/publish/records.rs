//! Records as a zone file has them (RFC 1035 §5.1): every name absolute, so that the text can stand
//! anywhere in a zone file, and in an update as well.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt::{self, Write};
use core::net::{Ipv4Addr, Ipv6Addr};

use crate::dns::{Mx, Name};
use crate::verify::mail_from::LABEL;

/// Octets of one character-string (RFC 1035 §3.3).
const MAX_STRING: usize = 255;

/// One record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    /// Its owner.
    pub owner: Name,
    /// Seconds.
    pub ttl: u32,
    /// What it says.
    pub rdata: Rdata,
}

/// What a record says, in the order in which the types are printed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rdata {
    /// Alias.
    Cname(Name),
    /// Name server.
    Ns(Name),
    /// Mail exchange.
    Mx(Mx),
    /// Text, its strings joined.
    Txt(Box<[u8]>),
    /// IPv4 address.
    A(Ipv4Addr),
    /// IPv6 address.
    Aaaa(Ipv6Addr),
}

impl Rdata {
    /// The type's name.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Cname(_) => "CNAME",
            Self::Ns(_) => "NS",
            Self::Mx(_) => "MX",
            Self::Txt(_) => "TXT",
            Self::A(_) => "A",
            Self::Aaaa(_) => "AAAA",
        }
    }
}

/// `MAIL-FROM.example.org. 3600 IN MX 0 mail.example.org.`
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (owner, kind) = (Absolute(&self.owner), self.rdata.kind());
        write!(f, "{owner} {} IN {kind} {}", self.ttl, self.rdata)
    }
}

/// As a zone file has it.
impl fmt::Display for Rdata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cname(target) | Self::Ns(target) => write!(f, "{}", Absolute(target)),
            Self::Mx(mx) => write!(f, "{} {}", mx.preference, Absolute(&mx.exchange)),
            Self::Txt(text) => {
                for (at, string) in text.chunks(MAX_STRING).enumerate() {
                    f.write_str(if at == 0 { "\"" } else { " \"" })?;
                    for octet in string {
                        match octet {
                            b'"' | b'\\' => write!(f, "\\{}", char::from(*octet))?,
                            b' '..=b'~' => f.write_char(char::from(*octet))?,
                            other => write!(f, "\\{other:03}")?,
                        }
                    }
                    f.write_char('"')?;
                }
                Ok(())
            }
            Self::A(address) => write!(f, "{address}"),
            Self::Aaaa(address) => write!(f, "{address}"),
        }
    }
}

/// A name with its dot at the end, safe in a zone file whatever stands in it, and the label of a
/// set in the capitals by which people find it.
#[derive(Clone, Copy, Debug)]
pub struct Absolute<'a>(pub &'a Name);

impl fmt::Display for Absolute<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.", shown(self.0))
    }
}

/// The name as people write it: `MAIL-FROM.example.org`; empty for the root.
pub fn shown(name: &Name) -> String {
    let mut text = String::with_capacity(name.as_str().len());
    for (at, label) in name.labels().enumerate() {
        if at > 0 {
            text.push('.');
        }
        if at == 0 && label == LABEL {
            text.push_str("MAIL-FROM");
            continue;
        }
        for character in label.chars() {
            // These mean something to a zone file's reader outside quotes.
            if matches!(character, '"' | ';' | '(' | ')' | '@' | '$') {
                // Writing to a String cannot fail.
                let _ = write!(text, "\\{:03}", u32::from(character));
            } else {
                text.push(character);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;
    use alloc::vec::Vec;

    fn record(owner: &str, rdata: Rdata) -> String {
        let owner = Name::parse(owner).unwrap();
        Record {
            owner,
            ttl: 300,
            rdata,
        }
        .to_string()
    }

    #[test]
    fn records_are_lines_of_a_zone_file() {
        let mx = |exchange: &str| {
            Rdata::Mx(Mx {
                preference: 0,
                exchange: Name::parse(exchange).unwrap(),
            })
        };
        assert_eq!(
            record("mail-from.example.org", mx("mail-from.isp.example")),
            "MAIL-FROM.example.org. 300 IN MX 0 MAIL-FROM.isp.example."
        );
        assert_eq!(
            record("mail-from.example.org", mx(".")),
            "MAIL-FROM.example.org. 300 IN MX 0 ."
        );
        assert_eq!(
            record("a;$(b.example.org", Rdata::A([192, 0, 2, 1].into())),
            "a\\059\\036\\040b.example.org. 300 IN A 192.0.2.1"
        );
        assert_eq!(
            record("x.example", Rdata::Txt(b"a\"b\\c;\n"[..].into())),
            "x.example. 300 IN TXT \"a\\\"b\\\\c;\\010\""
        );
        let long = record("x.example", Rdata::Txt(vec![b'a'; 600].into()));
        let strings: Vec<_> = long.split('"').filter(|s| s.starts_with("aa")).collect();
        let lengths: Vec<_> = strings.iter().map(|string| string.len()).collect();
        assert_eq!(lengths, [255, 255, 90]);
    }
}
