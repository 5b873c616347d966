//! DNSSEC end to end: NSD serves zones that BIND's tools have signed, Unbound validates them, and
//! `vouchsafe check` asks Unbound. What is secure shows in the evidence; what was changed on its
//! way is bogus there, never a reason to believe or to refuse for good, and a tempfail.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::check::{Checked, check_with};
use super::harness;
use super::nsd::{Nsd, zone_file};
use super::unbound::Unbound;

/// What makes keys, and what signs.
const TOOLS: [&str; 2] = ["/usr/bin/dnssec-keygen", "/usr/bin/dnssec-signzone"];

/// The domain's relay.
const RELAY: &str = "192.0.2.1";

/// Whoever changed the answers puts this in the relay's place.
const FORGER: &str = "192.0.2.66";

/// Records of a domain with a set and SPF.
const WITH_SET: &str = "@ MX 10 relay\n\
     @ TXT \"v=spf1 ip4:192.0.2.1 -all\"\n\
     MAIL-FROM MX 0 relay\n\
     relay A 192.0.2.1\n";

/// Records of a domain with SPF alone.
const WITH_SPF: &str = "@ MX 10 mail\n\
     @ TXT \"v=spf1 ip4:192.0.2.1 -all\"\n\
     mail A 198.51.100.2\n";

/// The servers of all tests here.
struct World {
    nsd: Nsd,
    unbound: Unbound,
}

/// A signed zone file, and the key that it is signed with.
pub struct Signed {
    /// The file.
    pub file: String,
    /// The key, as a DNSKEY record.
    pub anchor: String,
}

/// Signs a zone with a key of its own.
pub fn signed(apex: &str, records: &str) -> Signed {
    let folder = TempDir::new().unwrap();
    let run = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(folder.path());
        let output = command.stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let arguments = ["-q", "-a", "ECDSAP256SHA256", "-f", "KSK", apex];
    let key = run(TOOLS[0], &arguments);
    fs::write(folder.path().join("zone"), zone_file(apex, records)).unwrap();
    run(
        TOOLS[1],
        &["-q", "-S", "-z", "-o", apex, "-f", "signed", "zone"],
    );
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    Signed {
        file: read("signed"),
        anchor: read(&format!("{}.key", key.trim())),
    }
}

/// True if a world with signed zones can be built here; says so if not.
pub fn installed(left_out: &str) -> bool {
    let tools = TOOLS
        .iter()
        .all(|tool| harness::installed(Path::new(tool), left_out));
    tools && Nsd::installed(left_out) && Unbound::installed(left_out)
}

/// The world; `None` if it cannot be built here, which is said.
fn world(last: u8) -> Option<World> {
    if !installed("DNSSEC, with NSD, BIND's tools and Unbound") {
        return None;
    }
    let sound = signed("secure.example", WITH_SET);
    let changed_set = signed("changed-set.example", WITH_SET);
    let changed_spf = signed("changed-spf.example", WITH_SPF);
    let anchors = [&sound, &changed_set, &changed_spf].map(|zone| zone.anchor.as_str());
    let anchors = anchors.concat();
    let changed = |zone: &Signed| {
        let file = zone.file.replace(RELAY, FORGER);
        assert_ne!(file, zone.file);
        Some(file)
    };
    let zones = [
        (".", Some(zone_file(".", ""))),
        ("secure.example", Some(sound.file.clone())),
        ("changed-set.example", changed(&changed_set)),
        ("changed-spf.example", changed(&changed_spf)),
        ("plain.example", Some(zone_file("plain.example", WITH_SET))),
    ];
    let nsd = Nsd::serve(Ipv4Addr::new(127, 53, 5, last).into(), &zones);
    let names = zones.each_ref().map(|(apex, _)| *apex);
    let unbound = Unbound::start(nsd.address(), &names, &anchors);
    Some(World { nsd, unbound })
}

