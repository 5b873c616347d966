//! An event as a line of text.
//!
//! The line is that of tracing-subscriber's own format without colours and targets, as scripts know it,
//! made in a third of the steps: a busy host says one for each message. The date is made once a second,
//! and what is fixed is copied and not formatted. A test holds both formats together. In one thing this
//! one is stricter: nothing in the message itself can end the line either.

use std::cell::Cell;
use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;
use vouchsafe_proto::time::Wall;

use crate::clock;

/// Lines of text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text;

impl<S, N> FormatEvent<S, N> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut into: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        write_moment(&mut into)?;
        into.write_str(word(*event.metadata().level()))?;
        if let Some(scope) = ctx.event_scope() {
            for span in scope.from_root() {
                into.write_str(span.name())?;
                if let Some(fields) = span.extensions().get::<FormattedFields<N>>()
                    && !fields.is_empty()
                {
                    into.write_char('{')?;
                    into.write_str(&fields.fields)?;
                    into.write_char('}')?;
                }
                into.write_char(':')?;
            }
            into.write_char(' ')?;
        }
        let mut fields = Fields {
            into: &mut into,
            first: true,
            written: Ok(()),
        };
        event.record(&mut fields);
        fields.written?;
        into.write_char('\n')
    }
}

/// The level, in five columns.
const fn word(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR ",
        Level::WARN => " WARN ",
        Level::INFO => " INFO ",
        Level::DEBUG => "DEBUG ",
        Level::TRACE => "TRACE ",
    }
}

/// Octets of `2026-11-21T10:15:00`.
const DATE: usize = 19;

thread_local! {
    /// The second that this thread wrote last, and its date.
    static SECOND: Cell<(u64, [u8; DATE])> = const { Cell::new((0, *b"1970-01-01T00:00:00")) };
}

/// `2026-11-21T10:15:00.000000Z` and a blank.
fn write_moment(into: &mut Writer<'_>) -> fmt::Result {
    let now = clock::since_1970();
    let (second, mut micros) = (now.as_secs(), now.subsec_micros());
    let mut known = SECOND.get();
    if known.0 != second {
        let text = Wall::from_secs(second).to_string();
        // A clock beyond the calendar is told as it is.
        let Some(date) = text.as_bytes().first_chunk() else {
            return write!(into, "{text} ");
        };
        known = (second, *date);
        SECOND.set(known);
    }
    let mut moment = *b"0000-00-00T00:00:00.000000Z ";
    let (date, rest) = moment.split_at_mut(DATE);
    date.copy_from_slice(&known.1);
    for digit in rest.iter_mut().skip(1).take(6).rev() {
        *digit = b'0' | u8::try_from(micros % 10).unwrap_or(0);
        micros /= 10;
    }
    into.write_str(std::str::from_utf8(&moment).unwrap_or_default())
}

/// Writes an event's fields: the message as it is, all others with their names.
struct Fields<'a, 'b> {
    into: &'a mut Writer<'b>,
    first: bool,
    written: fmt::Result,
}

impl Fields<'_, '_> {
    /// Writes a field.
    fn write(&mut self, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
        let name = field.name();
        // What the `log` crate's events carry besides; it is said already.
        if name.starts_with("log.") {
            return Ok(());
        }
        if !std::mem::take(&mut self.first) {
            self.into.write_char(' ')?;
        }
        if name == "message" {
            return write!(Plain(self.into), "{value:?}");
        }
        self.into
            .write_str(name.strip_prefix("r#").unwrap_or(name))?;
        self.into.write_char('=')?;
        write!(self.into, "{value:?}")
    }
}

impl Visit for Fields<'_, '_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if self.written.is_ok() {
            self.written = self.write(field, value);
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.record_debug(field, &format_args!("{value}"));
        } else {
            self.record_debug(field, &value);
        }
    }
}

/// Escapes whatever could end a line or move a terminal's cursor.
struct Plain<'a, 'b>(&'a mut Writer<'b>);

impl fmt::Write for Plain<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if !text.contains(char::is_control) {
            return self.0.write_str(text);
        }
        for character in text.chars() {
            if character.is_control() {
                write!(self.0, "{}", character.escape_unicode())?;
            } else {
                self.0.write_char(character)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing::{debug, error, info, info_span, warn};
    use tracing_subscriber::prelude::*;

    use super::*;
    use crate::log::{Joined, Peer};

    /// Keeps what is written.
    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Page {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(octets);
            Ok(octets.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines of `say` in this format.
    macro_rules! lines {
        ($format:expr, $say:expr) => {{
            let page = Page::default();
            let writer = page.clone();
            let layer = tracing_subscriber::fmt::layer()
                .with_writer(move || writer.clone())
                .with_ansi(false)
                .with_target(false);
            let subscriber = tracing_subscriber::registry().with($format(layer));
            tracing::subscriber::with_default(subscriber, $say);
            let octets = page.0.lock().unwrap().clone();
            String::from_utf8(octets).unwrap()
        }};
    }

    fn say() {
        info!("ready");
        info!(version = "1.2 \"x\"", count = 7_u64, "starts");
        let span = info_span!("session", session = 3, client = %"192.0.2.1");
        span.in_scope(|| {
            warn!(status = %Peer("550 no\r\n"), to = %Joined(&["a", "b"]), size = -1_i64, ok = true, "refused");
            info_span!("inner").in_scope(|| debug!(seen = ?Some("x"), r#type = 1));
            info_span!("inner", a = 1).in_scope(|| error!(error = %io::Error::other("why"), "{} {}", 1, 2));
        });
    }

    /// A line behind its moment.
    fn behind_moment(line: &str) -> &str {
        let (moment, rest) = line.split_once(' ').unwrap();
        assert_eq!(moment.len(), 27, "{line}");
        let digits = moment.bytes().filter(u8::is_ascii_digit).count();
        assert_eq!((digits, &moment[10..11], &moment[19..20]), (20, "T", "."));
        assert!(moment.ends_with('Z'), "{line}");
        rest
    }

    #[test]
    fn lines_are_those_of_the_library() {
        let ours = lines!(
            |layer: tracing_subscriber::fmt::Layer<_, _, _, _>| layer.event_format(Text),
            say
        );
        let theirs = lines!(|layer| layer, say);
        assert_eq!(ours.lines().count(), 5);
        for (ours, theirs) in ours.lines().zip(theirs.lines()) {
            assert_eq!(behind_moment(ours), behind_moment(theirs));
        }
        assert!(
            ours.contains(" INFO starts version=\"1.2 \\\"x\\\"\" count=7\n"),
            "{ours}"
        );
    }

    #[test]
    fn no_message_ends_its_line() {
        let hostile = "a\nb\u{1b}[2J\u{9b}é";
        let ours = lines!(
            |layer: tracing_subscriber::fmt::Layer<_, _, _, _>| layer.event_format(Text),
            || info!("{hostile}")
        );
        assert!(
            ours.ends_with(" INFO a\\u{a}b\\u{1b}[2J\\u{9b}é\n"),
            "{ours}"
        );
    }
}
