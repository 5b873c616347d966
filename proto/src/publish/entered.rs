//! Which senders enter nothing into the ledger that the domain's records name.
//!
//! One of them is enough for the ledger never to say "not sent" (PROTOCOLS B.2). Promised: a sender is passed over only
//! where a writer has its name or all its addresses. Left to others: whether it does enter what it sends.

use alloc::vec::Vec;

use crate::residue::writers::Writers;
use crate::survey::cover::Cover;

use super::doubt::Doubt;
use super::plan::{Entry, Facts, Sender};

/// Those among the senders, by the addresses that are known of them; each only once.
pub(super) fn missing(senders: &[Entry], writers: &Writers, facts: &Facts) -> Vec<Doubt> {
    let mut known = writers.networks.clone();
    for host in &writers.hosts {
        known.join(
            &facts
                .hosts
                .get(host)
                .into_iter()
                .flatten()
                .copied()
                .collect(),
        );
    }
    let enters = |sender: &Sender| match sender {
        Sender::Host(name) => {
            let addresses = facts.hosts.get(name).filter(|all| !all.is_empty());
            let is_known = |all: &Vec<_>| all.iter().all(|address| known.holds(*address));
            writers.hosts.contains(name) || addresses.is_some_and(is_known)
        }
        // A provider's hosts are his, and change as he likes.
        Sender::Group(_) => false,
        Sender::Network(network) => Cover::of(*network).without(&known).is_empty(),
    };
    let mut missing: Vec<Doubt> = Vec::new();
    for Entry { sender, .. } in senders {
        let doubt = Doubt::NotEntered(sender.clone());
        if !enters(sender) && !missing.contains(&doubt) {
            missing.push(doubt);
        }
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::Domain;
    use crate::dns::Name;

    fn name(text: &str) -> Name {
        Name::from(&Domain::parse(text).unwrap())
    }

    #[test]
    fn whoever_sends_and_is_no_writer_is_named_once() {
        let hosts = [
            "mail.example.org",
            "second.example.org",
            "out.example.org",
            "new.example.org",
        ];
        let senders: Vec<_> = hosts
            .iter()
            .map(|host| Sender::Host(name(host)))
            .chain([
                Sender::Group(name("mail-from.isp.example")),
                Sender::Network("192.0.2.1/32".parse().unwrap()),
                Sender::Network("192.0.2.0/30".parse().unwrap()),
                Sender::Host(name("new.example.org")),
            ])
            .map(|sender| Entry {
                sender,
                origin: "--host".into(),
            })
            .collect();
        let writers = Writers {
            domain: Domain::parse("example.org").unwrap(),
            hosts: [name("mail.example.org")].into(),
            networks: Cover::default(),
        };
        let all = |indices: &[usize]| -> Vec<_> {
            let named = indices.iter().map(|index| senders[*index].sender.clone());
            named.map(Doubt::NotEntered).collect()
        };
        let unasked = missing(&senders, &writers, &Facts::default());
        assert_eq!(unasked, all(&[1, 2, 3, 4, 5, 6]));
        let mut facts = Facts::default();
        for (host, last) in hosts.iter().zip([Some(1), Some(1), Some(2), None]) {
            let address = last.map(|last| core::net::Ipv4Addr::new(192, 0, 2, last).into());
            facts
                .hosts
                .insert(name(host), address.into_iter().collect());
        }
        // The second has the address of the first; the last has none, which proves nothing.
        assert_eq!(missing(&senders, &writers, &facts), all(&[2, 3, 4, 6]));
    }
}
