//! Two devices, or five, a bad network and any events: the same runs that the fuzz targets make.
#![cfg(test)]

use std::sync::LazyLock;

use chancery_testkit::Snapshot;
use chancery_testkit::company::Company;
use chancery_testkit::event::{Event, Pair};
use chancery_testkit::five::Five;
use proptest::prelude::*;

static COMPANY: LazyLock<Company> = LazyLock::new(|| Company::found(1));
static FIVE: LazyLock<Snapshot> = LazyLock::new(|| Five::meet(1));

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_the_network_does_each_message_is_heard_once(
        events in proptest::collection::vec(any::<[u8; 4]>(), 0..60),
    ) {
        let mut pair = Pair::new(&COMPANY);
        events.into_iter().map(Event::decode).for_each(|event| pair.apply(event));
        pair.finish();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    /// R-ENGINE-18, R-ENGINE-19, R-ENGINE-20, R-CONTENT-8
    #[test]
    fn whatever_the_network_does_all_five_devices_come_to_have_each_message_once(
        events in proptest::collection::vec(any::<[u8; 4]>(), 0..40),
    ) {
        let mut five = Five::start(&FIVE);
        events.into_iter().map(Event::decode).for_each(|event| five.apply(event));
        five.finish();
    }
}
