//! Takes typed values out of the parsed file and writes down what is wrong, instead of stopping.
//!
//! Types, bounds and defaults come from [`super::keys`]; a default goes through the same reading as
//! what stands in the file. Each value that holds is kept as text, with its line: the first for
//! `config show`, the second for the checks across sections.

use std::ops::Range;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{Kind, Presence, SECTIONS, Section};
use super::nearest::unknown_key;
use super::problem::Problem;
use super::units;

/// One place where a section's keys stand.
#[derive(Clone, Debug)]
pub struct Place<'a> {
    /// Whose keys.
    pub section: &'static Section,
    /// As it is written: `[retry]`, `[domains."example.org"]`; empty for the top.
    pub header: String,
    /// The name, for [`Form::Named`].
    pub name: String,
    /// The line it begins on.
    pub line: Option<usize>,
    table: Option<&'a DeTable<'a>>,
}

impl Place<'_> {
    /// True for a key that stands here, whatever it holds.
    pub fn gives(&self, name: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(name))
    }
}

/// A value that holds, as TOML.
#[derive(Clone, Debug)]
pub struct Setting {
    /// [`Place::header`].
    pub header: String,
    /// The key.
    pub key: &'static str,
    /// The value.
    pub value: String,
    /// Where it stands in the file, if it does.
    pub line: Option<usize>,
}

/// Reads one file.
#[derive(Debug)]
pub struct Reader<'a> {
    text: &'a str,
    /// The file has lines that are no TOML: what seems to be missing may stand on one of them.
    broken: bool,
    /// What is wrong so far.
    pub problems: Vec<Problem>,
    /// What holds so far.
    pub settings: Vec<Setting>,
}

/// A value, and where it stands unless it is a default.
type Value<'a> = (Kind, Spanned<DeValue<'a>>, Option<usize>);

impl<'a> Reader<'a> {
    /// A reader of `text`.
    pub fn new(text: &'a str, broken: bool) -> Self {
        Self {
            text,
            broken,
            problems: Vec::new(),
            settings: Vec::new(),
        }
    }

    /// The line of an octet, from 1.
    pub fn line(&self, span: &Range<usize>) -> usize {
        let before = self.text.as_bytes().iter().take(span.start);
        before
            .filter(|octet| **octet == b'\n')
            .count()
            .saturating_add(1)
    }

    /// Writes a mistake down.
    pub fn problem(&mut self, line: Option<usize>, message: impl Into<String>) {
        self.problems.push(Problem {
            line,
            message: message.into(),
            suggestion: None,
        });
    }

    /// Writes down a mistake in the value of a key.
    fn bad_value(&mut self, place: &Place<'_>, key: &str, line: Option<usize>, why: &str) {
        let message = format!("\"{key}\"{}: {why}", within(&place.header));
        self.problem(line, message);
    }

    /// Writes down that a key which holds does not agree with something else.
    pub fn conflict(&mut self, header: &str, key: &str, why: &str) {
        let line = self
            .settings
            .iter()
            .find(|setting| setting.header == header && setting.key == key)
            .and_then(|setting| setting.line);
        self.problem(line, format!("\"{key}\"{}: {why}", within(header)));
    }

