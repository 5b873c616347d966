//! Mistakes as postmasters make them, and what they are told.

use std::path::Path;
use std::time::Duration;

use vouchsafe_proto::addr::ForwardPath;
use vouchsafe_proto::route::{PathMode, WhenUnproven};

use super::schema::any_contains;
use super::{Config, LoadError, Loaded, parse};

/// The smallest configuration, to which tests append.
const SMALLEST: &str = r#"hostname = "mx.example.org"
data_dir = "/tmp/vouchsafe"
[[listen]]
address = "[::]:25"
[domains."example.org"]
next_hop = "smtp://mail.internal:25"
"#;

/// A self-signed certificate and its key, as paths of PEM files.
#[expect(clippy::disallowed_methods, reason = "files of a test")]
pub fn certificate(folder: &Path) -> (String, String) {
    let made = rcgen::generate_simple_self_signed([String::from("mx.example.org")]).unwrap();
    let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let text = |path: std::path::PathBuf| path.to_str().unwrap().to_owned();
    (text(certificate), text(key))
}

fn read(text: &str) -> Result<Loaded, LoadError> {
    parse(text, Path::new("v.toml"))
}

fn right(text: &str) -> Config {
    read(text).unwrap_or_else(|error| panic!("{error}")).config
}

fn mailbox(address: &str) -> Option<ForwardPath> {
    ForwardPath::parse_inside(address).ok()
}

/// The lines that a text is answered with.
fn wrong(text: &str) -> Vec<String> {
    let error = read(text)
        .err()
        .unwrap_or_else(|| panic!("{text} is right"));
    error.to_string().lines().map(str::to_owned).collect()
}

#[test]
fn the_smallest_configuration_has_sound_defaults() {
    let config = right(SMALLEST);
    assert_eq!(config.verify.authserv_id, config.hostname);
    assert_eq!(config.postmaster, mailbox("postmaster@example.org"));
    assert_eq!(config.limits.message_size, 50 << 20);
    assert_eq!(config.retry.expire, Duration::from_hours(120));
    assert_eq!(config.relay.from, []);
    assert!(config.tls.is_none() && config.delivery.starttls);
    assert!(!config.routes().may_relay("127.0.0.1".parse().unwrap()));
}

#[test]
fn values_of_every_kind_are_read() {
    let config = right(
        r#"
        postmaster = "root@example.net"
        hostname = "mx.example.org"
        data_dir = "/tmp/vouchsafe"
        relay = { from = ["192.0.2.7", "2001:db8::/32"], next_hop = "smtp://[2001:db8::1]" }
        listen = [{ address = "127.0.0.1:0" }, { address = "[::1]:25", proxy = true }]
        perimeter.hosts = ["mx2.example.net", "192.0.2.0/24", "::ffff:198.51.100.1"]
        perimeter.automatic = false
        perimeter.proxies = ["127.0.0.1"]
        dns = { servers = ["127.0.0.1", "[::1]:5353", "::1"], trust_ad = "never" }
        limits.message_size = 1_000_000
        verify = { authserv_id = "example.org", dkim = false, dkim_size = "256 KiB" }
        retry = { first = "1m30s", longest = "30m" }
        [domains."EXAMPLE.org"]
        next_hop = "lmtp+unix:/run/lmtp"
        path = "store"
        "#,
    );
    assert_eq!(config.relay.from.len(), 2);
    assert_eq!(config.listen.len(), 2);
    assert_eq!(config.perimeter.names.len(), 1);
    assert!(!config.listen[0].proxy && config.listen[1].proxy);
    let hosts = &config.perimeter.networks;
    assert!(any_contains(hosts, "::ffff:192.0.2.9".parse().unwrap()));
    assert!(any_contains(hosts, "198.51.100.1".parse().unwrap()));
    assert!(!config.perimeter.automatic && config.perimeter.xclient.is_empty());
    let servers: Vec<_> = config.dns.servers.iter().map(ToString::to_string).collect();
    assert_eq!(servers, ["127.0.0.1:53", "[::1]:5353", "[::1]:53"]);
    assert_eq!(config.dns.trust_ad, Some(false));
    assert_eq!(config.retry.first, Duration::from_secs(90));
    assert_eq!(config.limits.message_size, 1_000_000);
    assert_eq!(config.verify.authserv_id.as_ascii(), "example.org");
    assert!(!config.verify.dkim && !config.verify.dkim_rescues);
    assert_eq!(config.verify.dkim_size, 256 << 10);
}

