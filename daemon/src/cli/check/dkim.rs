//! `check --message`: what the signatures of a message say about the reverse-path.
//!
//! The file is a message as it would come by SMTP, or as mail programs save it: lines may end in
//! LF, which is written as CRLF before anything is hashed. Size and switch are those of
//! `--config`; without it those of the documents.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use serde_json::{Value, json};
use vouchsafe_proto::addr::{Domain, ReversePath};
use vouchsafe_proto::verify::dkim::{self, Report, Signature, SignatureResult, Skipped};
use vouchsafe_proto::verify::timing::Moment;
use vouchsafe_proto::verify::{Verdict, VerdictResult};

use super::{Exit, Failure, OrExit as _};
use crate::verify::Verifier;

/// The message in a file, its lines ended by CRLF. Of a file that is too large just so much is
/// read that it shows.
pub fn read(path: &Path, limit: u64) -> Result<Bytes, Failure> {
    let mut text = Vec::new();
    File::open(path)
        .and_then(|file| file.take(limit.saturating_add(1)).read_to_end(&mut text))
        .with_context(|| format!("cannot read {}", path.display()))
        .or_exit(Exit::NoInput)?;
    Ok(with_crlf(&text).into())
}

/// The verdict with what a message's signatures say, and when it is said. Where nothing can be
/// known now the service does not let the message come, so it is not looked at here either.
pub async fn judge(
    verifier: &Verifier,
    verdict: &Arc<Verdict>,
    moment: Moment,
    (reverse_path, client): (ReversePath, IpAddr),
    message: Bytes,
) -> (Arc<Verdict>, Moment) {
    if verdict.result() == VerdictResult::Tempfail {
        return (Arc::clone(verdict), moment);
    }
    let report = verifier.dkim().verify(client, message).await;
    let judged = verdict.with([verifier.about_content(report, reverse_path)]);
    let moment = match judged.result() {
        VerdictResult::Authorised | VerdictResult::Unknown => Moment::Mail,
        VerdictResult::Repudiated | VerdictResult::Tempfail => moment,
    };
    (Arc::new(judged), moment)
}

/// Every LF that has no CR before it gets one.
fn with_crlf(text: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(text.len() + text.len() / 32);
    for line in text.split_inclusive(|octet| *octet == b'\n') {
        match line.strip_suffix(b"\n") {
            Some(start) if !start.ends_with(b"\r") => {
                message.extend_from_slice(start);
                message.extend_from_slice(b"\r\n");
            }
            _ => message.extend_from_slice(line),
        }
    }
    message
}

/// The object.
pub fn json(report: &Report) -> Value {
    let result = report.result();
    json!({
        "result": result.map_or("none", SignatureResult::as_str),
        "explanation": report.sentence(),
        "skipped": report.skipped.map(Skipped::as_str),
        "from": report.from.as_ref().map(ToString::to_string),
        "signatures": report.signatures.iter().map(signature_json).collect::<Vec<_>>(),
        "more": report.more,
        "arc": report.arc.to_string(),
        "ttl": report.ttl,
    })
}

/// One signature.
fn signature_json(signature: &Signature) -> Value {
    json!({
        "result": signature.result().to_string(),
        "reason": signature.reason.as_str(),
        "explanation": signature.reason.to_string(),
        "domain": signature.domain.as_ref().map(Domain::as_ascii),
        "selector": signature.selector.as_ref().map(Domain::as_ascii),
        "algorithm": signature.algorithm,
        "start": signature.start,
        "signed_from": signature.signed_from,
        "length": signature.has_length,
        "testing": signature.testing,
    })
}

/// What the line of the evidence has no room for: each signature, the author, the chain.
pub fn text(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail, here and below.
    for signature in &report.signatures {
        let name = |name: Option<&Domain>| name.map_or("?", Domain::as_ascii).to_owned();
        let _ = write!(
            text,
            "  signature    {:9} by {}, selector {}, {}: {}",
            signature.result().as_str(),
            name(signature.domain.as_ref()),
            name(signature.selector.as_ref()),
            signature.algorithm.unwrap_or("?"),
            signature.reason,
        );
        let but = [
            (signature.has_length, "of the body only a part (l=)"),
            (signature.testing, "its key is only a test (t=y)"),
        ];
        for (_, what) in but.iter().filter(|(holds, _)| *holds) {
            let _ = write!(text, "; {what}");
        }
        text.push('\n');
    }
    if report.more > 0 {
        let _ = writeln!(text, "  signature    {} more, not looked at", report.more);
    }
    if report.skipped.is_none() {
        let from = report.from.as_ref().map(ToString::to_string);
        let from = from.unwrap_or_else(|| "not one author".into());
        let _ = writeln!(text, "  From         {from}");
    }
    if report.arc != dkim::Arc::None {
        let _ = writeln!(text, "  ARC          {}", report.arc);
    }
    text
}

#[cfg(test)]
mod tests {
    use vouchsafe_proto::verify::dkim::{Reason, field};

    use super::*;

    #[test]
    fn each_signature_has_its_line() {
        let value = b"v=1; a=rsa-sha256; d=example.org; s=sel; h=From; l=5; bh=AA; b=BB";
        let (label, claim) = field::read(value);
        assert!(claim.is_ok());
        let report = Report {
            signatures: vec![
                Signature::new(label, Reason::Valid),
                Signature::new(field::Label::default(), Reason::Syntax),
            ],
            more: 2,
            arc: dkim::Arc::Fail,
            ..Report::default()
        };
        assert_eq!(
            text(&report),
            "  signature    pass      by example.org, selector sel, rsa-sha256: header and body are \
             as signed; of the body only a part (l=)\n  \
             signature    neutral   by ?, selector ?, ?: malformed\n  \
             signature    2 more, not looked at\n  \
             From         not one author\n  \
             ARC          fail\n"
        );
        assert_eq!(json(&report)["signatures"][0]["length"], true);
        assert_eq!(json(&Report::skipped(Skipped::Busy))["skipped"], "busy");
        assert_eq!(text(&Report::skipped(Skipped::Busy)), "");
    }

    #[test]
    fn a_line_ends_in_crlf_however_it_was_saved() {
        for (text, message) in [
            (&b""[..], &b""[..]),
            (b"A: 1\n\nb\n", b"A: 1\r\n\r\nb\r\n"),
            (b"A: 1\r\n\r\nb\r\n", b"A: 1\r\n\r\nb\r\n"),
            (b"A: 1\r\n\nb", b"A: 1\r\n\r\nb"),
            (b"a\rb\n", b"a\rb\r\n"),
        ] {
            assert_eq!(with_crlf(text), message);
        }
    }
}
