//! Sets of addresses, exact at any size: what a record covers, and how two records differ.
//!
//! Kept as ranges, so that `0.0.0.0/0` is as cheap as one address. IPv4-mapped IPv6 addresses are
//! IPv4 addresses (RFC 4291 §2.5.5.2).

use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv4Subnets, Ipv6Net, Ipv6Subnets};

/// A set of addresses of both families.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cover {
    four: Ranges,
    six: Ranges,
}

impl Cover {
    /// Every address.
    pub fn everything() -> Self {
        Self {
            four: Ranges::of(0, u128::from(u32::MAX)),
            six: Ranges::of(0, u128::MAX),
        }
    }

    /// The addresses of a network.
    pub fn of(network: IpNet) -> Self {
        let mut cover = Self::default();
        match canonical(network) {
            IpNet::V4(network) => {
                cover.four = Ranges::of(four(network.network()), four(network.broadcast()));
            }
            IpNet::V6(network) => {
                cover.six = Ranges::of(six(network.network()), six(network.broadcast()));
            }
        }
        cover
    }

    /// Adds all that the other holds.
    pub fn join(&mut self, other: &Self) {
        self.four = self.four.joined(&other.four);
        self.six = self.six.joined(&other.six);
    }

    /// What this holds and the other does not.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        Self {
            four: self.four.without(&other.four),
            six: self.six.without(&other.six),
        }
    }

    /// What both hold.
    #[must_use]
    pub fn within(&self, other: &Self) -> Self {
        self.without(&self.without(other))
    }

    /// True if there is no address in it.
    pub fn is_empty(&self) -> bool {
        self.four.0.is_empty() && self.six.0.is_empty()
    }

    /// True if the address is in it.
    pub fn holds(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => self.four.holds(four(address)),
            IpAddr::V6(address) => self.six.holds(six(address)),
        }
    }

    /// The fewest networks that make it up, IPv4 first, in order.
    pub fn networks(&self) -> Vec<IpNet> {
        let fours = self.four.0.iter().flat_map(|&(first, last)| {
            Ipv4Subnets::new(four_at(first), four_at(last), 0).map(IpNet::V4)
        });
        let sixes = self.six.0.iter().flat_map(|&(first, last)| {
            let (first, last) = (Ipv6Addr::from(first), Ipv6Addr::from(last));
            Ipv6Subnets::new(first, last, 0).map(IpNet::V6)
        });
        fours.chain(sixes).collect()
    }
}

impl FromIterator<IpNet> for Cover {
    fn from_iter<I: IntoIterator<Item = IpNet>>(networks: I) -> Self {
        let mut cover = Self::default();
        for network in networks {
            cover.join(&Self::of(network));
        }
        cover
    }
}

impl FromIterator<IpAddr> for Cover {
    fn from_iter<I: IntoIterator<Item = IpAddr>>(addresses: I) -> Self {
        addresses.into_iter().map(IpNet::from).collect()
    }
}

/// `192.0.2.0/24, 2001:db8::1`, the first few and how many more.
impl fmt::Display for Cover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let networks = self.networks();
        for (at, network) in networks.iter().take(SHOWN).enumerate() {
            let mark = if at == 0 { "" } else { ", " };
            write!(f, "{mark}{}", Shown(*network))?;
        }
        match networks.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// Networks shown of a set in a sentence; all of them stand in JSON.
const SHOWN: usize = 6;

/// A network as people write it: an address alone without its length.
#[derive(Clone, Copy, Debug)]
pub struct Shown(pub IpNet);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() {
            write!(f, "{}", self.0.addr())
        } else {
            write!(f, "{}", self.0)
        }
    }
}

/// The network cut to its length, and an IPv4-mapped one as the IPv4 network it is.
pub fn canonical(network: IpNet) -> IpNet {
    let network = network.trunc();
    if let IpNet::V6(mapped) = network
        && let Some(length) = mapped.prefix_len().checked_sub(96)
        && let Some(address) = mapped.network().to_ipv4_mapped()
        && let Ok(network) = Ipv4Net::new(address, length)
    {
        return IpNet::V4(network);
    }
    network
}

/// How many addresses a network has; all there are for the widest.
pub fn size(network: IpNet) -> u128 {
    let free = network
        .max_prefix_len()
        .saturating_sub(network.prefix_len());
    1_u128.checked_shl(u32::from(free)).unwrap_or(u128::MAX)
}

/// The first network and those after it, each of at most `chunk` (a power of two) addresses.
pub fn pieces(network: IpNet, chunk: u32) -> Vec<IpNet> {
    let bits = u8::try_from(chunk.max(1).ilog2()).unwrap_or(0);
    let length = network
        .max_prefix_len()
        .saturating_sub(bits)
        .max(network.prefix_len());
    network
        .subnets(length)
        .map_or_else(|_| Vec::new(), Iterator::collect)
}

