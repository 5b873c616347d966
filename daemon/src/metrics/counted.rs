//! Figures with labels, whose values are all known: each exists from the start, and no other can
//! come to be.

use std::collections::BTreeMap;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// A label and all the values it can have.
type Label = (&'static str, &'static [&'static str]);

/// Counters, one for each value of a label, or for each pair of values of two.
#[derive(Debug)]
pub struct Counted<const N: usize>(BTreeMap<[&'static str; N], Counter>);

impl<const N: usize> Counted<N> {
    /// All of them at nought, registered under a name.
    pub(super) fn new(registry: &mut Registry, name: &str, help: &str, labels: [Label; N]) -> Self {
        let family = Family::<[(&'static str, &'static str); N], Counter>::default();
        registry.register(name, help, family.clone());
        let mut all = vec![[""; N]];
        for (at, (_, values)) in labels.iter().enumerate() {
            let longer = all.iter().flat_map(|begun| {
                values.iter().map(move |value| {
                    let mut next = *begun;
                    if let Some(place) = next.get_mut(at) {
                        *place = value;
                    }
                    next
                })
            });
            all = longer.collect();
        }
        let counters = all.into_iter().map(|values| {
            let mut set = labels.map(|(key, _)| (key, ""));
            for (pair, value) in set.iter_mut().zip(values) {
                pair.1 = value;
            }
            (values, family.get_or_create_owned(&set))
        });
        Self(counters.collect())
    }

    /// One more.
    pub fn count(&self, values: [&'static str; N]) {
        if let Some(counter) = self.of(values) {
            counter.inc();
        }
    }

    /// So many more.
    pub fn count_all(&self, values: [&'static str; N], more: u64) {
        if let Some(counter) = self.of(values) {
            counter.inc_by(more);
        }
    }

    /// One of them; none for a value that is not on the list, which would be a fault of ours.
    pub(super) fn of(&self, values: [&'static str; N]) -> Option<&Counter> {
        let found = self.0.get(&values);
        debug_assert!(found.is_some(), "{values:?} is not on the list");
        found
    }
}

/// Gauges, one for each value of a label.
#[derive(Debug)]
pub struct Measured(BTreeMap<&'static str, Gauge>);

impl Measured {
    /// Registered under a name.
    pub(super) fn new(registry: &mut Registry, name: &str, help: &str, label: Label) -> Self {
        let family = Family::<[(&'static str, &'static str); 1], Gauge>::default();
        registry.register(name, help, family.clone());
        Self::of_family(&family, label)
    }

    /// The same in bytes.
    pub(super) fn in_bytes(registry: &mut Registry, name: &str, help: &str, label: Label) -> Self {
        let family = Family::<[(&'static str, &'static str); 1], Gauge>::default();
        registry.register_with_unit(name, help, Unit::Bytes, family.clone());
        Self::of_family(&family, label)
    }

    fn of_family(
        family: &Family<[(&'static str, &'static str); 1], Gauge>,
        (key, values): Label,
    ) -> Self {
        let gauges = values
            .iter()
            .map(|value| (*value, family.get_or_create_owned(&[(key, *value)])));
        Self(gauges.collect())
    }

    /// Sets one of them.
    pub(super) fn set(&self, value: &str, to: usize) {
        if let Some(gauge) = self.0.get(value) {
            gauge.set(i64::try_from(to).unwrap_or(i64::MAX));
        }
    }
}
