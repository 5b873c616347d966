//! `Received-SPF` (RFC 7208 §9.1): what SPF found, with all that it was asked about.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;

use super::field::{Field, atom_or_quoted, quoted, quoted_address};
use super::harmless_name;
use crate::addr::{Domain, ReversePath};

/// What the field says.
#[derive(Clone, Copy, Debug)]
pub struct ReceivedSpf<'a> {
    /// The result's word.
    pub result: &'static str,
    /// What that means, in words of ours.
    pub comment: &'static str,
    /// Our name.
    pub receiver: &'a Domain,
    /// The address that was looked for.
    pub client: IpAddr,
    /// MAIL FROM's argument.
    pub reverse_path: &'a ReversePath,
    /// What the client called itself.
    pub helo: &'a str,
    /// Whose domain was asked: `mailfrom` or `helo`.
    pub identity: &'static str,
    /// What matched; nothing makes it `default`.
    pub mechanism: Option<&'a str>,
    /// What went wrong, if something did.
    pub problem: Option<&'a str>,
}

impl ReceivedSpf<'_> {
    /// The field, folded, with its CRLF.
    pub fn to_field(&self) -> String {
        let mut field = Field::new("Received-SPF", self.result);
        let comment = format!("({}: {})", self.receiver.as_ascii(), self.comment);
        comment.split(' ').for_each(|word| field.word(word));
        let pairs = self.pairs();
        let last = pairs.len().saturating_sub(1);
        for (at, (key, value)) in pairs.iter().enumerate() {
            let end = if at == last { "" } else { ";" };
            field.word(&format!("{key}={value}{end}"));
        }
        field.finish()
    }

    /// The keys and their values as they are written.
    fn pairs(&self) -> Vec<(&'static str, Cow<'_, str>)> {
        let envelope_from = if self.reverse_path.is_null() {
            "<>".into()
        } else {
            self.reverse_path.to_string()
        };
        let helo = harmless_name(self.helo);
        let client = self.client.to_string();
        let mut pairs = Vec::from([
            ("receiver", Cow::Borrowed(self.receiver.as_ascii())),
            ("identity", Cow::Borrowed(self.identity)),
            (
                "client-ip",
                Cow::Owned(atom_or_quoted(&client).into_owned()),
            ),
            ("envelope-from", Cow::Owned(quoted_address(&envelope_from))),
            ("helo", Cow::Owned(atom_or_quoted(&helo).into_owned())),
            (
                "mechanism",
                atom_or_quoted(self.mechanism.unwrap_or("default")),
            ),
        ]);
        pairs.extend(
            self.problem
                .map(|problem| ("problem", Cow::Owned(quoted(problem)))),
        );
        pairs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_has_all_that_was_asked() {
        let receiver = Domain::parse("mx.example.org").unwrap();
        let reverse_path = ReversePath::parse_inside("ann@example.net").unwrap();
        let pass = ReceivedSpf {
            result: "pass",
            comment: "the domain lists this client",
            receiver: &receiver,
            client: "192.0.2.1".parse().unwrap(),
            reverse_path: &reverse_path,
            helo: "out.example.net",
            identity: "mailfrom",
            mechanism: Some("ip4:192.0.2.0/24"),
            problem: None,
        };
        assert_eq!(
            pass.to_field(),
            "Received-SPF: pass (mx.example.org: the domain lists this client)\r\n\
             \treceiver=mx.example.org; identity=mailfrom; client-ip=192.0.2.1;\r\n\
             \tenvelope-from=\"ann@example.net\"; helo=out.example.net;\r\n\
             \tmechanism=\"ip4:192.0.2.0/24\"\r\n"
        );
        let hostile = ReceivedSpf {
            result: "permerror",
            client: "2001:db8::1".parse().unwrap(),
            reverse_path: &ReversePath::Null,
            helo: "x)\r\nSubject: \"buy\"; é",
            identity: "helo",
            mechanism: None,
            problem: Some("a \"b\\\r\n; c=d"),
            ..pass
        };
        assert_eq!(
            hostile.to_field(),
            "Received-SPF: permerror (mx.example.org: the domain lists this client)\r\n\
             \treceiver=mx.example.org; identity=helo; client-ip=\"2001:db8::1\";\r\n\
             \tenvelope-from=\"<>\"; helo=\"x???Subject:??buy????\"; mechanism=default;\r\n\
             \tproblem=\"a \\\"b\\\\??; c=d\"\r\n"
        );
    }
}
