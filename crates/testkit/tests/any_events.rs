//! Two devices, a bad network and any events: the same runs that the fuzz target makes.
#![cfg(test)]

use std::sync::LazyLock;

use chancery_testkit::company::Company;
use chancery_testkit::event::{Event, Pair};
use proptest::prelude::*;

static COMPANY: LazyLock<Company> = LazyLock::new(|| Company::found(1));

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