#[test]
fn what_becomes_of_unproven_mail_follows_from_the_path() {
    let (hold, store) = (PathMode::Hold, PathMode::Store);
    let (to_host, to_maildir) = ("smtp://mail.internal:25", "maildir:/tmp/x");
    for (next_hop, keys, path, when_unproven, shown) in [
        (to_host, "", hold, WhenUnproven::Defer, "defer"),
        (to_host, "path = 'hold'", hold, WhenUnproven::Defer, "defer"),
        (
            to_host,
            "path = 'store'",
            store,
            WhenUnproven::Store,
            "store",
        ),
        (
            to_host,
            "path = 'store'\nwhen-unproven = 'store'",
            store,
            WhenUnproven::Store,
            "store",
        ),
        (
            to_host,
            "path = 'hold'\nwhen-unproven = 'store'",
            hold,
            WhenUnproven::Store,
            "store",
        ),
        (
            to_host,
            "when-unproven = 'defer'",
            hold,
            WhenUnproven::Defer,
            "defer",
        ),
        (to_maildir, "", store, WhenUnproven::Store, "store"),
        (
            to_maildir,
            "path = 'hold'\nwhen-unproven = 'store'",
            store,
            WhenUnproven::Store,
            "store",
        ),
    ] {
        let name = "[domains.\"b.example\"]";
        let loaded = read(&format!(
            "{SMALLEST}{name}\nnext_hop = \"{next_hop}\"\n{keys}\n"
        ));
        let loaded = loaded.unwrap_or_else(|error| panic!("{error}"));
        let to = ForwardPath::parse_inside("a@b.example").unwrap();
        let route = loaded.config.routes().route(&to, false).unwrap();
        let found = (route.path, route.when_unproven);
        assert_eq!(found, (path, when_unproven), "{next_hop} {keys}");
        let mut settings = loaded.settings.iter();
        let setting =
            settings.find(|setting| setting.header == name && setting.key == "when-unproven");
        assert_eq!(setting.unwrap().value, format!("\"{shown}\""), "{keys}");
    }
}