fn four(address: Ipv4Addr) -> u128 {
    u128::from(u32::from(address))
}

fn six(address: Ipv6Addr) -> u128 {
    u128::from(address)
}

fn four_at(number: u128) -> Ipv4Addr {
    Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX))
}

/// Ranges of numbers with both ends in them: sorted, apart, and never touching.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Ranges(Vec<(u128, u128)>);

impl Ranges {
    fn of(first: u128, last: u128) -> Self {
        Self(Vec::from([(first, last)]))
    }

    fn holds(&self, number: u128) -> bool {
        self.0
            .iter()
            .any(|&(first, last)| (first..=last).contains(&number))
    }

    fn joined(&self, other: &Self) -> Self {
        let mut all: Vec<_> = self.0.iter().chain(&other.0).copied().collect();
        all.sort_unstable();
        let mut joined: Vec<(u128, u128)> = Vec::with_capacity(all.len());
        for (first, last) in all {
            match joined.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => {
                    before.1 = before.1.max(last);
                }
                _ => joined.push((first, last)),
            }
        }
        Self(joined)
    }

    fn without(&self, other: &Self) -> Self {
        let mut left = self.0.clone();
        for &(first, last) in &other.0 {
            left = left
                .into_iter()
                .flat_map(|(from, to)| {
                    let below = first
                        .checked_sub(1)
                        .filter(|end| from <= *end)
                        .map(|end| (from, to.min(end)));
                    let above = last
                        .checked_add(1)
                        .filter(|start| *start <= to)
                        .map(|start| (from.max(start), to));
                    below.into_iter().chain(above)
                })
                .collect();
        }
        Self(left)
    }
}

/// An IPv6 network from its parts; for the callers that have only the address and the length.
pub fn network(address: IpAddr, length: u8) -> Option<IpNet> {
    match address {
        IpAddr::V4(address) => Ipv4Net::new(address, length).ok().map(IpNet::V4),
        IpAddr::V6(address) => Ipv6Net::new(address, length).ok().map(IpNet::V6),
    }
    .map(canonical)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn cover(text: &str) -> Cover {
        text.split_whitespace()
            .map(|net| net.parse::<IpNet>().unwrap())
            .collect()
    }

    #[test]
    fn sets_are_joined_and_taken_apart() {
        let mut both = cover("192.0.2.0/25 2001:db8::/33");
        both.join(&cover(
            "192.0.2.128/25 2001:db8:8000::/33 ::ffff:198.51.100.7/128",
        ));
        assert_eq!(
            both.to_string(),
            "192.0.2.0/24, 198.51.100.7, 2001:db8::/32"
        );
        let rest = both.without(&cover("192.0.2.4/30 192.0.2.255/32"));
        assert_eq!(
            rest,
            cover(
                "192.0.2.0/30 192.0.2.8/29 192.0.2.16/28 192.0.2.32/27 192.0.2.64/26 \
                   192.0.2.128/26 192.0.2.192/27 192.0.2.224/28 192.0.2.240/29 192.0.2.248/30 \
                   192.0.2.252/31 192.0.2.254/32 198.51.100.7/32 2001:db8::/32"
            )
        );
        assert!(rest.holds("192.0.2.3".parse().unwrap()));
        assert!(!rest.holds("192.0.2.4".parse().unwrap()));
        assert!(rest.holds("::ffff:192.0.2.3".parse().unwrap()));
        assert_eq!(
            both.within(&cover("192.0.2.200/32 10.0.0.0/8")),
            cover("192.0.2.200/32")
        );
        assert!(both.without(&Cover::everything()).is_empty());
        assert_eq!(Cover::everything().to_string(), "0.0.0.0/0, ::/0");
        assert!(
            !Cover::everything()
                .without(&both)
                .holds("192.0.2.1".parse().unwrap())
        );
    }

    #[test]
    fn networks_are_cut_into_pieces() {
        let pieces_of = |net: &str, chunk| {
            let all = pieces(net.parse().unwrap(), chunk);
            (all.len(), all.last().map(ToString::to_string))
        };
        assert_eq!(
            pieces_of("192.0.2.0/24", 32),
            (8, Some("192.0.2.224/27".into()))
        );
        assert_eq!(
            pieces_of("192.0.2.1/32", 32),
            (1, Some("192.0.2.1/32".into()))
        );
        assert_eq!(
            pieces_of("2001:db8::/124", 16),
            (1, Some("2001:db8::/124".into()))
        );
        assert_eq!(size("192.0.2.0/24".parse().unwrap()), 256);
        assert_eq!(size("::/0".parse().unwrap()), u128::MAX);
    }
}
