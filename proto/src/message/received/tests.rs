//! Fields as the mail servers in use write them, and as a forger would like them read.

use alloc::format;
use alloc::string::{String, ToString};

use super::*;

fn run(header: &str) -> Run {
    let mut run = Run::default();
    run.read(header.as_bytes());
    run
}

/// The first client outside `inside`, as `address helo`.
fn found(header: &str, inside: &[&str]) -> Option<String> {
    let is_inside = |address: IpAddr| inside.iter().any(|text| address.to_string() == *text);
    let header = header.replace('\n', "\r\n");
    let outside = run(&format!("{header}\r\n\r\n")).outside_client(is_inside)?;
    let helo = outside.helo.unwrap_or_default();
    Some(format!("{} {helo}", outside.address))
}

/// Server, field, and what is found in it.
const SERVERS: &[(&str, &str, &str)] = &[
    (
        "Postfix",
        "Received: from helo.example (rdns.example [192.0.2.1])\n\t(using TLSv1.3 with cipher \
             X (256/256 bits))\n\t(No client certificate requested)\n\tby mx2.example.net (Postfix) \
             with ESMTPS id 4B1\n\tfor <b@example.org>; Sat, 21 Nov 2026 10:15:00 +0100 (CET)",
        "192.0.2.1 helo.example",
    ),
    (
        "Postfix, address as HELO",
        "Received: from [198.51.100.7] (unknown [192.0.2.1])\n\tby mx2 (Postfix) with SMTP id 1; x",
        "192.0.2.1 [198.51.100.7]",
    ),
    (
        "Postfix, IPv6",
        "Received: from h (unknown [IPv6:2001:db8::1]) by mx2 (Postfix) with ESMTP id 1; x",
        "2001:db8::1 h",
    ),
    (
        "Sendmail",
        "Received: from helo.example (rdns.example [192.0.2.1] (may be forged))\n\tby mx2 \
             (8.17.1/8.17.1) with ESMTPS id 3A (version=TLSv1.3 verify=NO); x",
        "192.0.2.1 helo.example",
    ),
    (
        "Sendmail, ident",
        "Received: from helo.example (IDENT:user@rdns.example [192.0.2.1]) by mx2 (8.9/8.9); x",
        "192.0.2.1 helo.example",
    ),
    (
        "Exim",
        "Received: from rdns.example ([192.0.2.1] helo=helo.example)\n\tby mx2 with esmtps \
             (TLS1.3) tls X\n\t(Exim 4.96)\n\tid 1a-2b\n\tfor b@example.org; x",
        "192.0.2.1 helo.example",
    ),
    (
        "Exim, both names the same",
        "Received: from rdns.example ([192.0.2.1]:4025) by mx2 with smtp (Exim 4.96) id 1; x",
        "192.0.2.1 rdns.example",
    ),
    (
        "Exim, without a name",
        "Received: from [192.0.2.1] (port=4025 helo=helo.example) by mx2 with smtp (Exim) id 1; x",
        "192.0.2.1 helo.example",
    ),
    (
        "Exim, address as HELO",
        "Received: from rdns.example ([192.0.2.1] helo=[198.51.100.7]) by mx2 with smtp id 1; x",
        "192.0.2.1 [198.51.100.7]",
    ),
    (
        "Exim, IPv6",
        "Received: from [2001:db8::1] (helo=h) by mx2 with esmtp (Exim 4.96) id 1; x",
        "2001:db8::1 h",
    ),
    (
        "qmail",
        "Received: (qmail 4711 invoked from network); 21 Nov 2026 09:15:00 -0000\n\
             Received: from unknown (HELO helo.example) (192.0.2.1)\n  by mx2 with SMTP; 21 Nov",
        "192.0.2.1 helo.example",
    ),
    (
        "qmail, ident",
        "Received: from rdns.example (user@192.0.2.1)\n  by mx2 with SMTP; 21 Nov",
        "192.0.2.1 rdns.example",
    ),
    (
        "Exchange",
        "Received: from helo.example (192.0.2.1) by MX2.example.net (10.0.0.2) with Microsoft \
             SMTP\n Server (version=TLS1_2, cipher=X) id 15.20.1; Sat, 21 Nov 2026",
        "192.0.2.1 helo.example",
    ),
    (
        "Exchange, IPv6",
        "Received: from A.example (2001:db8::1) by B.example (2001:db8::2) with Microsoft SMTP \
             Server id 15 via Frontend Transport; x",
        "2001:db8::1 A.example",
    ),
    (
        "Gmail",
        "Received: from helo.example (rdns.example. [192.0.2.1])\n        by mx.google.com with \
             ESMTPS id a-b.1.2026\n        for <b@example.org>\n        (version=TLS1_3); x",
        "192.0.2.1 helo.example",
    ),
    (
        "OpenSMTPD",
        "Received: from helo.example (rdns.example [192.0.2.1])\n\tby mx2 (OpenSMTPD) with \
             ESMTPS id 1b (TLSv1.3:X:256:NO)\n\tfor <b@example.org>;\n\tSat, 21 Nov",
        "192.0.2.1 helo.example",
    ),
    (
        "ourselves",
        "Received: from helo.example ([IPv6:2001:db8::1])\n\tby mx2 with ESMTP\n\tid 1;\n\tSat",
        "2001:db8::1 helo.example",
    ),
];

#[test]
fn every_mail_server_says_whom_it_had_the_message_from() {
    for (server, header, expected) in SERVERS {
        assert_eq!(found(header, &[]).as_deref(), Some(*expected), "{server}");
    }
}

