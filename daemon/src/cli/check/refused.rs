//! A sender that MAIL would refuse: for programs, what SPF says of it all the same. RFC 7208 §4.3
//! has a result for some of them, such as an address without a local-part. There is no verdict on
//! what can be no reverse-path, and the exit code is that of wrong usage.

use serde_json::{Value, json};
use vouchsafe_proto::verify::spf::{Check, Request, Sender};

use super::evidence::spf_json;
use super::{Command, resolver};
use crate::cli::{Exit, Failure, OrExit};
use crate::config::load;
use crate::verify::{Policy, drive};

/// The object: nothing but SPF, or null in its place where that is off.
pub(super) fn json(command: &Command) -> Result<Value, Failure> {
    let config = match &command.config {
        Some(path) => Some(load(path)?.config),
        None => None,
    };
    let policy = config.as_ref().map_or_else(Policy::default, Policy::of);
    let resolver = resolver(&command.resolvers, config.as_ref())?;
    let text = command.mail_from.as_str();
    let inside = text
        .strip_prefix('<')
        .and_then(|rest| rest.strip_suffix('>'));
    let request = Request {
        sender: Sender::parse(inside.unwrap_or(text)),
        helo: command.helo.clone(),
        client: command.ip,
        receiver: policy.hostname,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .or_exit(Exit::Software)?;
    let report = policy.tests.spf.then(|| {
        let asked = drive(Check::new(request), Some(command.ip), &resolver);
        runtime.block_on(asked)
    });
    Ok(json!({
        "verdict": null,
        "reply": null,
        "spf": report.as_ref().map(spf_json),
    }))
}
