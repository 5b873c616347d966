//! XCLIENT and XFORWARD: any arguments. What is taken can stand in a log, and a fault has its reply.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vouchsafe_proto::smtp::command::Command;
use vouchsafe_proto::smtp::on_behalf::OnBehalf;

fn look_at(said: OnBehalf) {
    if let Some(address) = said.address.value() {
        assert_eq!(address, address.to_canonical());
    }
    if let Some(helo) = said.helo.value() {
        assert!(!helo.is_empty());
        assert!(!helo.chars().any(|c| c.is_control() || c.is_whitespace()));
    }
}

fuzz_target!(|argument: &[u8]| {
    for verb in ["XCLIENT ", "xforward\t"] {
        let line = [verb.as_bytes(), argument].concat();
        match Command::parse(&line) {
            Ok(Command::XClient(said) | Command::XForward(said)) => look_at(said),
            Ok(other) => panic!("{other:?}"),
            Err(error) => assert_eq!(error.reply().code() / 100, 5),
        }
    }
});
