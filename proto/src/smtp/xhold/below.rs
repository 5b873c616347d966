//! What of a message is the same for every retry of one copy (XTID): all but the trace fields at its very top.
//!
//! A hop that asks again makes its `Received` anew, and what it has found; each has a time in it. So these fields,
//! as long as nothing else stands above them, are no part of what is compared. All else is, octet for octet; and so is
//! how many `Received` stand there: a message with one more has gone round in a loop, and is not what came before.

/// The fields that a hop of this kind puts above what it passes on.
const TRACE: [&[u8]; 3] = [b"authentication-results", b"received-spf", RECEIVED];

/// That which each hop puts there once.
const RECEIVED: &[u8] = b"received";

/// Octets of the longest of their names.
const LONGEST: usize = 22;

/// Reads a message's octets as they come, and leaves the trace fields at its top out.
#[derive(Debug, Default)]
pub struct BelowTrace {
    place: Place,
    /// `Received` that were left out.
    hops: u32,
}

/// Where in the message the next octet is.
#[derive(Debug, Default)]
enum Place {
    /// At the first line.
    #[default]
    First,
    /// In a name, of which these octets have come.
    Name([u8; LONGEST], usize),
    /// In a line of a trace field.
    Trace,
    /// Behind such a line.
    NextLine,
    /// Below the trace fields.
    Below,
}

impl BelowTrace {
    /// Takes the next octets; what counts of them is given to `counts`, in order.
    pub fn read(&mut self, octets: &[u8], mut counts: impl FnMut(&[u8])) {
        let mut rest = octets;
        while let Some((octet, behind)) = rest.split_first() {
            let next = match &mut self.place {
                Place::Below => return counts(rest),
                Place::Trace if *octet == b'\n' => Place::NextLine,
                Place::Trace => Place::Trace,
                Place::NextLine if matches!(octet, b' ' | b'\t') => Place::Trace,
                Place::First | Place::NextLine => in_name([0; LONGEST], 0, *octet, &mut counts),
                Place::Name(name, len) => {
                    let (name, len) = (*name, *len);
                    let next = in_name(name, len, *octet, &mut counts);
                    let is_hop = matches!(next, Place::Trace) && is(&name, len, RECEIVED);
                    self.hops = self.hops.saturating_add(u32::from(is_hop));
                    next
                }
            };
            self.place = next;
            rest = behind;
        }
    }

    /// No more comes: what has begun like a trace field and is none counts, too; and how many hops there are.
    pub fn finish(self, mut counts: impl FnMut(&[u8])) {
        if let Place::Name(name, len) = self.place {
            counts(name.get(..len).unwrap_or_default());
        }
        counts(&self.hops.to_be_bytes());
    }
}

/// True if so many octets of it are this name.
fn is(octets: &[u8; LONGEST], len: usize, name: &[u8]) -> bool {
    let so_far = octets.get(..len);
    so_far.is_some_and(|so_far| so_far.eq_ignore_ascii_case(name))
}

/// One more octet, of what may be a trace field's name.
fn in_name(
    mut name: [u8; LONGEST],
    len: usize,
    octet: u8,
    counts: &mut impl FnMut(&[u8]),
) -> Place {
    if octet == b':' && TRACE.iter().any(|trace| is(&name, len, trace)) {
        return Place::Trace;
    }
    if let Some(slot) = name.get_mut(len)
        && (octet.is_ascii_alphabetic() || octet == b'-')
    {
        *slot = octet;
        return Place::Name(name, len.saturating_add(1));
    }
    counts(name.get(..len).unwrap_or_default());
    counts(&[octet]);
    Place::Below
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    /// What counts of a message that comes in pieces of this many octets.
    fn counted(message: &[u8], piece: usize) -> Vec<u8> {
        let (mut below, mut counted) = (BelowTrace::default(), Vec::new());
        for piece in message.chunks(piece) {
            below.read(piece, |octets| counted.extend_from_slice(octets));
        }
        below.finish(|octets| counted.extend_from_slice(octets));
        counted
    }

    /// The same without the number of hops, and that.
    fn split(message: &[u8], piece: usize) -> (Vec<u8>, u32) {
        let mut counted = counted(message, piece);
        let hops = counted.split_off(counted.len() - 4);
        (counted, u32::from_be_bytes(hops.try_into().unwrap()))
    }

    #[test]
    fn trace_fields_at_the_top_are_left_out_and_nothing_else() {
        for (message, left) in [
            ("", ""),
            (
                "Received: a\r\n\tb\r\nSubject: c\r\n\r\nd",
                "Subject: c\r\n\r\nd",
            ),
            (
                "Authentication-Results: x;\r\n none\r\nReceived-SPF: y\r\nRECEIVED: z\r\n \r\nTo: a\r\nReceived: b\r\n",
                "To: a\r\nReceived: b\r\n",
            ),
            ("Received : a\r\n", "Received : a\r\n"),
            ("Receive: a\r\n", "Receive: a\r\n"),
            ("Received", "Received"),
            ("Received: a", ""),
            ("Received: a\r\nReceived-By: b\r\n", "Received-By: b\r\n"),
            ("Received: a\r\n\r\nReceived: b\r\n", "\r\nReceived: b\r\n"),
            (
                "X-Authentication-Results-Of-Others: a\r\n",
                "X-Authentication-Results-Of-Others: a\r\n",
            ),
            ("\r\nbody", "\r\nbody"),
            (" Received: folded\r\n", " Received: folded\r\n"),
            (":", ":"),
        ] {
            for piece in 1..=message.len().max(1) {
                let (counted, hops) = split(message.as_bytes(), piece);
                assert_eq!(counted, left.as_bytes(), "{message:?} by {piece}");
                let above = &message[..message.len() - left.len()];
                let lines = above.to_ascii_lowercase();
                assert_eq!(
                    hops as usize,
                    lines.matches("received:").count(),
                    "{message:?}"
                );
            }
        }
    }

    proptest! {
        /// Whatever a hop has put above it, and whatever the message is, what is left does not depend on the
        /// former but for its number, nor on the pieces.
        #[test]
        fn our_own_fields_change_nothing(
            fields in "((Received|Received-SPF|Authentication-Results): [a-z]{0,9}\r\n(\t[a-z]{0,9}\r\n)?){0,4}",
            message in "(([A-Z][a-z-]{0,9}: [a-z]{0,9}\r\n){0,3}\r\n[a-z\r\n]{0,30})|[ -~\r\n]{0,60}",
            piece in 1_usize..40,
        ) {
            // What folds the last of our fields is none of the message.
            prop_assume!(!message.starts_with([' ', '\t']));
            let whole = alloc::format!("{fields}{message}");
            let (with, hops) = split(whole.as_bytes(), piece);
            let (without, own) = split(message.as_bytes(), 1000);
            prop_assert_eq!(with, without);
            let more = fields.matches("Received:").count();
            prop_assert_eq!(hops as usize, own as usize + more);
        }
    }
}
