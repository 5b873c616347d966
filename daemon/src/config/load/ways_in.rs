//! `[[listen]]` and `[perimeter]`.

use super::super::keys;
use super::super::read::{Place, Reader};
use super::super::schema::{Listen, Perimeter};
use super::{hostname, network, relay_network, socket};

/// `[[listen]]`; false if some of it could not be read.
pub(super) fn listen<'a>(reader: &mut Reader<'a>, top: &Place<'a>) -> (Vec<Listen>, bool) {
    let before = reader.problems.len();
    let mut all = Vec::new();
    for place in reader.list(top, &keys::LISTEN) {
        let address = reader.text(&place, "address", socket);
        let proxy = reader.switch(&place, "proxy");
        all.extend(
            address
                .zip(proxy)
                .map(|(address, proxy)| Listen { address, proxy }),
        );
    }
    (all, reader.problems.len() == before)
}

/// `[perimeter]`.
pub(super) fn perimeter<'a>(reader: &mut Reader<'a>, top: &Place<'a>) -> Option<Perimeter> {
    let place = reader.table(top, &keys::PERIMETER);
    let hosts = reader.texts(&place, "hosts", |text| match network(text) {
        Ok(network) => Ok(Ok(network)),
        Err(why) => match hostname(text) {
            Ok(name) if !name.as_ascii().ends_with(|c: char| c.is_ascii_digit()) => Ok(Err(name)),
            _ => Err(why),
        },
    });
    let automatic = reader.switch(&place, "automatic");
    let proxies = reader.texts(&place, "proxies", relay_network);
    let xclient = reader.texts(&place, "xclient", relay_network);
    let (mut names, mut networks) = (Vec::new(), Vec::new());
    for host in hosts? {
        match host {
            Ok(network) => networks.push(network),
            Err(name) => names.push(name),
        }
    }
    Some(Perimeter {
        names,
        networks,
        automatic: automatic?,
        proxies: proxies?,
        xclient: xclient?,
    })
}