#[test]
fn every_mistake_is_named_at_once() {
    let text = r#"hostname = "mx"
data-dir = "/var/lib/vouchsafe"
[[listen]]
adress = "[::]:25"
[domains."example.org"]
nexthop = "smtp://a"
path = "both"
[relay]
from = [
  "10.0.0.0/7",
  "192.0.2.1/24",
  7,
]
mx_port = 0
[retry]
first = "5x"
expire = 5
servers = []
[tls]
certificate = "/etc/x.pem"
[limit]
"#;
    let expected = r#"v.toml: key "data_dir" is missing; for example data_dir = "/var/lib/vouchsafe"
v.toml:1: "hostname": "mx" is not fully qualified
v.toml:2: unknown key "data-dir"; did you mean "data_dir"?
v.toml:3: key "address" in [[listen]] is missing; for example address = "[::]:25"
v.toml:4: unknown key "adress" in [[listen]]; did you mean "address"?
v.toml:5: key "next_hop" in [domains."example.org"] is missing; for example next_hop = "smtp://mail.internal:25"
v.toml:6: unknown key "nexthop" in [domains."example.org"]; did you mean "next_hop"?
v.toml:7: "path" in [domains."example.org"]: expected "hold" or "store", found "both"
v.toml:10: "from" in [relay]: "10.0.0.0/7" is so wide that this host would be an open relay; the widest is /8
v.toml:11: "from" in [relay]: "192.0.2.1/24" names a host and a network at once; write "192.0.2.0/24" or "192.0.2.1"
v.toml:12: "from" in [relay]: expected a string, found integer
v.toml:14: "mx_port" in [relay]: expected a whole number from 1 to 65535, found 0
v.toml:16: "first" in [retry]: expected a span of time such as "90s", "5m" or "5d", found "5x"
v.toml:17: "expire" in [retry]: expected a span of time such as "90s", "5m" or "5d", found 5
v.toml:18: unknown key "servers" in [retry]; it belongs in [dns]
v.toml:20: "certificate" in [tls]: there is no "key" with it
v.toml:21: unknown key "limit"; did you mean "limits"?"#;
    assert_eq!(wrong(text).join("\n"), expected);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn one_mistake_appended_to_what_is_right() {
    for (tail, told) in [
        (
            "[verify]\ndkim = \"on\"",
            "v.toml:8: \"dkim\" in [verify]: expected true or false, found \"on\"",
        ),
        (
            "[dns]\nservers = [\"localhost\"]",
            "v.toml:8: \"servers\" in [dns]: \"localhost\" is no address of a resolver; write \"127.0.0.1\" or \"[::1]:5353\"",
        ),
        (
            "[retry]\nfirst = \"2h\"",
            "v.toml:8: \"first\" in [retry]: longer than \"longest\", which is 1h",
        ),
        (
            "[retry]\nlongest = \"3h\"",
            "v.toml: \"delay_notice\" in [retry]: with \"longest\" it makes 7h, but every sender must hear within 6h",
        ),
        (
            "[retry]\nexpire = \"3h\"",
            "v.toml: \"delay_notice\" in [retry]: not before \"expire\", which is 3h",
        ),
        (
            "[retry]\nexpire = \"60d\"",
            "v.toml:8: \"expire\" in [retry]: must be from 10ms to 30d, found \"60d\"",
        ),
        (
            "[limits]\nmessage_size = \"1 KiB\"",
            "v.toml:8: \"message_size\" in [limits]: must be from 64 KiB to 1 TiB, found \"1 KiB\"",
        ),
        (
            "[limits]\nsessions = 10",
            "v.toml: \"sessions_per_client\" in [limits]: more than \"sessions\", which is 10",
        ),
        (
            "[limits]\nrecipients = 50",
            "v.toml:8: \"recipients\" in [limits]: expected a whole number from 100 to 1000, found 50",
        ),
        (
            "[relay]\nnext_hop = \"maildir:/tmp/x\"",
            "v.toml:8: \"next_hop\" in [relay]: maildir:/tmp/x takes mail for local mailboxes only; write smtp://host:port",
        ),
        (
            "[relay]\nnext_hop = \"smtp://127.0.0.1\"",
            "v.toml:8: \"next_hop\" in [relay]: smtp://127.0.0.1:25 is where this host listens: mail would go round in a loop",
        ),
        (
            "[relay]\nfrom = \"127.0.0.1\"",
            "v.toml:8: \"from\" in [relay]: expected a list in [ ], found string",
        ),
        (
            "[domains.\"a.example\"]\nnext_hop = \"smtp://MX.example.org:25\"",
            "v.toml:8: \"next_hop\" in [domains.\"a.example\"]: smtp://MX.example.org:25 is where this host listens: mail would go round in a loop",
        ),
        (
            "[domains.\"EXAMPLE.ORG\"]\nnext_hop = \"smtp://a.example\"",
            "v.toml:7: [domains.\"EXAMPLE.ORG\"]: this domain stands twice",
        ),
        (
            "[domains.\"a b.example\"]\nnext_hop = \"smtp://a.example\"",
            "v.toml:7: [domains.\"a b.example\"]: \"a b.example\" is no domain name: character at octet 1 does not belong in a domain",
        ),
        (
            "[domains.\"b.example\"]\nnext_hop = \"maildir:/no/such/folder\"",
            "v.toml:8: \"next_hop\" in [domains.\"b.example\"]: the parent of /no/such/folder is not there",
        ),
        (
            "[domains.\"b.example\"]\nnext_hop = \"smtp://a.example\"\npath = \"store\"\nwhen-unproven = \"defer\"",
            "v.toml:10: \"when-unproven\" in [domains.\"b.example\"]: \"defer\" has no meaning with path = \"store\": every message is stored before the next hop is asked; write path = \"hold\" or when-unproven = \"store\"",
        ),
        (
            "[domains.\"b.example\"]\nwhen-unproven = \"defer\"\nnext_hop = \"maildir:/tmp/x\"",
            "v.toml:8: \"when-unproven\" in [domains.\"b.example\"]: \"defer\" has no meaning with a maildir: as \"next_hop\": every message is stored before the next hop is asked; write when-unproven = \"store\"",
        ),
        (
            "[domains.\"b.example\"]\nnext_hop = \"smtp://a.example\"\nwhen-unproven = \"reject\"",
            "v.toml:9: \"when-unproven\" in [domains.\"b.example\"]: expected \"defer\" or \"store\", found \"reject\"",
        ),
        (
            "[domains.\"b.example\"]\nnext_hop = \"smtp://a.example\"\nwhen_unproven = \"store\"",
            "v.toml:9: unknown key \"when_unproven\" in [domains.\"b.example\"]; did you mean \"when-unproven\"?",
        ),
        (
            "[domains.b.example]\nnext_hop = \"smtp://a.example\"",
            "v.toml:7: a domain needs quotes: [domains.\"b.example\"]",
        ),
        (
            "[[listen]]\naddress = \"[::]:25\"",
            "v.toml:8: [[listen]]: [::]:25 stands twice",
        ),
        (
            "[[listen]]\naddress = \"[::]:26\"\nproxy = true",
            "v.toml:9: \"proxy\" in [[listen]]: there is no \"proxies\" in [perimeter], so nobody could connect",
        ),
        (
            "[perimeter]\nxclient = [\"0.0.0.0/0\"]",
            "v.toml:8: \"xclient\" in [perimeter]: \"0.0.0.0/0\" is so wide that this host would be an open relay; the widest is /8",
        ),
        (
            "[[listen]]\naddress = \"localhost:25\"",
            "v.toml:8: \"address\" in [[listen]]: \"localhost:25\" is not an address and a port; write \"192.0.2.1:25\" or \"[::]:25\"",
        ),
        (
            "[perimeter]\nhosts = [\"mx2\", \"1.2.3.400\"]",
            "v.toml:8: \"hosts\" in [perimeter]: \"1.2.3.400\" is neither an address nor a network",
        ),
        (
            "[log]\nlevel = \"loud\"",
            "v.toml:8: \"level\" in [log]: expected \"error\" or \"warn\" or \"info\" or \"debug\" or \"trace\", found \"loud\"",
        ),
        (
            "[metrics]\naddress = 9925",
            "v.toml:8: \"address\" in [metrics]: expected a string, found integer",
        ),
        (
            "[[log]]\nlevel = \"info\"",
            "v.toml:7: \"log\" is a table; write [log], not array",
        ),
        (
            "[tls]\ncertificate = \"tls.pem\"\nkey = \"/k\"",
            "v.toml:8: \"certificate\" in [tls]: \"tls.pem\" is not a path from the root",
        ),
    ] {
        let text = format!("{SMALLEST}{tail}\n");
        let found = wrong(&text);
        assert!(found.iter().any(|line| line == told), "{tail}\n{found:#?}");
    }
}

#[test]
fn what_is_missing_altogether_is_named() {
    assert_eq!(
        wrong(""),
        [
            "v.toml: key \"data_dir\" is missing; for example data_dir = \"/var/lib/vouchsafe\"",
            "v.toml: key \"hostname\" is missing; for example hostname = \"mx.example.org\"",
            "v.toml: neither [domains.\"...\"] nor \"from\" in [relay]: every recipient would be refused",
            "v.toml: no [[listen]]: nothing would ever be received; for example [[listen]] address = \"[::]:25\"",
        ]
    );
    let relay_only = r#"hostname = "mx.example.org"
data_dir = "/tmp/vouchsafe"
listen = [{ address = "[::]:25" }]
relay.from = ["127.0.0.1"]
"#;
    assert_eq!(right(relay_only).postmaster, None);
    let named = right(&format!("postmaster = \"root@example.org\"\n{relay_only}"));
    assert_eq!(named.postmaster, mailbox("root@example.org"));
}

#[test]
fn lines_that_are_no_toml_are_named_with_the_other_mistakes() {
    let found =
        wrong("hostname = \"mx.example.org\ndata_dir = 5\nlisten = = 3\n[dns]\nserver = []\n");
    assert_eq!(found.len(), 4, "{found:#?}");
    assert!(found[0].starts_with("v.toml:1: "), "{found:#?}");
    assert_eq!(
        found[1],
        "v.toml:2: \"data_dir\": expected a string, found integer"
    );
    assert!(found[2].starts_with("v.toml:3: "), "{found:#?}");
    assert_eq!(
        found[3],
        "v.toml:5: unknown key \"server\" in [dns]; did you mean \"servers\"?"
    );
}

#[test]
fn certificate_and_key_must_be_a_pair() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (certificate_of_one, key_of_one) = certificate(one.path());
    let (_, key_of_other) = certificate(other.path());
    let with = |certificate: &str, key: &str| {
        format!("{SMALLEST}[tls]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n")
    };
    assert!(right(&with(&certificate_of_one, &key_of_one)).tls.is_some());
    for (certificate, key, told) in [
        (
            certificate_of_one.as_str(),
            key_of_other.as_str(),
            "v.toml:8: \"certificate\" in [tls]: certificate and key cannot be used",
        ),
        (
            certificate_of_one.as_str(),
            "/no/key",
            "v.toml:9: \"key\" in [tls]: cannot read the private key /no/key",
        ),
        (
            "/no/certificate",
            key_of_one.as_str(),
            "v.toml:8: \"certificate\" in [tls]: cannot read the certificate /no/certificate",
        ),
        (
            key_of_one.as_str(),
            key_of_one.as_str(),
            "v.toml:8: \"certificate\" in [tls]: no certificate in ",
        ),
    ] {
        let found = wrong(&with(certificate, key));
        assert!(found.len() == 1 && found[0].starts_with(told), "{found:?}");
    }
}

