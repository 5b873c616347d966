//! What is known by question: the few answers of one check, looked up again and again as it walks.
//!
//! A sorted list, since a check rests on five answers as a rule and on some two hundred at most: one
//! piece of memory that grows with them, and no key made to look one up.

use alloc::vec::Vec;
use core::cmp::Ordering;

use crate::dns::{Name, RecordType};

/// Things by the question that they came of.
#[derive(Debug)]
pub(in crate::verify) struct ByQuestion<T>(Vec<(Name, RecordType, T)>);

impl<T> Default for ByQuestion<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> ByQuestion<T> {
    /// Files a thing, in place of what was filed there.
    pub(in crate::verify) fn insert(&mut self, name: Name, kind: RecordType, thing: T) {
        match self.place(&name, kind) {
            Ok(place) => {
                if let Some(there) = self.0.get_mut(place) {
                    there.2 = thing;
                }
            }
            Err(place) => self.0.insert(place, (name, kind, thing)),
        }
    }

    /// What was filed there.
    pub(in crate::verify) fn get(&self, name: &Name, kind: RecordType) -> Option<&T> {
        let place = self.place(name, kind).ok()?;
        self.0.get(place).map(|(_, _, thing)| thing)
    }

    /// All of it, in no order that means anything.
    pub(in crate::verify) fn values(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|(_, _, thing)| thing)
    }

    /// Keeps what is to be kept.
    pub(in crate::verify) fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        self.0.retain(|(_, _, thing)| keep(thing));
    }

    /// Where it is, or belongs. The length tells most names apart, and is at hand.
    fn place(&self, name: &Name, kind: RecordType) -> Result<usize, usize> {
        self.0.binary_search_by(|(own, own_kind, _)| {
            let (own, name) = (own.as_str(), name.as_str());
            let length = own.len().cmp(&name.len());
            let kinds = || own_kind.cmp(&kind);
            length
                .then_with(kinds)
                .then_with(|| -> Ordering { own.cmp(name) })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::ByQuestion;
    use crate::dns::{Name, RecordType};

    #[test]
    fn each_is_found_by_name_and_type_and_the_new_takes_the_place_of_the_old() {
        let mut known = ByQuestion::default();
        let names = ["b.example", "a.example", "example", "aa.example", ""];
        let names = names.map(|name| Name::parse(name).unwrap());
        for round in [0, 10] {
            for (at, name) in names.iter().enumerate() {
                known.insert(name.clone(), RecordType::Mx, round + at);
                known.insert(name.clone(), RecordType::A, round + at + 100);
            }
        }
        for (at, name) in names.iter().enumerate() {
            assert_eq!(known.get(name, RecordType::Mx), Some(&(10 + at)));
            assert_eq!(known.get(name, RecordType::A), Some(&(110 + at)));
            assert_eq!(known.get(name, RecordType::Txt), None);
        }
        known.retain(|number| *number < 100);
        assert_eq!(known.values().sum::<usize>(), 10 + 11 + 12 + 13 + 14);
    }
}