/// One field of Postfix's form.
fn hop(helo: &str, address: &str) -> String {
    format!("Received: from {helo} (unknown [{address}])\n\tby x (Postfix) with ESMTP id 1; x")
}

#[test]
fn the_way_out_goes_from_host_to_host() {
    let (filter, inner) = (hop("localhost", "127.0.0.1"), hop("mx2", "192.0.2.2"));
    let client = hop("client", "198.51.100.7");
    let written = hop("bank", "203.0.113.1");
    let all = format!("{filter}\nX-Scanned: yes\n{inner}\nReceived-SPF: pass\n{client}\n{written}");
    assert_eq!(
        found(&all, &["192.0.2.2"]).as_deref(),
        Some("198.51.100.7 client")
    );
    assert_eq!(found(&all, &[]).as_deref(), Some("192.0.2.2 mx2"));
    let inside = ["192.0.2.2", "198.51.100.7", "203.0.113.1"];
    assert_eq!(found(&all, &inside), None, "all of them ours");
    let broken = format!("{inner}\nFrom: a@b.example\n{client}");
    assert_eq!(found(&broken, &["192.0.2.2"]), None, "not the top any more");
    assert_eq!(found(&format!("Subject: x\n{client}"), &[]), None);
    assert_eq!(found("", &[]), None);
}

#[test]
fn what_can_be_read_in_two_ways_is_not_read() {
    for header in [
        // The client chose the name.
        "Received: from [203.0.113.1] by mx2 with SMTP; x",
        "Received: from x (HELO [203.0.113.1]) by mx2 with SMTP; x",
        "Received: from a (b [203.0.113.1]) (unknown [192.0.2.1]) by mx2 with SMTP; x",
        "Received: from a (b [203.0.113.1]) by mx2 (unknown [192.0.2.1]) by mx2 with SMTP; x",
        "Received: from a b (unknown [192.0.2.1]) by mx2 with SMTP; x",
        "Received: from a) (b [203.0.113.1] (unknown [192.0.2.1]) by mx2 with SMTP; x",
        "Received: from a (unknown [192.0.2.1] by mx2 with SMTP; x",
        "Received: from a (unknown [192.0.2.999]) by mx2 with SMTP; x",
        "Received: from a (unknown [192.0.2.1])",
        "Received: from a; (unknown [192.0.2.1]) by mx2",
        "Received: from \"a (unknown [192.0.2.1]) by mx2",
        "Received:",
        "Received: by mx2 (Postfix, from userid 1000) id 1; x",
        "Received: (from user@localhost) by mx2 (8.17/8.17/Submit) id 1; x",
        "Received: (qmail 4711 invoked by uid 1000); x",
        "Received: from localhost (mx2 [local]) by mx2 (OpenSMTPD) with ESMTPA id 1; x",
        "Received: from user by mx2 with local (Exim 4.96) id 1; x",
        // The host's own users.
        "Received: from home (dsl [198.51.100.7]) by mx2 (Postfix) with ESMTPSA id 1; x",
        "Received: from home ([198.51.100.7]) by mx2 with esmtpsa (Exim 4.96) id 1; x",
        "Received: from lan (pc [10.0.0.7]) by mx2 (Postfix) with ESMTP id 1; x",
        "Received: from lan (pc [IPv6:fd00::7]) by mx2 (Postfix) with ESMTP id 1; x",
        "Received: from nat (pc [100.64.0.1]) by mx2 (Postfix) with ESMTP id 1; x",
    ] {
        assert_eq!(found(header, &[]), None, "{header}");
        // What is behind it was written by nobody knows whom.
        let more = format!("{header}\n{}", hop("bank", "203.0.113.1"));
        assert_eq!(found(&more, &[]), None, "{header}");
    }
    let inside = "Received: from pc (pc [10.0.0.7]) by mx2 (Postfix) with ESMTP id 1; x";
    let outside = hop("client", "198.51.100.7");
    let both = format!("{inside}\n{outside}");
    assert_eq!(
        found(&both, &["10.0.0.7"]).as_deref(),
        Some("198.51.100.7 client")
    );
}

#[test]
fn pieces_make_no_difference_and_memory_is_bounded() {
    let header = format!(
        "{}\n{}\n\nbody",
        hop("mx2", "192.0.2.2"),
        hop("c", "198.51.100.7")
    );
    let header = header.replace('\n', "\r\n");
    for step in 1..header.len() {
        let mut run = Run::default();
        header
            .as_bytes()
            .chunks(step)
            .for_each(|piece| run.read(piece));
        let outside = run.outside_client(|address| address.to_string() == "192.0.2.2");
        assert_eq!(
            outside.map(|it| it.address.to_string()).as_deref(),
            Some("198.51.100.7")
        );
        assert!(run.octets.len() < header.len() + step);
    }
    let mut long = Run::default();
    let hops = hop("mx2", "192.0.2.2").replace('\n', "\r\n");
    for _ in 0..1000 {
        long.read(hops.as_bytes());
        long.read(b"\r\n");
    }
    assert!(long.octets.len() <= MOST_OCTETS);
    assert_eq!(long.outside_client(|_| true), None);
    // A field that is cut off might say more.
    let mut cut = Run::default();
    cut.read(b"Received: from a (unknown [192.0.2.1]) by mx2; x\r\n");
    assert_eq!(cut.outside_client(|_| false), None);
}
