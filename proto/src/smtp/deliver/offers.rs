//! What a peer offers in its reply to EHLO or LHLO (RFC 5321 §4.1.1.1). Tolerant: keywords in any
//! case, unknown ones skipped, a parameter that makes no sense as if it were not there.

use crate::reply::Reply;
use crate::smtp::xhold::Terms;

/// The extensions we use.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a keyword that is there or not"
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Offers {
    /// RFC 2920.
    pub pipelining: bool,
    /// RFC 3030.
    pub chunking: bool,
    /// RFC 3207.
    pub starttls: bool,
    /// RFC 6152.
    pub eight_bit_mime: bool,
    /// RFC 6531.
    pub smtputf8: bool,
    /// RFC 3461.
    pub dsn: bool,
    /// RFC 2852.
    pub deliver_by: bool,
    /// The least time within which a message may be wanted or returned; 0 if it is not said.
    pub least_by: u64,
    /// RFC 8689.
    pub require_tls: bool,
    /// draft-hall-prdr-00.
    pub prdr: bool,
    /// RFC 1870: SIZE may be given with MAIL.
    pub size: bool,
    /// The greatest message that is taken; none if it is not said.
    pub size_limit: Option<u64>,
    /// PROTOCOLS C: the path may be held, on these terms.
    pub xhold: Option<Terms>,
    /// PROTOCOLS D.
    pub xvouch: bool,
}

impl Offers {
    /// Reads all lines but the first, which is the peer's name.
    pub fn read(reply: &Reply) -> Self {
        let mut offers = Self::default();
        for line in reply.lines().iter().skip(1) {
            let mut words = line.split_ascii_whitespace();
            let Some(keyword) = words.next() else {
                continue;
            };
            match keyword.to_ascii_uppercase().as_str() {
                "PIPELINING" => offers.pipelining = true,
                "CHUNKING" => offers.chunking = true,
                "STARTTLS" => offers.starttls = true,
                "8BITMIME" => offers.eight_bit_mime = true,
                "SMTPUTF8" => offers.smtputf8 = true,
                "DSN" => offers.dsn = true,
                "REQUIRETLS" => offers.require_tls = true,
                "PRDR" => offers.prdr = true,
                "DELIVERBY" => {
                    offers.deliver_by = true;
                    // Extensions of its own may follow a comma (RFC 2852 §3).
                    let least = words.next().and_then(|word| word.split(',').next());
                    offers.least_by = least.and_then(|least| least.parse().ok()).unwrap_or(0);
                }
                "SIZE" => {
                    offers.size = true;
                    // Zero means that there is no fixed limit (RFC 1870 §4).
                    offers.size_limit = words
                        .next()
                        .and_then(|limit| limit.parse().ok())
                        .filter(|limit| *limit != 0);
                }
                "XVOUCH" => offers.xvouch = true,
                "XHOLD" => offers.xhold = Terms::read(words),
                _ => {}
            }
        }
        offers
    }

    /// Octets above 127 may be sent. SMTPUTF8 implies it (RFC 6531 §3.1).
    pub const fn takes_eight_bits(&self) -> bool {
        self.eight_bit_mime || self.smtputf8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn keywords_are_read_in_any_case_and_the_first_line_is_none() {
        let reply = Reply::plain(
            250,
            vec![
                "STARTTLS".into(),
                "pipelining".into(),
                "Size 1000".into(),
                "AUTH PLAIN".into(),
                "".into(),
                "8BITMIME x".into(),
                "dsn".into(),
                "prdr".into(),
                "DELIVERBY 240,x".into(),
                "xhold 5 600 8".into(),
                "XVouch".into(),
            ],
        );
        assert_eq!(
            Offers::read(&reply),
            Offers {
                pipelining: true,
                eight_bit_mime: true,
                size: true,
                size_limit: Some(1000),
                dsn: true,
                prdr: true,
                deliver_by: true,
                least_by: 240,
                xhold: Some(Terms {
                    min: 5,
                    max: 600,
                    hops: 8
                }),
                xvouch: true,
                ..Offers::default()
            }
        );
        for xhold in ["XHOLD", "XHOLD 5 600", "XHOLD 600 5 8"] {
            let offers = Offers::read(&Reply::plain(250, vec!["x".into(), xhold.into()]));
            assert_eq!(offers, Offers::default(), "{xhold}");
        }
        for size in ["SIZE", "SIZE 0", "SIZE many", "SIZE -1"] {
            let offers = Offers::read(&Reply::plain(250, vec!["x".into(), size.into()]));
            assert_eq!((offers.size, offers.size_limit), (true, None), "{size}");
        }
    }
}
