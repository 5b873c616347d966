//! `config check` and `config show`, as a postmaster meets them.

use crate::cli::{configuration, texts, vouchsafe};

#[test]
fn what_is_right_is_said_in_a_line() {
    let (_folder, file) = configuration("[relay]\nfrom = [\"127.0.0.0/8\"]\n");
    let output = vouchsafe(&["config", "check", "--config", &file]);
    let (out, err) = texts(&output);
    assert_eq!(output.status.code(), Some(0), "{err}");
    assert_eq!(
        out,
        format!(
            "{file}: mx.example.org is right, listens at 127.0.0.1:0, 1 local domain, relays for 1 \
             network\n"
        )
    );
}

#[test]
fn every_mistake_is_named_with_file_and_line_and_78() {
    let (_folder, file) = configuration("nexthop = \"x\"\n[retry]\nfirst = 5\n");
    let output = vouchsafe(&["config", "check", "--config", &file]);
    let (out, err) = texts(&output);
    assert_eq!((output.status.code(), out.as_str()), (Some(78), ""));
    let expected = format!(
        "{file}:7: unknown key \"nexthop\" in [domains.\"example.org\"]; did you mean \
         \"next_hop\"?\n{file}:9: \"first\" in [retry]: expected a span of time such as \"90s\", \
         \"5m\" or \"5d\", found 5\n"
    );
    assert_eq!(err, expected);

    let json = vouchsafe(&["config", "check", "--config", &file, "--format", "json"]);
    assert_eq!(json.status.code(), Some(78));
    let report: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(report["right"], false);
    assert_eq!(report["problems"][0]["line"], 7);
    assert_eq!(report["problems"][0]["suggestion"], "next_hop");
    assert_eq!(report["problems"][1]["line"], 9);
}

#[test]
fn a_file_that_is_not_there_ends_with_66() {
    let output = vouchsafe(&["config", "check", "--config", "/no/such/file"]);
    assert_eq!(output.status.code(), Some(66));
    assert!(texts(&output).1.contains("cannot read /no/such/file"));
}

#[test]
fn what_holds_is_shown_with_its_defaults_and_passes_the_check() {
    let (folder, file) = configuration("");
    let output = vouchsafe(&["config", "show", "--config", &file]);
    let (out, _) = texts(&output);
    for part in [
        "postmaster = \"postmaster@example.org\"\n",
        "[limits]\nmessage_size = \"50 MiB\"\n",
        "[domains.\"example.org\"]\nnext_hop = \"smtp://192.0.2.1:25\"\npath = \"hold\"\n\
         when-unproven = \"defer\"\n",
    ] {
        assert!(out.contains(part), "{part} in {out}");
    }
    let again = folder.path().join("again.toml");
    crate::cli::write(&again, &out);
    let output = vouchsafe(&["config", "check", "--config", again.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", texts(&output).1);
}