#[test]
fn the_data_folder_is_found_in_a_file_with_mistakes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("v.toml");
    #[expect(clippy::disallowed_methods, reason = "a file of a test")]
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    write("nonsense = 1\nhostname = 3\ndata_dir = \"/var/lib/v\"\n[tls");
    assert_eq!(super::data_dir(&file).unwrap(), Path::new("/var/lib/v"));
    write("data_dir = 5\n");
    assert!(super::data_dir(&file).is_err());
}

#[test]
fn the_ledger_has_its_writers() {
    let config = right(SMALLEST);
    assert_eq!(config.ledger.address, []);
    assert_eq!(config.ledger.name_servers, [config.hostname]);
    assert!(config.ledger.writers.is_empty());
    let config = right(&format!(
        "{SMALLEST}[ledger]\naddress = [\"[::]:53\"]\npolicy = \"reject\"\n\
         [ledger.writers.\"a.example.org\"]\nsilent_after = \"10m\"\n[ledger.writers.\"b.example.org\"]\n"
    ));
    let writers: Vec<_> = config
        .ledger
        .writers
        .iter()
        .map(|(name, silence)| (name.as_str(), *silence))
        .collect();
    let ten = Some(Duration::from_mins(10));
    assert_eq!(writers, [("a.example.org", ten), ("b.example.org", None)]);
}

