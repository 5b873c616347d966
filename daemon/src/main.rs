//! Arguments to subcommand to exit code; nothing else.

mod clock;
mod dns;

fn main() {
    let _ = clock::now();
}
