//! Lines of a zone file: `owner ttl type rdata`, one record a line, as any name server reads them.
//! Read here: A, AAAA, MX, TXT, PTR, CNAME, NS; owners and names relative to the origin unless they end
//! in a dot, `@` the origin; `;` begins a comment at the start of a line. Nothing else of RFC 1035
//! §5: no `$` directives, no parentheses, no owner left out.

use std::net::{Ipv4Addr, Ipv6Addr};

use vouchsafe_proto::dns::{Mx, Name, RecordType, Records};

/// One record.
#[derive(Clone, Debug)]
pub struct Record {
    /// Owner.
    pub owner: Name,
    /// Seconds.
    pub ttl: u32,
    /// What it says.
    pub rdata: Rdata,
}

/// What a record says.
#[derive(Clone, Debug)]
pub enum Rdata {
    /// Address.
    A(Ipv4Addr),
    /// Address.
    Aaaa(Ipv6Addr),
    /// Mail exchange.
    Mx(Mx),
    /// Text, its strings joined.
    Txt(Box<[u8]>),
    /// The name that an address stands for.
    Ptr(Name),
    /// Name server.
    Ns(Name),
    /// Alias.
    Cname(Name),
}

impl Rdata {
    /// The type that is asked for to get it; none for an alias, which is never asked for.
    pub fn kind(&self) -> Option<RecordType> {
        Some(match self {
            Self::A(_) => RecordType::A,
            Self::Aaaa(_) => RecordType::Aaaa,
            Self::Mx(_) => RecordType::Mx,
            Self::Txt(_) => RecordType::Txt,
            Self::Ptr(_) => RecordType::Ptr,
            Self::Ns(_) => RecordType::Ns,
            Self::Cname(_) => return None,
        })
    }
}

/// Reads a zone's lines.
pub fn parse(origin: &Name, text: &str) -> Result<Vec<Record>, String> {
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with(';'))
        .map(|line| parse_line(origin, line).ok_or_else(|| format!("cannot read {line:?}")))
        .collect()
}

fn parse_line(origin: &Name, line: &str) -> Option<Record> {
    let (owner, rest) = word(line)?;
    let (ttl, rest) = word(rest)?;
    let (kind, rest) = word(rest)?;
    let rdata = match kind {
        "A" => Rdata::A(rest.parse().ok()?),
        "AAAA" => Rdata::Aaaa(rest.parse().ok()?),
        "CNAME" => Rdata::Cname(absolute(origin, rest)?),
        "MX" => {
            let (preference, exchange) = word(rest)?;
            Rdata::Mx(Mx {
                preference: preference.parse().ok()?,
                exchange: absolute(origin, exchange)?,
            })
        }
        "TXT" => Rdata::Txt(strings(rest)?),
        "PTR" => Rdata::Ptr(absolute(origin, rest)?),
        "NS" => Rdata::Ns(absolute(origin, rest)?),
        _ => return None,
    };
    Some(Record {
        owner: absolute(origin, owner)?,
        ttl: ttl.parse().ok()?,
        rdata,
    })
}

fn word(line: &str) -> Option<(&str, &str)> {
    let (word, rest) = line.split_once(char::is_whitespace)?;
    Some((word, rest.trim()))
}

/// A name as a zone file means it.
pub fn absolute(origin: &Name, text: &str) -> Option<Name> {
    if text == "@" {
        return Some(origin.clone());
    }
    if text.ends_with('.') || origin.is_root() {
        return Name::parse(text).ok();
    }
    Name::parse(&format!("{text}.{origin}")).ok()
}

/// `"one" "two"`, joined; no escapes.
fn strings(text: &str) -> Option<Box<[u8]>> {
    let mut joined = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (string, after) = rest.strip_prefix('"')?.split_once('"')?;
        joined.extend_from_slice(string.as_bytes());
        rest = after.trim_start();
    }
    Some(joined.into_boxed_slice())
}

/// The records of one type and owner, in order; none if there are none.
pub fn records(kind: RecordType, of_kind: &[&Record]) -> Option<Records> {
    if of_kind.is_empty() {
        return None;
    }
    let all = of_kind.iter().map(|record| &record.rdata);
    Some(match kind {
        RecordType::A => Records::A(
            all.filter_map(|rdata| match rdata {
                Rdata::A(address) => Some(*address),
                _ => None,
            })
            .collect(),
        ),
        RecordType::Aaaa => Records::Aaaa(
            all.filter_map(|rdata| match rdata {
                Rdata::Aaaa(address) => Some(*address),
                _ => None,
            })
            .collect(),
        ),
        RecordType::Mx => Records::Mx(
            all.filter_map(|rdata| match rdata {
                Rdata::Mx(mx) => Some(mx.clone()),
                _ => None,
            })
            .collect(),
        ),
        RecordType::Ptr => Records::Ptr(
            all.filter_map(|rdata| match rdata {
                Rdata::Ptr(name) => Some(name.clone()),
                _ => None,
            })
            .collect(),
        ),
        RecordType::Ns => Records::Ns(
            all.filter_map(|rdata| match rdata {
                Rdata::Ns(name) => Some(name.clone()),
                _ => None,
            })
            .collect(),
        ),
        // No zone of these tests has any, and nothing asks.
        RecordType::Tlsa => return None,
        RecordType::Txt => Records::Txt(
            all.filter_map(|rdata| match rdata {
                Rdata::Txt(text) => Some(text.clone()),
                _ => None,
            })
            .collect(),
        ),
    })
}
