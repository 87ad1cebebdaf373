//! Checkpoints that came, against the entries that come after them.

use super::*;

#[test]
fn an_entry_is_no_older_than_a_checkpoint_without_it_r_log_6() {
    // R-LOG-5
    for is_early in [false, true] {
        let (mut world, alice, bob) = pair(25);
        let early = world.now();
        world.wait(DAY);
        world.check_log(alice);
        let time = if is_early { early } else { world.now() };
        let (kind, statement) = world.revocation(alice, true);
        let index = world.log().append(kind, &statement, time);
        let revoked = world.revoked(index);
        let check = |world: &World| {
            let engine = chancery_engine::Engine::load(&world.disk(alice), world.now()).unwrap();
            verify_revoked(&engine, &world.disk(alice), &revoked).unwrap()
        };
        let expected = if is_early { Err(LogError::OutOfOrder) } else { Ok(()) };
        assert_eq!(check(&world), expected);
        for id in [alice, bob] {
            let size = log_size(&world.disk(id)).unwrap();
            world.sync_log(id);
            // Bob has not heard of the later checkpoint.
            let is_taken = !is_early || id == bob;
            assert_eq!(log_size(&world.disk(id)).unwrap(), size + u64::from(is_taken));
        }
        let refused = Notice::LogInvalid(LogError::OutOfOrder);
        assert_eq!(told(&world, alice, refused), usize::from(is_early));
    }
}