    /// The keys at the top of the file.
    pub fn top(&mut self, table: &'a DeTable<'a>) -> Place<'a> {
        self.place(&super::keys::TOP, String::new(), "", None, Some(table))
    }

    /// The one `[name]`, whether it is there or not.
    pub fn table(&mut self, top: &Place<'a>, section: &'static Section) -> Place<'a> {
        let header = format!("[{}]", section.name);
        let Some((line, value)) = self.entry(top, section.name) else {
            return self.place(section, header, "", None, None);
        };
        let table = value.as_table();
        if table.is_none() && !self.broken {
            let found = value.type_str();
            self.problem(
                Some(line),
                format!(
                    "\"{}\" is a table; write {header}, not {found}",
                    section.name
                ),
            );
        }
        self.place(section, header, "", Some(line), table)
    }

    /// Every `[[name]]`.
    pub fn list(&mut self, top: &Place<'a>, section: &'static Section) -> Vec<Place<'a>> {
        let header = format!("[[{}]]", section.name);
        let Some((line, value)) = self.entry(top, section.name) else {
            return Vec::new();
        };
        let Some(array) = value.as_array() else {
            let found = value.type_str();
            let message = format!(
                "\"{}\" is a list of tables; write {header}, not {found}",
                section.name
            );
            if !self.broken {
                self.problem(Some(line), message);
            }
            return Vec::new();
        };
        let mut places = Vec::new();
        for item in array {
            let line = self.line(&item.span());
            if let Some(table) = item.get_ref().as_table() {
                places.push(self.place(section, header.clone(), "", Some(line), Some(table)));
            } else {
                self.problem(Some(line), format!("expected a table {header}"));
            }
        }
        places
    }

    /// Every `[name."x"]`, in the order of the file.
    pub fn named(&mut self, above: &Place<'a>, section: &'static Section) -> Vec<Place<'a>> {
        let outer = section.name;
        let Some((line, value)) = self.entry(above, section.last_name()) else {
            return Vec::new();
        };
        let Some(table) = value.as_table() else {
            if !self.broken {
                let message = format!("\"{outer}\" holds tables; write [{outer}.\"example.org\"]");
                self.problem(Some(line), message);
            }
            return Vec::new();
        };
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        let mut places = Vec::new();
        for (name, value) in entries {
            let line = self.line(&name.span());
            let name = name.get_ref().as_ref();
            let header = format!("[{outer}.{}]", quote(name));
            let Some(table) = value.get_ref().as_table() else {
                self.problem(Some(line), format!("expected a table {header}"));
                continue;
            };
            if let Some(whole) = unquoted(name, table) {
                let message = format!("a domain needs quotes: [{outer}.{}]", quote(&whole));
                self.problem(Some(line), message);
                continue;
            }
            places.push(self.place(section, header, name, Some(line), Some(table)));
        }
        places
    }

    /// What stands under a key.
    fn entry(&self, above: &Place<'a>, name: &str) -> Option<(usize, &'a DeValue<'a>)> {
        let (key, value) = above.table?.get_key_value(name)?;
        Some((self.line(&key.span()), value.get_ref()))
    }

    /// A place, whose unknown keys are written down.
    fn place(
        &mut self,
        section: &'static Section,
        header: String,
        name: &str,
        line: Option<usize>,
        table: Option<&'a DeTable<'a>>,
    ) -> Place<'a> {
        for key in table.into_iter().flat_map(DeTable::keys) {
            let known = section.keys.iter().any(|known| known.name == key.get_ref())
                || SECTIONS
                    .iter()
                    .any(|known| known.is_within(section) && known.last_name() == key.get_ref());
            if !known {
                let line = self.line(&key.span());
                self.problems
                    .push(unknown_key(section, &header, key.get_ref(), line));
            }
        }
        Place {
            section,
            header,
            name: name.to_owned(),
            line,
            table,
        }
    }

    /// The value of a key or its default; a required key that is missing is written down.
    fn value(&mut self, place: &Place<'a>, name: &'static str) -> Option<Value<'a>> {
        let key = place.section.keys.iter().find(|key| key.name == name)?;
        if let Some(value) = place.table.and_then(|table| table.get(name)) {
            let line = self.line(&value.span());
            return Some((key.kind, value.clone(), Some(line)));
        }
        match key.presence {
            Presence::Default(text) => Some((key.kind, DeValue::parse(text).ok()?, None)),
            Presence::Optional(_) | Presence::Follows { .. } => None,
            Presence::Required(sample) => {
                if !self.broken {
                    let message = format!(
                        "key \"{name}\"{} is missing; for example {name} = {sample}",
                        within(&place.header)
                    );
                    self.problem(place.line, message);
                }
                None
            }
        }
    }

    /// Reads one value with `read`, keeps it if it holds, writes down why if it does not.
    fn take<T>(
        &mut self,
        place: &Place<'a>,
        name: &'static str,
        read: impl FnOnce(Kind, &DeValue<'_>) -> Result<T, String>,
    ) -> Option<T> {
        let (kind, value, line) = self.value(place, name)?;
        match read(kind, value.get_ref()) {
            Ok(taken) => {
                self.keep(&place.header, name, show(value.get_ref()), line);
                Some(taken)
            }
            Err(why) => {
                self.bad_value(place, name, line, &why);
                None
            }
        }
    }

    /// Keeps a value that holds.
    pub fn keep(&mut self, header: &str, key: &'static str, value: String, line: Option<usize>) {
        self.settings.push(Setting {
            header: header.to_owned(),
            key,
            value,
            line,
        });
    }

    /// A string that `parse` understands.
    pub fn text<T>(
        &mut self,
        place: &Place<'a>,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.take(place, name, |_, value| match value.as_str() {
            Some(text) => parse(text),
            None => Err(format!("expected a string, found {}", value.type_str())),
        })
    }

    /// `true` or `false`.
    pub fn switch(&mut self, place: &Place<'a>, name: &'static str) -> Option<bool> {
        self.take(place, name, |_, value| {
            value
                .as_bool()
                .ok_or_else(|| format!("expected true or false, found {}", show(value)))
        })
    }

    /// One of the words the key knows, turned into what it means.
    pub fn word<T>(
        &mut self,
        place: &Place<'a>,
        name: &'static str,
        mean: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        self.take(place, name, |kind, value| {
            let Kind::Word(words) = kind else {
                return Err(not_its_kind());
            };
            value.as_str().and_then(mean).ok_or_else(|| {
                let choice: Vec<_> = words.iter().map(|word| quote(word)).collect();
                format!("expected {}, found {}", choice.join(" or "), show(value))
            })
        })
    }

    /// A list of strings that `parse` understands, each one's mistake on its own line.
    pub fn texts<T>(
        &mut self,
        place: &Place<'a>,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let (_, value, line) = self.value(place, name)?;
        let Some(array) = value.get_ref().as_array() else {
            let found = value.get_ref().type_str();
            let why = format!("expected a list in [ ], found {found}");
            self.bad_value(place, name, line, &why);
            return None;
        };
        let mut all = Vec::new();
        let mut sound = true;
        for item in array {
            let read = match item.get_ref().as_str() {
                Some(text) => parse(text),
                None => Err(format!(
                    "expected a string, found {}",
                    item.get_ref().type_str()
                )),
            };
            match read {
                Ok(taken) => all.push(taken),
                Err(why) => {
                    let line = line.map(|_| self.line(&item.span()));
                    self.bad_value(place, name, line, &why);
                    sound = false;
                }
            }
        }
        if sound {
            self.keep(&place.header, name, show(value.get_ref()), line);
        }
        sound.then_some(all)
    }

    /// A number within the key's bounds.
    pub fn count<T: TryFrom<u64>>(&mut self, place: &Place<'a>, name: &'static str) -> Option<T> {
        self.take(place, name, |kind, value| {
            let Kind::Count(least, most) = kind else {
                return Err(not_its_kind());
            };
            integer(value)
                .filter(|number| (least..=most).contains(number))
                .and_then(|number| T::try_from(number).ok())
                .ok_or_else(|| {
                    format!(
                        "expected a whole number from {least} to {most}, found {}",
                        show(value)
                    )
                })
        })
    }

    /// A span of time within the key's bounds.
    pub fn duration(&mut self, place: &Place<'a>, name: &'static str) -> Option<Duration> {
        self.take(place, name, |kind, value| {
            let Kind::Duration(least, most) = kind else {
                return Err(not_its_kind());
            };
            let span = value
                .as_str()
                .and_then(units::parse_duration)
                .ok_or_else(|| {
                    format!(
                        "expected a span of time such as \"90s\", \"5m\" or \"5d\", found {}",
                        show(value)
                    )
                })?;
            if (least..=most).contains(&span) {
                return Ok(span);
            }
            Err(format!(
                "must be from {} to {}, found {}",
                units::show_duration(least),
                units::show_duration(most),
                show(value)
            ))
        })
    }

    /// An amount of octets within the key's bounds.
    pub fn size(&mut self, place: &Place<'a>, name: &'static str) -> Option<u64> {
        self.take(place, name, |kind, value| {
            let Kind::Size(least, most) = kind else {
                return Err(not_its_kind());
            };
            let octets = integer(value)
                .or_else(|| value.as_str().and_then(units::parse_size))
                .ok_or_else(|| {
                    format!("expected a size such as \"50 MiB\", found {}", show(value))
                })?;
            if (least..=most).contains(&octets) {
                return Ok(octets);
            }
            Err(format!(
                "must be from {} to {}, found {}",
                units::show_size(least),
                units::show_size(most),
                show(value)
            ))
        })
    }
}

