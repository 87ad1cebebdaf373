//! Administrators at work in one folder.
#![allow(clippy::arithmetic_side_effects, reason = "a test that goes wrong may panic")]

use std::time::Duration;

use chancery_crypto::secret::Secret;
use chancery_wire::proto::PolicyBody;
use chancery_wire::{Limit, decode};

use super::*;
use crate::organisation::found;

const DAY: Duration = Duration::from_secs(86_400);

fn key() -> KeySource {
    KeySource::KeyFile(Secret::from_bytes([7; 32]))
}

#[test]
fn of_two_policies_at_once_the_second_changes_what_the_first_has_signed_r_org_60() {
    let (folder, key) = (tempfile::tempdir().unwrap(), key());
    let dir = folder.path().join("org");
    found(&dir, "Acme", &key).unwrap();
    let [ann, ben] = ["ann", "ben"].map(|actor| Administrator::open(&dir, &key, Some(actor)).unwrap());
    let with = SignedWith { file: None, key: &key };
    // Both have read the same policy before either signs.
    assert_eq!(ann.policy().unwrap(), ben.policy().unwrap());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for days in 1..=5 {
                ann.change_policy(with, |mut policy| {
                    policy.freshness = DAY * days;
                    Ok(policy)
                })
                .unwrap();
            }
        });
        for days in 1..=5 {
            ben.change_policy(with, |mut policy| {
                policy.retention = Some(DAY * days);
                Ok(policy)
            })
            .unwrap();
        }
    });
    let policy = ann.policy().unwrap();
    assert_eq!((policy.freshness, policy.retention), (DAY * 5, Some(DAY * 5)));
    let (before, after) = ben
        .change_policy(with, |mut policy| {
            policy.may_export = false;
            Ok(policy)
        })
        .unwrap();
    assert_eq!((before, after.may_export, after.freshness), (policy, false, DAY * 5));
    let mut last = 0;
    for queued in ann.read(Desk::queued_statements).unwrap() {
        if queued.kind == LeafKind::Policy {
            let body: PolicyBody = decode(&queued.statement.body, Limit::STATEMENT).unwrap().into_unchecked();
            assert_eq!(body.sequence, last + 1, "one sequence, without gap or repetition");
            last = body.sequence;
        }
    }
    assert_eq!(last, 11);
}
