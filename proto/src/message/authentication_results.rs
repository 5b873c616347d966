//! `Authentication-Results` (RFC 8601): what was found about a message, for those behind us.
//!
//! Promises: names and results are words of ours; values of others stand there as a token, as an
//! address or in quotes, so that nothing in them begins another result; lines are folded.
//!
//! Left to others: what is told (`verify::told`), and taking out what others wrote in our
//! name ([`super::HeaderFilter`]).

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::field::{Field, is_dot_atom, quoted, quoted_address};
use crate::addr::{Domain, MailDomain, Mailbox};

/// What was found, by everything that was looked at.
#[derive(Clone, Copy, Debug)]
pub struct Results<'a> {
    /// In whose name.
    pub authserv_id: &'a Domain,
    /// What was looked at; nothing makes it say `none`.
    pub methods: &'a [Method],
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Method {
    /// Its registered name, or one of ours that begins with `x-`.
    pub name: &'static str,
    /// The result's word.
    pub result: &'static str,
    /// Why, in words of ours.
    pub reason: Option<&'static str>,
    /// What it was looked at for.
    pub properties: Vec<Property>,
}

/// A property: its type and name as in `smtp.mailfrom`, and its value as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    name: &'static str,
    value: String,
}

impl Property {
    /// A value of any characters.
    pub fn text(name: &'static str, value: &str) -> Self {
        let value = if !value.is_empty() && value.bytes().all(is_token) {
            value.into()
        } else {
            quoted(value)
        };
        Self { name, value }
    }

    /// A domain.
    pub fn domain(name: &'static str, domain: &Domain) -> Self {
        Self::text(name, domain.as_ascii())
    }

    /// An address; its domain in A-labels.
    pub fn mailbox(name: &'static str, mailbox: &Mailbox) -> Self {
        let text = match &mailbox.domain {
            MailDomain::Name(domain) => format!("{}@{}", mailbox.local_part, domain.as_ascii()),
            MailDomain::Literal(_) | MailDomain::Unusable(_) => format!("{mailbox}"),
        };
        let plain = text.rsplit_once('@').is_some_and(|(local_part, domain)| {
            let of_host = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.');
            is_dot_atom(local_part) && domain.bytes().all(of_host)
        });
        let value = if plain { text } else { quoted_address(&text) };
        Self { name, value }
    }
}

impl Method {
    /// A result about nothing in particular.
    pub const fn new(name: &'static str, result: &'static str) -> Self {
        Self {
            name,
            result,
            reason: None,
            properties: Vec::new(),
        }
    }

    /// The same with a reason.
    #[must_use]
    pub const fn because(mut self, reason: &'static str) -> Self {
        self.reason = Some(reason);
        self
    }

    /// The same with another property, if there is one.
    #[must_use]
    pub fn about(mut self, property: Option<Property>) -> Self {
        self.properties.extend(property);
        self
    }

    /// Its words.
    fn words(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let result = format!("{}={}", self.name, self.result);
        let reason = self.reason.map(|reason| {
            if reason.bytes().all(is_token) {
                format!("reason={reason}")
            } else {
                format!("reason={}", quoted(reason))
            }
        });
        let properties = self.properties.iter();
        [Some(result), reason]
            .into_iter()
            .flatten()
            .chain(properties.map(|property| format!("{}={}", property.name, property.value)))
            .map(Cow::Owned)
    }
}

impl Results<'_> {
    /// The field, folded, with its CRLF: each result on a line of its own.
    pub fn to_field(&self) -> String {
        let id = format!("{};", self.authserv_id.as_ascii());
        let mut field = Field::new("Authentication-Results", &id);
        if self.methods.is_empty() {
            field.word("none");
        }
        let last = self.methods.len().saturating_sub(1);
        for (at, method) in self.methods.iter().enumerate() {
            let mut words: Vec<_> = method.words().collect();
            if at != last
                && let Some(word) = words.last_mut()
            {
                word.to_mut().push(';');
            }
            for (at, word) in words.iter().enumerate() {
                if at == 0 {
                    field.line_of(word);
                } else {
                    field.word(word);
                }
            }
        }
        field.finish()
    }
}

