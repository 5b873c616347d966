//! Arguments to subcommand to exit code; nothing else.

mod clock;

fn main() {
    let _ = clock::now();
}