/// Asks these resolvers about alice of a domain.
fn ask(resolvers: &[SocketAddr], client: &str, domain: &str) -> Checked {
    let client: IpAddr = client.parse().unwrap();
    let mail_from = format!("alice@{domain}");
    check_with(
        resolvers,
        (client, "client.example.net", &mail_from),
        "",
        &[],
    )
}

/// Whether each answer was secure, in order.
fn secure(object: &Value) -> Vec<bool> {
    let steps = object["steps"].as_array().unwrap().iter();
    steps
        .map(|step| step["answer"]["secure"].as_bool().unwrap())
        .collect()
}

#[test]
fn a_secure_answer_shows_in_the_evidence() {
    let Some(world) = world(1) else { return };
    let resolver = [world.unbound.address()];
    let checked = ask(&resolver, RELAY, "secure.example");
    let object = &checked.object;
    assert_eq!(object["verdict"], "authorised", "{object:#}");
    assert_eq!(object["mail_from_mx"]["secure"], true, "{object:#}");
    assert_eq!(secure(object), [true; 2], "{object:#}");

    // A refusal rests on names that are not there too, and their absence is signed.
    let checked = ask(&resolver, FORGER, "secure.example");
    let object = &checked.object;
    assert_eq!(object["verdict"], "repudiated", "{object:#}");
    assert_eq!(object["mail_from_mx"]["secure"], true, "{object:#}");
    let steps = secure(object);
    assert!(steps.len() > 4 && !steps.contains(&false), "{object:#}");
    let nothing = |step: &Value| step["answer"]["result"] == "nxdomain";
    assert!(object["steps"].as_array().unwrap().iter().any(nothing));
}

#[test]
fn what_nobody_signed_is_believed_and_not_called_secure() {
    let Some(world) = world(2) else { return };
    let unvalidated = [world.nsd.address()];
    let validated = [world.unbound.address()];
    for (resolver, domain) in [
        (&validated, "plain.example"),
        (&unvalidated, "secure.example"),
    ] {
        let checked = ask(resolver, RELAY, domain);
        let object = &checked.object;
        assert_eq!(object["verdict"], "authorised", "{object:#}");
        assert_eq!(object["mail_from_mx"]["secure"], false, "{object:#}");
        assert_eq!(secure(object), [false; 2], "{object:#}");
    }
}

#[test]
fn a_bogus_answer_shows_in_the_evidence_and_is_a_tempfail() {
    let Some(world) = world(3) else { return };
    let (nsd, unbound) = (world.nsd.address(), world.unbound.address());
    for (domain, kind, reply) in [
        ("changed-set.example", "mail_from_mx", (450, "4.4.3")),
        ("changed-spf.example", "spf", (451, "4.4.3")),
    ] {
        // Without validation the forger gets what he wanted.
        let checked = ask(&[nsd], FORGER, domain);
        assert_eq!(checked.object["verdict"], "authorised", "{domain}");
        // A resolver that calls it bogus is not overruled by one that does not look.
        for resolvers in [&[unbound][..], &[unbound, nsd]] {
            for client in [FORGER, RELAY] {
                let checked = ask(resolvers, client, domain);
                let object = &checked.object;
                assert_eq!(object["verdict"], "tempfail", "{object:#}");
                assert_eq!(checked.code, 75);
                assert_eq!(object["reply"]["code"], reply.0, "{object:#}");
                assert_eq!(object["reply"]["enhanced"], reply.1, "{object:#}");
                let evidence = object["evidence"].as_array().unwrap().iter();
                let troubled = evidence.filter(|piece| piece["weight"] == "trouble");
                let kinds: Vec<_> = troubled.map(|piece| &piece["kind"]).collect();
                assert!(kinds.contains(&&Value::from(kind)), "{object:#}");
                let mut steps = object["steps"].as_array().unwrap().iter();
                let bogus = steps.any(|step| step["answer"]["result"] == "bogus");
                assert!(bogus, "{object:#}");
            }
        }
    }
}
