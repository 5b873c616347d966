//! What a postmaster probably meant by a key that does not exist.

use super::keys::{SECTIONS, Section};
use super::problem::Problem;
use super::read::{quote, within};

/// The mistake of a key that does not exist here, with the key that was probably meant.
pub fn unknown_key(section: &Section, header: &str, found: &str, line: usize) -> Problem {
    let here = section.keys.iter().map(|key| key.name);
    let tables = SECTIONS
        .iter()
        .filter(|known| known.is_within(section))
        .map(|section| section.last_name());
    let suggestion = nearest(found, here.chain(tables));
    let mut message = format!("unknown key {}{}", quote(found), within(header));
    if suggestion.is_none()
        && let Some(home) = SECTIONS
            .iter()
            .find(|section| section.keys.iter().any(|key| key.name == found))
    {
        message.push_str("; it belongs ");
        message.push_str(&home.place());
    }
    Problem {
        line: Some(line),
        message,
        suggestion: suggestion.map(str::to_owned),
    }
}

/// The name most like `found`, if one is like it.
fn nearest<'n>(found: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let plain = |text: &str| text.to_lowercase().replace(['-', '_', ' '], "");
    let found = plain(found);
    names
        .map(|name| (strsim::damerau_levenshtein(&found, &plain(name)), name))
        .min_by_key(|(distance, _)| *distance)
        // A third of the letters may differ; beyond that, a guess misleads.
        .filter(|(distance, name)| distance.saturating_mul(3) <= name.len().max(found.len()))
        .map(|(_, name)| name)
}
