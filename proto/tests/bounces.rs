//! Bounces of other people's mail systems (`../shared/testdata/dsn`, not a part of this repository): which
//! message they are about is found, and nothing else is taken for one.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use vouchsafe_proto::dsn::recognise::{Bounce, recognise};

fn bounce(message: &[u8]) -> Option<Bounce> {
    recognise(message, false)
}

#[test]
fn measure() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/testdata/dsn"));
    let expected = std::fs::read(folder.join("expected.json")).unwrap();
    let expected: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&expected).unwrap();
    let mut kinds = std::collections::BTreeMap::new();
    let (mut firm, mut found, mut bounces, mut total, mut rc, mut rt, mut wrong) = (0, 0, 0, 0, 0, 0, 0);
    let mut dsnr = (0,0);
    for (name, about) in &expected {
        let message = std::fs::read(folder.join(name)).unwrap();
        let is = bounce(&message);
        let list = |key: &str| -> Vec<String> {
            about[key].as_array().map(|l| l.iter().map(|v| v.as_str().unwrap().to_owned()).collect()).unwrap_or_default()
        };
        if about["is_bounce"] == false {
            if is.is_some() { println!("WRONG {name} {is:?}"); wrong += 1; }
            continue;
        }
        total += 1;
        *kinds.entry(is.as_ref().map(|b| b.sign.as_str())).or_insert(0) += 1;
        if is.is_some() { bounces += 1; } else { println!("NOT {name} firm={}", about["firm"]); }
        let id = is.as_ref().and_then(|b| b.original_message_id.clone());
        let ok = id.as_ref().is_some_and(|id| list("message_id").contains(id));
        if about["firm"] == true {
            firm += 1;
            if ok { found += 1; } else { println!("MISS {name} {id:?} for {:?} {:?}", list("message_id"), is.as_ref().map(|b| b.sign)); }
        } else if id.is_some() && !ok {
            println!("EXTRA {name} {id:?} for {:?}", list("message_id"));
        }
        let got = is.map(|b| b.recipients).unwrap_or_default();
        let lower = |l: Vec<String>| { let mut l: Vec<_> = l.iter().map(|s| s.to_lowercase()).collect(); l.sort(); l.dedup(); l };
        let (want, dsn, got) = (lower(list("recipients")), lower(list("dsn_recipients")), lower(got));
        if !want.is_empty() { rt += 1; if want.iter().all(|w| got.contains(w)) { rc += 1; } else { println!("RCPT {name} {got:?} for {want:?} dsn {dsn:?}"); } }
        if want.iter().all(|w| got.contains(w)) && got.len() > want.len() { println!("MORE {name} {got:?} for {want:?}"); }
        if !dsn.is_empty() { dsnr.1 += 1; if dsn.iter().all(|w| got.contains(w)) { dsnr.0 += 1; } else {println!("DSNR {name} {got:?} for {dsn:?}");} }
    }
    println!("firm {found}/{firm}; bounces {bounces}/{total}; wrong {wrong}; recipients {rc}/{rt}; dsn {dsnr:?}; {kinds:?}");
}
