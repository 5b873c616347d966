//! SPF over the real DNS: every case of the openspf suite's given half, and every one of our own,
//! through `vouchsafe check` as a process, asking a name server that serves the case's world over
//! UDP and TCP. Where the world is silent, real time runs out.

mod server;
#[path = "../../../../proto/tests/spf/world.rs"]
#[allow(dead_code, reason = "proto's tests use all of it")]
pub mod world;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use serde_json::Value;
use tempfile::TempDir;

use self::server::Server;
use self::world::{Case, Scenario};

/// Checks that run at the same time: most of the silent ones only wait.
const AT_ONCE: usize = 8;

/// How long the resolver tries where nobody answers. Long enough for a busy machine to answer what
/// is answered.
const PATIENCE: &str = "4s";

/// A case with what its check needs.
struct Job<'a> {
    name: String,
    case: &'a Case,
    resolver: String,
}

/// Runs every case of a suite; gives what went wrong, how many cases there are, and how many
/// responses went over TCP.
fn run_suite(path: &Path) -> (Vec<String>, usize, u32) {
    let scenarios: Vec<Scenario> = world::load(path);
    let servers: Vec<Server> = scenarios
        .iter()
        .map(|scenario| Server::start(scenario.world.clone()))
        .collect();
    let mut jobs = Vec::new();
    for (scenario, server) in scenarios.iter().zip(&servers) {
        jobs.extend(scenario.cases.iter().map(|case| Job {
            name: format!("{} / {}", scenario.description, case.name),
            case,
            resolver: server.address().to_string(),
        }));
    }
    let count = jobs.len();
    let folder = TempDir::new().unwrap();
    let config = configuration(&folder);
    let (jobs, wrong) = (Mutex::new(jobs.into_iter()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = jobs.lock().unwrap().next();
                    let Some(job) = next else { return };
                    wrong.lock().unwrap().extend(try_case(&job, &config));
                }
            });
        }
    });
    let over_tcp = servers
        .iter()
        .map(|server| server.over_tcp.load(Ordering::SeqCst))
        .sum();
    (wrong.into_inner().unwrap(), count, over_tcp)
}

/// A configuration whose host name is the one that the cases' explanations are for.
fn configuration(folder: &TempDir) -> PathBuf {
    let file = folder.path().join("vouchsafe.toml");
    let text = format!(
        "hostname = \"receiver.example\"\n\
         data_dir = \"/nonexistent\"\n\
         [[listen]]\n\
         address = \"127.0.0.1:25\"\n\
         [domains.\"receiver.example\"]\n\
         next_hop = \"smtp://127.0.0.1:26\"\n\
         [dns]\n\
         timeout = \"{PATIENCE}\"\n"
    );
    fs::write(&file, text).unwrap();
    file
}

/// Runs a case; gives what is wrong with what comes of it.
fn try_case(job: &Job<'_>, config: &Path) -> Option<String> {
    let Job {
        name,
        case,
        resolver,
    } = job;
    let output = Command::new(env!("CARGO_BIN_EXE_vouchsafe"))
        .arg("check")
        .arg(format!("--config={}", config.display()))
        .arg(format!("--resolver={resolver}"))
        .arg(format!("--ip={}", case.host))
        .arg(format!("--helo={}", case.helo))
        .arg(format!("--mail-from={}", case.mail_from))
        .arg("--format=json")
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let Ok(object) = serde_json::from_str::<Value>(&printed) else {
        let said = String::from_utf8_lossy(&output.stderr);
        return Some(format!("{name}: no JSON: {printed}{said}"));
    };
    let spf = &object["spf"];
    let result = spf["result"].as_str().unwrap_or("?");
    if !case.results.iter().any(|wanted| wanted == result) {
        return Some(format!(
            "{name}: {result} where {:?} is right: {object:#}",
            case.results
        ));
    }
    let wanted = case.explanation.as_deref()?;
    // Where the domain says nothing, the sentence that is ours stands in its place.
    let ours = spf["reason"].as_str();
    let said = spf["explanation"]
        .as_str()
        .filter(|said| Some(*said) != ours);
    let said = said.unwrap_or("DEFAULT");
    (said != wanted).then(|| format!("{name}: says {said:?} where {wanted:?} is right"))
}

#[test]
fn the_given_half_of_the_openspf_suite_holds_over_the_real_dns() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/testdata/spf/rfc7208-given.yml");
    let (wrong, count, _) = run_suite(&path);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(count, 92);
}

#[test]
fn our_own_spf_cases_hold_over_the_real_dns() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/spf");
    let files: BTreeSet<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "yml"))
        .collect();
    let (mut all, mut tcp) = (0, 0);
    for file in files {
        let (wrong, count, over_tcp) = run_suite(&file);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        all += count;
        tcp += over_tcp;
    }
    assert!(all >= 200, "{all} cases");
    assert!(tcp > 0, "nothing went over TCP");
}
