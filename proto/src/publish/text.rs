//! A plan as people and name servers read it: a piece of a zone file, with comments that say what
//! each part is for and what is not covered.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;

use super::plan::Plan;
use super::records::{Absolute, Rdata, Record};

/// Columns of a comment; zone files are read in editors.
const WIDTH: usize = 78;

/// The piece of a zone file. Every name is absolute, so it can stand anywhere in one.
pub fn zone(plan: &Plan) -> String {
    let records = plan.records();
    let (addresses, others): (Vec<_>, Vec<_>) = records
        .into_iter()
        .partition(|record| matches!(record.rdata, Rdata::A(_) | Rdata::Aaaa(_)));
    let apex = crate::dns::Name::from(&plan.domain);
    let (servers, others): (Vec<_>, Vec<_>) = others
        .into_iter()
        .partition(|record| matches!(record.rdata, Rdata::Ns(_)));
    let (spf, sets): (Vec<_>, Vec<_>) = others.into_iter().partition(|record| record.owner == apex);
    let domain = plan.domain.as_ascii();
    let never = plan.sets.iter().all(|(_, exchanges)| exchanges.is_empty());
    let what = if plan.sets.is_empty() {
        format!("Nothing that sends mail from {domain} can be listed: no set.")
    } else if never {
        format!("{domain} sends no mail: it is never in MAIL FROM.")
    } else {
        format!("The hosts that may send mail from {domain}: its border relays.")
    };
    let mut text = comment(&what);
    if !plan.is_complete() {
        text += ";\n";
        text += &comment(
            "INCOMPLETE: who looks at this set and not at SPF will refuse mail from what follows. \
             Do not publish it before you have dealt with that.",
        );
        for left_out in &plan.left_out {
            text += &comment(&format!("- {left_out}."));
        }
        text += ";\n";
    }
    text += &lines(&sets);
    if !addresses.is_empty() {
        text += "\n";
        text += &comment("An MX needs names: these are made for addresses.");
        text += &lines(&addresses);
    }
    text += "\n";
    text += &comment("The same for SPF. A domain has one SPF record: this one replaces it.");
    text += &lines(&spf);
    if !servers.is_empty() {
        text += "\n";
        text += &comment(
            "Who says whether a message was sent: hosts of the service, where [ledger] address is. The \
             offer that others look for stands there, and not here.",
        );
        text += &lines(&servers);
    }
    text
}

/// Records in columns.
fn lines(records: &[Record]) -> String {
    let owners: Vec<String> = records
        .iter()
        .map(|record| Absolute(&record.owner).to_string())
        .collect();
    let width = owners.iter().map(String::len).max().unwrap_or(0);
    let mut text = String::new();
    for (record, owner) in records.iter().zip(owners) {
        let (ttl, kind) = (record.ttl, record.rdata.kind());
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{owner:width$} {ttl} IN {kind:4} {}", record.rdata);
    }
    text
}

/// A comment, wrapped. What others published is in it, so nothing but printable ASCII stays.
fn comment(words: &str) -> String {
    let mut text = String::new();
    let mut line = String::from(";");
    for word in words.split_ascii_whitespace() {
        let room = line.len().saturating_add(word.len()) < WIDTH;
        if !room && line.len() > 1 {
            text += &line;
            text.push('\n');
            line = String::from(";");
        }
        line.push(' ');
        line.extend(word.chars().filter(char::is_ascii_graphic));
    }
    text += &line;
    text.push('\n');
    text
}