/// What such a host sends it enters in its own ledger, and this one would deny it.
#[test]
fn a_host_with_a_ledger_of_its_own_hands_in_what_it_sends_or_is_no_writer() {
    let two =
        format!("{SMALLEST}[ledger]\nname_servers = [\"mx.example.org\", \"mx2.example.org\"]\n");
    let named = |host: &str| format!("[ledger.writers.\"{host}\"]\n");
    let found = wrong(&format!("{two}{}", named("mx2.example.org")));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(
        found[0].contains("mx2.example.org answers by a ledger of its own"),
        "{found:#?}"
    );
    right(&format!(
        "{two}{}silent_after = \"10m\"\n",
        named("mx2.example.org")
    ));
    right(&format!("{two}{}", named("out.example.org")));
    right(&two);
}

#[test]
fn mistakes_about_the_ledger_are_told() {
    let found = wrong(&format!(
        "{SMALLEST}[ledger]\naddress = [\"127.0.0.1:53\", \"127.0.0.1:53\"]\nname_servers = []\nwriter = 1\n\
         [ledger.writers.c.example.org]\n[ledger.writers.\"x\"]\n[ledger.writers.\"d.example\"]\n[ledger.writers.\"D.example\"]\n"
    ));
    let expected = [
        "127.0.0.1:53 stands twice",
        "none: every zone has one",
        "unknown key \"writer\" in [ledger]; did you mean \"writers\"?",
        "a domain needs quotes: [ledger.writers.\"c.example.org\"]",
        "\"x\" is not fully qualified",
        "this host stands twice",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.contains(expected), "{found}");
    }
}
