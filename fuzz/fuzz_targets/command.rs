//! Commands: no panic, and every fault has a reply of the 5yz class.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vouchsafe_proto::reply::ReplyClass;
use vouchsafe_proto::smtp::command::Command;

fuzz_target!(|line: &[u8]| {
    match Command::parse(line) {
        Ok(Command::Mail(mail)) => {
            assert!(!mail.reverse_path.to_string().contains(['\r', '\n', '\0']))
        }
        Ok(_) => {}
        Err(error) => assert_eq!(error.reply().class(), ReplyClass::Permanent),
    }
});
