//! What waits for the log or the directory, and what becomes of it.

use chancery_engine::unaddressed;

use super::*;

#[test]
fn a_letter_that_waits_for_somebody_who_is_ended_has_failed_r_engine_35() {
    for ended in [true, false] {
        let (mut world, alice, bob) = pair(26);
        // The log is ahead of the directory: the letter waits for the entry.
        let newer = world.sign_newer_entry(bob);
        world.commit_to(&newer);
        world.sync_log(alice);
        let id = world.say_by_name(alice, "bob", "waits for the entry");
        assert_eq!(unaddressed(&world.disk(alice)).unwrap().len(), 1, "the control");
        if ended {
            world.revoke(bob, true);
        }
        world.sync_log(alice);
        assert_eq!(unaddressed(&world.disk(alice)).unwrap().len(), usize::from(!ended));
        if ended {
            assert_eq!(world.state(alice, id), chancery_engine::MessageState::Failed as u32);
            assert_eq!(world.history(alice, bob).last().unwrap(), "waits for the entry");
        }
    }
}
