//! A question with the number that tables find it by, reckoned once: a question is looked up in a
//! few of them, and its name is most of what that costs.
//!
//! The number is keyed anew for each resolver, since names are chosen by others, who must not be
//! able to make them fall together.

use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState};

use vouchsafe_proto::dns::{Freshness, Question};

/// Numbers questions.
#[derive(Debug, Default)]
pub struct Filing(RandomState);

/// A question with its number.
#[derive(Clone, Debug)]
pub struct Filed {
    number: u64,
    question: Question,
}

/// How a table hashes what is filed: it takes the number.
pub type ByNumber = BuildHasherDefault<Number>;

/// The number of one thing.
#[derive(Debug, Default)]
pub struct Number(u64);

impl Filing {
    /// Numbers a question, whatever its freshness.
    pub fn file(&self, question: Question) -> Filed {
        let number = self
            .0
            .hash_one((question.name.as_str(), question.kind as u8));
        Filed { number, question }
    }
}

impl Filed {
    /// The question.
    pub const fn question(&self) -> &Question {
        &self.question
    }

    /// The same question, as one that a kept answer will do for.
    pub fn cached(&self) -> Self {
        Self {
            number: self.number,
            question: Question {
                freshness: Freshness::Cached,
                ..self.question.clone()
            },
        }
    }
}

impl PartialEq for Filed {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number && self.question == other.question
    }
}
impl Eq for Filed {}
impl Hash for Filed {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.number);
    }
}

impl Hasher for Number {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, octets: &[u8]) {
        // What is filed writes its number and nothing else.
        for octet in octets {
            self.0 = self.0.rotate_left(8) ^ u64::from(*octet);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

#[cfg(test)]
mod tests {
    use vouchsafe_proto::dns::{Freshness, Name, Question, RecordType};

    use super::{ByNumber, Filing};

    #[test]
    fn a_question_is_found_by_what_it_asks_and_not_by_its_number_alone() {
        let filing = Filing::default();
        let file = |name: &str, kind, freshness| {
            let name = Name::parse(name).expect("a name");
            filing.file(Question {
                name,
                kind,
                freshness,
            })
        };
        let cached = file("a.example", RecordType::A, Freshness::Cached);
        let fresh = file("a.example", RecordType::A, Freshness::Fresh);
        assert_ne!(cached, fresh);
        assert_eq!(cached, fresh.cached());
        let table: std::collections::HashSet<_, ByNumber> = [cached.clone()].into_iter().collect();
        assert!(table.contains(&cached) && !table.contains(&fresh));
        assert!(!table.contains(&file("a.example", RecordType::Mx, Freshness::Cached)));
        assert!(!table.contains(&file("b.example", RecordType::A, Freshness::Cached)));
    }
}
