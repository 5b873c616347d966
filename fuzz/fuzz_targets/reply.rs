//! A next hop's replies: the same however split, bounded, and never a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vouchsafe_proto::reply::Reply;
use vouchsafe_proto::smtp::reply_reader::ReplyReader;

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Reply>, bool) {
    let (mut reader, mut replies) = (ReplyReader::default(), Vec::new());
    for mut piece in pieces {
        loop {
            match reader.next(&mut piece) {
                Ok(Some(reply)) => replies.push(reply),
                Ok(None) => break,
                Err(_) => return (replies, false),
            }
        }
        assert!(piece.is_empty());
    }
    (replies, true)
}

fuzz_target!(|input: (u8, &[u8])| {
    let size = usize::from(input.0) + 1;
    let whole = read([input.1].into_iter());
    assert_eq!(whole, read(input.1.chunks(size)));
    for reply in whole.0 {
        assert!((200..600).contains(&reply.code()));
        assert!(!reply.to_string().contains(['\r', '\n', '\0']));
    }
});
