//! The domains that a message's To and Cc fields name: it may have been sent to one of them first, and have come on from
//! there (PROTOCOLS B.5).
//!
//! Promised: each domain once, as A-labels in small letters, in the order of the fields; of what is no address nothing is
//! guessed. Left to others: whether any of them is asked about.

use alloc::vec::Vec;

use crate::addr::Domain;

/// Octets of a domain at most, in whatever script.
const LONGEST: usize = 1024;

/// Where in an address list the reader is (RFC 5322 §3.4, §4.4).
#[derive(Debug, Default)]
struct List {
    /// Of the address that is being read, what stands behind its `@`.
    domain: Option<Vec<u8>>,
    /// Behind a `<`.
    in_brackets: bool,
    /// The address is over: what comes before the next comma is none.
    done: bool,
    inside: Inside,
    /// Behind a backslash in a quoted string or a comment.
    escaped: bool,
}

/// What the reader is in.
#[derive(Clone, Copy, Debug, Default)]
enum Inside {
    /// Text that counts.
    #[default]
    Text,
    /// A quoted string.
    Quoted,
    /// So many comments.
    Comments(u32),
}

/// The first `most` domains of the addresses in these values.
pub(super) fn domains<'a>(values: impl Iterator<Item = &'a [u8]>, most: usize) -> Vec<Domain> {
    let mut all: Vec<Domain> = Vec::new();
    for value in values {
        let mut list = List::default();
        for octet in value.iter().chain(b",") {
            if all.len() >= most {
                return all;
            }
            let domain = list.next(*octet).filter(|domain| !all.contains(domain));
            all.extend(domain);
        }
    }
    all
}

impl List {
    /// One octet further; the domain of an address that ends with it.
    fn next(&mut self, octet: u8) -> Option<Domain> {
        if !matches!(self.inside, Inside::Text) {
            self.pass_over(octet);
            return None;
        }
        match octet {
            b'"' => {
                self.inside = Inside::Quoted;
                // It stands before an @, or the address is none.
                self.push(octet);
                None
            }
            b'(' => {
                self.inside = Inside::Comments(1);
                None
            }
            b'<' => {
                self.domain = None;
                self.in_brackets = true;
                None
            }
            b'>' if self.in_brackets => self.end(true),
            // In brackets it stands in a route.
            b',' if self.in_brackets => {
                self.domain = None;
                None
            }
            b',' | b';' => self.end(false),
            // Before it stands a route, or a group's name.
            b':' => {
                self.domain = None;
                None
            }
            b'@' if !self.done => {
                self.domain = Some(Vec::new());
                None
            }
            _ => {
                self.push(octet);
                None
            }
        }
    }

    /// One octet of a quoted string or a comment.
    fn pass_over(&mut self, octet: u8) {
        if core::mem::take(&mut self.escaped) {
            return;
        }
        self.escaped = octet == b'\\';
        self.inside = match (self.inside, octet) {
            (Inside::Quoted, b'"') | (Inside::Comments(1), b')') => Inside::Text,
            (Inside::Comments(open), b')') => Inside::Comments(open.saturating_sub(1)),
            (Inside::Comments(open), b'(') => Inside::Comments(open.saturating_add(1)),
            (inside, _) => inside,
        };
    }

    /// One octet of a domain, if it is one's.
    fn push(&mut self, octet: u8) {
        if let Some(domain) = &mut self.domain
            && domain.len() <= LONGEST
        {
            domain.push(octet);
        }
    }

    /// An address is over; by its bracket, if `by_bracket`.
    fn end(&mut self, by_bracket: bool) -> Option<Domain> {
        let domain = self.domain.take().filter(|_| !self.done);
        *self = Self {
            done: by_bracket,
            ..Self::default()
        };
        Domain::parse(core::str::from_utf8(&domain?).ok()?.trim()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;
    use proptest::prelude::*;

    fn named(values: &[&str], most: usize) -> String {
        let all = domains(values.iter().map(|value| value.as_bytes()), most);
        all.iter()
            .map(Domain::as_ascii)
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn the_domains_of_addresses_are_found() {
        for (value, expected) in [
            ("", ""),
            ("bob@example.net, carol@Example.NET", "example.net"),
            ("Bob <bob@a.example>, c@b.example", "a.example b.example"),
            ("\"a@x.example, <b\" <bob@a.example>", "a.example"),
            ("\"\\\"@x.example\" <bob@a.example>", "a.example"),
            ("bob (at@home (x@y.example), z)@a.example (c)", "a.example"),
            (
                "all: b@a.example, C <c@b.example>;, d@c.example",
                "a.example b.example c.example",
            ),
            ("undisclosed-recipients:;", ""),
            ("<@r.example,@s.example:bob@a.example>", "a.example"),
            ("\"b@x\"@a.example", "a.example"),
            ("bob@b\u{fc}cher.example", "xn--bcher-kva.example"),
            ("bob@[192.0.2.1], c@b.example", "b.example"),
            ("bob@a.example c, d@b.example", "b.example"),
            ("bob@a.example\"c\", d@b.example", "b.example"),
            (
                "<bob@a.example> c@x.example, d@b.example",
                "a.example b.example",
            ),
            ("<bob@a.example", ""),
            ("bob, @, a@, <>, (", ""),
        ] {
            assert_eq!(named(&[value], 9), expected, "{value}");
        }
        let long = alloc::format!("a@{}, b@a.example", "x.".repeat(LONGEST));
        assert_eq!(named(&[&long], 9), "a.example");
    }

    #[test]
    fn no_more_are_given_than_are_wanted() {
        let values = [
            "a@a.example, b@a.example, c@b.example",
            "d@b.example, e@c.example",
        ];
        assert_eq!(named(&values, 9), "a.example b.example c.example");
        assert_eq!(named(&values, 2), "a.example b.example");
        assert_eq!(named(&values, 0), "");
    }

    proptest! {
        #[test]
        fn no_octets_make_it_panic(value in "([<>@,:;()\"\\\\ .]|a|b\\.example){0,40}") {
            prop_assert!(domains([value.as_bytes()].into_iter(), 3).len() <= 3);
        }
    }
}
