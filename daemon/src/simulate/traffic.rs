//! The mail of the made-up world: who sends what to whom, by which way.
//!
//! The mail follows from the seed and the world alone, never from the level of adoption: the same
//! messages are sent at every level, so that the curves show what adoption changes and nothing else.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::chance::Chance;
use super::world::{Host, Site, SiteId, World, stream, wide};

/// Milliseconds within which all mail is sent: two days.
pub const SPAN: u64 = 2 * 24 * 3600 * 1000;

/// Who hands a message in first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The site whose reverse-path it is, by a way that it lists when it lists any.
    Site {
        /// By its provider, not by a host of its own.
        by_provider: bool,
    },
    /// Somebody else's host.
    Bot {
        /// Its address.
        client: IpAddr,
        /// It keeps what is put off, and tries again.
        retries: bool,
    },
    /// A border relay of the domain that is forged, or of its provider, in a forger's hands.
    Captive,
}

/// Whose domain stands in the reverse-path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// This site's.
    Site(SiteId),
    /// One that does not exist.
    Nowhere,
}

/// One message, for one recipient.
#[derive(Clone, Copy, Debug)]
pub struct Message {
    /// Its number: the name of its chance.
    pub number: u64,
    /// When it is sent, in milliseconds.
    pub sent: u64,
    /// Who hands it in.
    pub origin: Origin,
    /// Whose domain its reverse-path has.
    pub claim: Claim,
    /// The site of the recipient.
    pub recipient: SiteId,
    /// There is no such recipient there.
    pub is_dead: bool,
    /// It was sent to an address here, and is sent on from there.
    pub forwarder: Option<SiteId>,
    /// It goes through the recipient's backup host, which queues.
    pub backup: Option<SiteId>,
}

impl Message {
    /// True if its reverse-path is its sender's own.
    pub const fn is_true(&self) -> bool {
        matches!(self.origin, Origin::Site { .. })
    }

    /// The message of this number, of so many.
    pub fn drawn(world: &World, number: u64, of: u64) -> Self {
        let chance = &mut Chance::of(&[world.seed, stream::MESSAGE, number]);
        let origin = draw_origin(chance);
        let (origin, claim) = match origin {
            Origin::Site { .. } => draw_sender(world, chance),
            Origin::Bot { .. } if chance.happens(50) => (origin, Claim::Nowhere),
            Origin::Bot { .. } => (origin, Claim::Site(chance.skewed_below(world.domains))),
            Origin::Captive => (origin, draw_sender(world, chance).1),
        };
        let recipient = draw_recipient(world, origin, claim, chance);
        // Forgers guess addresses; correspondents know them.
        let dead = if matches!(origin, Origin::Site { .. }) {
            30
        } else {
            400
        };
        Self {
            number,
            sent: SPAN / of.max(1) * number,
            origin,
            claim,
            recipient,
            is_dead: chance.happens(dead),
            forwarder: chance
                .happens(125)
                .then(|| world.forwarder(chance.below(world.forwarders))),
            backup: draw_backup(world, recipient, chance),
        }
    }

    /// What happens to it at one of its attempts.
    pub fn way(&self, world: &World, leg: u64, attempt: u32) -> Chance {
        Chance::of(&[world.seed, stream::WAY, self.number, leg, attempt.into()])
    }
}

/// Who sends: half of all mail is what it says it is.
fn draw_origin(chance: &mut Chance) -> Origin {
    match chance.below(100) {
        0..50 => Origin::Site { by_provider: false },
        50..54 => Origin::Captive,
        _ => Origin::Bot {
            client: bot(chance),
            retries: chance.happens(200),
        },
    }
}

/// A site that sends, and how.
fn draw_sender(world: &World, chance: &mut Chance) -> (Origin, Claim) {
    loop {
        let id = chance.skewed_below(world.domains);
        let site = world.site(id);
        if site.sends() {
            let by_provider =
                site.provider.is_some() && (site.hosts.is_empty() || chance.happens(500));
            return (Origin::Site { by_provider }, Claim::Site(id));
        }
    }
}

/// Whom it is for. Most true mail goes to one of a few correspondents; the other goes anywhere.
fn draw_recipient(world: &World, origin: Origin, claim: Claim, chance: &mut Chance) -> SiteId {
    match (origin, claim) {
        (Origin::Site { .. }, Claim::Site(sender)) if chance.happens(600) => {
            let which = wide(chance.below(CORRESPONDENTS));
            let parts = [world.seed, stream::CORRESPONDENT, wide(sender), which];
            Chance::of(&parts).skewed_below(world.domains)
        }
        _ => chance.skewed_below(world.domains),
    }
}

/// Sites that a site writes to often.
const CORRESPONDENTS: usize = 5;

/// Where there is a backup host that queues, correspondents use it when the first does not answer,
/// and forgers because it is the weaker. Through one that hands the connection on, all is as if it
/// were not there.
fn draw_backup(world: &World, recipient: SiteId, chance: &mut Chance) -> Option<SiteId> {
    let backup = world.site(recipient).backup?;
    (!backup.is_live && chance.happens(300)).then_some(backup.site)
}

/// An address that no site lists: 150.0.0.0/8, or a sixteenth of the IPv6 there is.
fn bot(chance: &mut Chance) -> IpAddr {
    let low = chance.bits();
    if chance.happens(100) {
        Ipv6Addr::from_bits((0x2a << 120) | (u128::from(chance.number()) << 48) | 1).into()
    } else {
        Ipv4Addr::from_bits(0x9600_0000 | (low & 0x00ff_ffff)).into()
    }
}

/// The hosts by which a site's mail goes out at this moment.
pub fn hosts<'w>(world: &'w World, site: &'w Site, by_provider: bool, now: u64) -> &'w [Host] {
    match site.provider {
        Some(provider) if by_provider => &world.site(provider).hosts,
        _ => site.used_at(now),
    }
}

/// True if the recipient's site has declared the forwarder.
pub fn is_declared(world: &World, recipient: SiteId, forwarder: SiteId) -> bool {
    let parts = [
        world.seed,
        stream::DECLARED,
        wide(recipient),
        wide(forwarder),
    ];
    Chance::of(&parts).happens(700)
}
