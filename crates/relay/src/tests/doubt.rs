//! A clock that is years ahead, and how a relay that was off for long comes back.

use core::time::Duration;

use chancery_identity::log::LeafKind;
use chancery_identity::{Capabilities, LogError, MemberId};
use chancery_wire::{RefusalCode, Timestamp, proto};
use proto::relay_frame::Body;

use super::world::{Device, END, World, append};
use crate::StartError;

const DAY: Duration = Duration::from_secs(24 * 3_600);
const HOUR_MS: u64 = 3_600_000;

/// Logs in on a connection of its own as a device whose clock says `time`.
fn login(world: &mut World, device: &Device, time: Timestamp) -> Body {
    let connection = world.open();
    world.try_login_at(connection, device, time.as_millis())
}

fn is_unavailable(body: &Body) -> bool {
    let code = RefusalCode::Unavailable.code();
    matches!(body, Body::Refused(refused) if refused.code == code && refused.retry_after_ms > 0)
}

#[test]
fn no_checkpoint_is_past_the_end_of_all_issuers_r_log_16_r_relay_68() {
    let mut world = World::new();
    let before = world.checkpoint();
    assert!(before.time() < Timestamp::from_millis(END), "the control");
    world.now = Timestamp::from_millis(END).after(DAY.saturating_mul(25_000));
    world.wait(DAY);
    let capped = world.checkpoint();
    assert_eq!(capped.time(), Timestamp::from_millis(END - 1));
    world.wait(DAY);
    assert_eq!(world.checkpoint().time(), capped.time(), "nothing later is left to sign");
}

#[test]
fn issuers_still_work_when_a_doubted_clock_is_right_again_r_relay_68_r_relay_77() {
    let mut world = World::new();
    let desk = world.desk();
    let desks = world.login(&desk);
    let held = append(LeafKind::Credential, &world.member(1).credential);
    let new = world.unlogged(7, MemberId::new([7; 16]), Capabilities::MEMBER, END);
    let wrong = Timestamp::from_millis(END).after(DAY.saturating_mul(25_000));
    world.relay.doubt_clock(Some(wrong));
    let late = append(LeafKind::Credential, &new.credential);
    assert!(is_unavailable(&world.ask(desks, late.clone())), "not refused for good");
    assert!(is_unavailable(&login(&mut world, &desk, wrong)), "valid by one of two times");
    assert!(matches!(world.ask(desks, held), Body::Appended(_)), "what it has is not judged anew");
    world.relay.doubt_clock(None);
    assert!(matches!(world.ask(desks, late), Body::Appended(_)), "the control");
    assert!(world.checkpoint().time() < wrong);
}

#[test]
fn two_devices_that_say_the_same_vouch_for_a_clock_r_relay_77() {
    let mut world = World::new();
    let (alice, bob) = (world.member(1), world.member(2));
    let right = world.now.after(DAY.saturating_mul(30));
    let off = Timestamp::from_millis(right.as_millis() + 2 * HOUR_MS);
    assert!(off < Timestamp::from_millis(END));
    world.relay.doubt_clock(Some(right));
    for (device, time) in [(&alice, right), (&alice, right), (&bob, off), (&bob, Timestamp::default())] {
        assert!(matches!(login(&mut world, device, time), Body::Done(_)), "valid by both: it goes on");
        assert!(!world.relay.is_clock_vouched(), "neither one alone, nor one that says otherwise");
    }
    // A clock that jumps on is another one, which nobody has vouched for.
    world.relay.doubt_clock(Some(right.after(DAY)));
    login(&mut world, &bob, right.after(DAY));
    assert!(!world.relay.is_clock_vouched());
    login(&mut world, &alice, right.after(DAY));
    assert!(world.relay.is_clock_vouched());
    world.relay.doubt_clock(None);
    assert!(!world.relay.is_clock_vouched(), "and then it is over");
}

#[test]
fn nobody_vouches_for_a_clock_past_the_end_of_all_issuers_r_relay_77() {
    let mut world = World::new();
    let (alice, bob) = (world.member(1), world.member(2));
    let wrong = Timestamp::from_millis(END);
    world.relay.doubt_clock(Some(wrong));
    for device in [&alice, &bob] {
        login(&mut world, device, wrong);
    }
    assert!(!world.relay.is_clock_vouched());
}

#[test]
fn a_relay_without_a_log_does_not_start_when_no_issuer_is_valid_any_more_r_relay_68() {
    let at = |time| World::new().start_anew(Timestamp::from_millis(time));
    assert_eq!(at(END).err(), Some(StartError::Log(LogError::TooLate)));
    assert_eq!(at(END - 1).err(), None, "the control");
}
