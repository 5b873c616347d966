//! `[ledger]`, `[ledger.writers]` and `[bounces]`.

use std::collections::BTreeMap;
use std::time::Duration;

use vouchsafe_proto::addr::Domain;
use vouchsafe_proto::residue::Policy;

use super::super::keys;
use super::super::read::{Place, Reader, quote};
use super::super::schema::{Bounces, Ledger, LedgerRates};
use super::{hostname, socket};

/// Reads both. Who answers is this host, if no other is named.
pub(super) fn read<'a>(
    reader: &mut Reader<'a>,
    top: &Place<'a>,
    host: Option<&Domain>,
) -> Option<Ledger> {
    let place = reader.table(top, &keys::LEDGER);
    let address = reader.texts(&place, "address", socket);
    let given = if place.gives("name_servers") {
        reader.texts(&place, "name_servers", hostname)
    } else {
        host.map(|host| {
            let value = format!("[{}]", quote(host.as_str()));
            reader.keep(&place.header, "name_servers", value, None);
            vec![host.clone()]
        })
    };
    let policy = reader.word(&place, "policy", |word| match word {
        "none" => Some(Policy::None),
        "reject" => Some(Policy::Reject),
        _ => None,
    });
    let strangers = reader.count(&place, "per_second");
    let with_cookie = reader.count(&place, "per_second_with_cookie");
    let zone = reader.count(&place, "zone_per_second");
    let writers = read_writers(reader, &place);
    Some(Ledger {
        address: address?,
        name_servers: given?,
        policy: policy?,
        rates: LedgerRates {
            strangers: strangers?,
            with_cookie: with_cookie?,
            zone: zone?,
        },
        writers,
    })
}

/// Reads `[bounces]`.
pub(super) fn read_bounces<'a>(reader: &mut Reader<'a>, top: &Place<'a>) -> Option<Bounces> {
    let place = reader.table(top, &keys::BOUNCES);
    let check = reader.switch(&place, "check");
    let refuse = reader.switch(&place, "refuse");
    if check == Some(false) && refuse == Some(true) {
        let why = "[bounces]: `refuse` needs `check`".to_owned();
        reader.problem(place.line, why);
    }
    Some(Bounces {
        check: check?,
        refuse: refuse?,
    })
}

/// The other hosts that enter what they send.
fn read_writers<'a>(
    reader: &mut Reader<'a>,
    ledger: &Place<'a>,
) -> BTreeMap<Domain, Option<Duration>> {
    let mut all = BTreeMap::new();
    for place in reader.named(ledger, &keys::WRITERS) {
        let silence = reader.duration(&place, "silent_after");
        let mistake = match hostname(&place.name) {
            Ok(name) => {
                let silence = silence.filter(|silence| !silence.is_zero());
                let before = all.insert(name, silence);
                before.map(|_| String::from("this host stands twice"))
            }
            Err(why) => Some(why),
        };
        if let Some(why) = mistake {
            reader.problem(place.line, format!("{}: {why}", place.header));
        }
    }
    all
}