/// RFC 2045 §5.1's token, in ASCII.
const fn is_token(octet: u8) -> bool {
    octet.is_ascii() && super::authserv_id::is_token(octet)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;
    use proptest::prelude::*;

    fn id() -> Domain {
        Domain::parse("mx.Bücher.example").unwrap()
    }

    fn field(methods: &[Method]) -> String {
        let authserv_id = &id();
        Results {
            authserv_id,
            methods,
        }
        .to_field()
    }

    #[test]
    fn results_are_told_one_a_line() {
        assert_eq!(
            field(&[]),
            "Authentication-Results: mx.xn--bcher-kva.example; none\r\n"
        );
        let mailbox = |text| Mailbox::parse(text).unwrap();
        let spf = Method::new("spf", "pass");
        let spf = spf.about(Some(Property::mailbox(
            "smtp.mailfrom",
            &mailbox("ann@example.net"),
        )));
        let dkim = Method::new("dkim", "fail").because("the body was changed");
        let dkim = dkim
            .about(Some(Property::domain("header.d", &id())))
            .about(Some(Property::text("header.b", "a/b+c=")))
            .about(None);
        assert_eq!(
            field(&[spf, dkim]),
            "Authentication-Results: mx.xn--bcher-kva.example;\r\n\
             \tspf=pass smtp.mailfrom=ann@example.net;\r\n\
             \tdkim=fail reason=\"the body was changed\" header.d=mx.xn--bcher-kva.example\r\n\
             \theader.b=\"a/b+c=\"\r\n"
        );
    }

    #[test]
    fn addresses_are_bare_or_in_quotes() {
        for (address, written) in [
            ("ann@Example.NET", "ann@example.net"),
            ("a+b=c@b\u{fc}cher.example", "a+b=c@xn--bcher-kva.example"),
            (
                "\"a; spf=pass\"@example.net",
                "\"\\\"a; spf=pass\\\"@example.net\"",
            ),
            (
                "\"a\\\"b\"@example.net",
                "\"\\\"a\\\\\\\"b\\\"@example.net\"",
            ),
            ("ann@[192.0.2.7]", "\"ann@[192.0.2.7]\""),
            ("j\u{f6}rg@example.net", "\"j\u{f6}rg@example.net\""),
            ("ann@a_b.example", "\"ann@a_b.example\""),
        ] {
            let property = Property::mailbox("smtp.mailfrom", &Mailbox::parse(address).unwrap());
            assert_eq!(property.value, written);
        }
    }

    /// A field's results, as a strict reader takes them apart: outside of quotes a `;` ends one.
    fn results(field: &str) -> Vec<String> {
        let (mut results, mut quoted, mut escaped) = (vec![String::new()], false, false);
        for character in field.chars() {
            match character {
                _ if escaped => escaped = false,
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                ';' if !quoted => {
                    results.push(String::new());
                    continue;
                }
                _ => {}
            }
            results.last_mut().unwrap().push(character);
        }
        assert!(!quoted && !escaped, "{field}");
        results
    }

    proptest! {
        #[test]
        fn no_value_becomes_anything_else(values in prop::collection::vec(".{0,60}|[\"\\\\;=()a\r\n]{0,20}", 1..6)) {
            let methods: Vec<_> = values
                .iter()
                .map(|value| Method::new("spf", "none").about(Some(Property::text("smtp.helo", value))))
                .collect();
            let field = field(&methods);
            prop_assert!(!field.trim_end_matches("\r\n").replace("\r\n\t", " ").contains(['\r', '\n', '\t']));
            let results = results(&field);
            prop_assert_eq!(results.len(), values.len() + 1);
            for (result, value) in results[1..].iter().zip(&values) {
                prop_assert!(result.trim().starts_with("spf=none"));
                let found = result.trim_end_matches("\r\n").rsplit_once("smtp.helo=");
                if value.bytes().all(is_token) && !value.is_empty() && !value.contains("smtp.helo=") {
                    prop_assert_eq!(found.map(|(_, value)| value.to_string()), Some(value.clone()));
                }
            }
            let mut reader = crate::message::AuthservId::default();
            let body = field.strip_prefix("Authentication-Results:").unwrap();
            prop_assert!(body.bytes().any(|octet| reader.read(octet)));
            prop_assert_eq!(reader.id(), Some("mx.xn--bcher-kva.example"));
        }
    }
}
