//! Delivery to next hops that others wrote: Postfix's smtp-sink and Dovecot's LMTP server, each in
//! a folder and on a port of its own. The retry schedule waits for them to come up.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::{Bench, LETTER, QUICK};

/// A peer's process, ended when this is dropped.
struct Peer(Child);

impl Peer {
    fn start(program: &str, arguments: &[&str]) -> Self {
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.unwrap_or_else(|error| panic!("{program}: {error}")))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Asked, not killed: Dovecot takes its children along.
        let id = self.0.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &id]).status();
        let _ = self.0.wait();
    }
}

/// True if the peer's programs are there; without them the test says so, and in CI it fails.
fn is_there(peer: &str, programs: &[&str]) -> bool {
    let missing: Vec<_> = programs
        .iter()
        .filter(|program| !Path::new(program).exists())
        .collect();
    if missing.is_empty() {
        return true;
    }
    assert!(
        std::env::var_os("CI").is_none_or(|ci| ci != "true"),
        "{peer} is not installed: {missing:?}"
    );
    println!("left out: delivery to {peer}, which is not installed ({missing:?})");
    false
}

/// Who runs this test: `-un` for the user, `-gn` for the group.
fn id(what: &str) -> String {
    let output = Command::new("id").arg(what).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// All files below a folder, those in hidden folders too.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(listed) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = listed.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                files_below(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

/// Puts so many messages and waits until each has been taken.
async fn all_arrive(bench: &mut Bench, count: usize, to: &[&str]) {
    for _ in 0..count {
        bench.put("a@example.net", to, LETTER).await;
    }
    let mut done = 0;
    while done < count {
        let heard = bench.heard().await;
        if heard.due.is_none() {
            assert_eq!(heard.status(0), "2.0.0", "{}", heard.text(0));
            done += 1;
        } else {
            assert_eq!(heard.status(0), "4.4.1", "{}", heard.text(0));
        }
    }
}

#[tokio::test]
async fn smtp_sink_takes_all() {
    const SINK: &str = "/usr/sbin/smtp-sink";
    if !is_there("Postfix's smtp-sink", &[SINK]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let port = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().port()
    };
    let dump = format!("{}/", folder.path().display());
    let (at, user) = (format!("127.0.0.1:{port}"), id("-un"));
    let _peer = Peer::start(SINK, &["-u", &user, "-d", &dump, &at, "100"]);
    let mut bench = Bench::towards(&format!("smtp://{at}"), QUICK);
    all_arrive(&mut bench, 50, &["b@example.org"]).await;
    let files = files_below(folder.path());
    assert_eq!(files.len(), 50);
    let one = fs::read_to_string(&files[0]).unwrap();
    assert!(one.contains("X-Rcpt-Args: <b@example.org>"), "{one}");
    assert!(one.contains("\n.\n..\nend\n"), "{one}");
}

#[tokio::test]
async fn dovecot_takes_all_by_lmtp() {
    let programs = ["/usr/sbin/dovecot", "/usr/lib/dovecot/lmtp"];
    if !is_there("Dovecot's LMTP server", &programs) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().display();
    let (user, group) = (id("-un"), id("-gn"));
    // Dovecot keeps no mail for the superuser.
    let (owner, owners) = if user == "root" {
        ("nobody", "nogroup")
    } else {
        (user.as_str(), group.as_str())
    };
    for inside in ["", "mail", "home"] {
        let path = folder.path().join(inside);
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    }
    let config = format!(
        "protocols = lmtp\nlisten = 127.0.0.1\nssl = no\nlog_path = {at}/log\n\
         base_dir = {at}/run\nstate_dir = {at}/state\n\
         default_internal_user = {user}\ndefault_login_user = {user}\n\
         default_internal_group = {group}\n\
         first_valid_uid = 0\nfirst_valid_gid = 0\n\
         mail_location = maildir:{at}/mail/%u\nauth_username_format = %Lu\n\
         passdb {{\n  driver = static\n  args = nopassword=y\n}}\n\
         userdb {{\n  driver = static\n\
           args = uid={owner} gid={owners} home={at}/home/%u allow_all_users=yes\n}}\n\
         service anvil {{\n  chroot =\n}}\n\
         service stats {{\n  chroot =\n}}\n\
         service lmtp {{\n  chroot =\n  user = {user}\n\
           unix_listener {at}/lmtp {{\n    mode = 0600\n  }}\n}}\n"
    );
    let file = folder.path().join("dovecot.conf");
    #[expect(
        clippy::disallowed_methods,
        reason = "a peer's configuration, thrown away"
    )]
    fs::write(&file, config).unwrap();
    let file = file.display().to_string();
    let _peer = Peer::start(programs[0], &["-F", "-c", &file]);
    let mut bench = Bench::towards(&format!("lmtp+unix:{at}/lmtp"), QUICK);
    all_arrive(&mut bench, 10, &["b@example.org", "c@example.org"]).await;
    for user in ["b", "c"] {
        let mailbox = folder.path().join(format!("mail/{user}@example.org/new"));
        let files = files_below(&mailbox);
        assert_eq!(files.len(), 10, "in {}", mailbox.display());
        let one = fs::read_to_string(&files[0]).unwrap();
        assert!(one.starts_with("Return-Path: <a@example.net>\n"), "{one}");
        assert!(one.ends_with("\n.\n..\nend\n"), "{one}");
    }
}