/// The name that was meant by `[domains.example.org]`, which is a table within a table.
fn unquoted(name: &str, table: &DeTable<'_>) -> Option<String> {
    let mut only = table.iter();
    let (label, value) = only.next()?;
    let inner = value.get_ref().as_table()?;
    if only.next().is_some() {
        return None;
    }
    let label = label.get_ref();
    let below = unquoted(label, inner).unwrap_or_else(|| label.to_string());
    Some(format!("{name}.{below}"))
}

/// ` in [section]`, or nothing for the top.
pub fn within(header: &str) -> String {
    if header.is_empty() {
        String::new()
    } else {
        format!(" in {header}")
    }
}

/// A reading that does not fit the key's own entry: our mistake, which the tests of every key find.
fn not_its_kind() -> String {
    String::from("is read as something it is not; this is a mistake of ours")
}

/// The number, if it is one and not below zero.
fn integer(value: &DeValue<'_>) -> Option<u64> {
    let integer = value.as_integer()?;
    u64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// The text as a TOML string.
pub fn quote(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// The value as TOML, on one line.
fn show(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => quote(text),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(value) => value.to_string(),
        DeValue::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| show(item.get_ref())).collect();
            format!("[{}]", items.join(", "))
        }
        DeValue::Table(_) => String::from("a table"),
    }
}
