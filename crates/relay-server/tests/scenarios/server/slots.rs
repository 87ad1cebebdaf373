//! Slots while the relay is killed: one winner, and what waited for it, or nothing of either.

use std::collections::BTreeMap;

use chancery_crypto::hash::sha256;
use chancery_identity::delivery::Use;
use chancery_wire::proto;
use proto::client_frame::Body as Request;
use proto::relay_frame::Body;

use super::{Client, Place, Process};
use crate::fixture::{Acme, frame, token, token_for};

const ROUNDS: u8 = 5;

fn commit(round: u8, side: u8) -> Vec<u8> {
    // It names its slot (R-RELAY-72).
    [&[0x18][..], &[0; 16], &[round; 16], &[round, side]].concat()
}

fn put(round: u8, side: u8) -> Request {
    let next = proto::NextSet {
        name: vec![0x60 | side; 16],
        token: token_for(Use::Set, &[0x60 | side; 16]),
        key: vec![3; 16],
        filled: vec![proto::SlotMailbox { slot: 3, mailbox: vec![9; 16] }],
        ..Default::default()
    };
    Request::PutSlot(proto::PutSlot {
        slot: vec![round; 16],
        token: token_for(Use::Slot, &[round; 16]),
        set: vec![0x50; 16],
        key: vec![3; 16],
        envelope: commit(round, side),
        next: Some(next),
    })
}

/// A delivery to the second device that waits for one side's commit.
fn hold(round: u8, side: u8) -> Request {
    let deliver = proto::Deliver {
        mailbox: vec![2; 16],
        delivery_id: [vec![round; 8], vec![side; 8]].concat(),
        token: token(&[2; 16]),
        envelope: vec![7, round, side],
    };
    let hash = sha256(&[&commit(round, side)]).to_vec();
    Request::Hold(proto::Hold { deliver: Some(deliver), slot: vec![round; 16], hash })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_has_one_winner_with_what_waited_for_it_also_across_kill_9_r_relay_72() {
    let mut acme = Acme::new(17);
    let devices = [1, 2].map(|n| acme.device([n; 16]));
    let place = Place::new(&acme);
    let done = Body::Done(proto::Done::default());
    {
        let relay = Process::start(place.path());
        Client::desk(&mut acme, &relay.url, relay.pin).await;
        for device in &devices {
            Client::reading(&mut acme, device, &relay.url, relay.pin).await;
        }
        let mut client = Client::anonymous(&acme, &relay.url, relay.pin).await;
        let (name, key, mailboxes) = (vec![0x50; 16], vec![3; 16], [[1; 16], [2; 16]].concat());
        let set = proto::CreateSet { name, key, token: token_for(Use::Set, &[0x50; 16]), mailboxes };
        assert_eq!(client.ask(Request::CreateSet(set)).await, done, "R-RELAY-70");
    }
    let mut winners = BTreeMap::new();
    for round in 1..=ROUNDS {
        let relay = Process::start(place.path());
        let mut sides = Vec::new();
        for side in 1..=2 {
            let mut client = Client::anonymous(&acme, &relay.url, relay.pin).await;
            assert_eq!(client.ask(hold(round, side)).await, done, "R-RELAY-74");
            sides.push(client);
        }
        for (side, client) in (1..).zip(&mut sides) {
            client.link.send(frame(99, put(round, side))).await.unwrap();
        }
        // In the last round both are answered; before, it dies somewhere under way.
        if round == ROUNDS {
            sides[1].next().await;
        }
        drop(relay);
        let relay = Process::start(place.path());
        let mut client = Client::anonymous(&acme, &relay.url, relay.pin).await;
        client.ask(put(round, 1)).await;
        let Body::SlotContent(content) = client.ask(put(round, 2)).await else { panic!("R-RELAY-72") };
        winners.insert(round, content.envelope[34]);
    }
    let relay = Process::start(place.path());
    let (mut reading, answer) = Client::try_login(&mut acme, &devices[1], &relay.url, relay.pin).await;
    assert!(matches!(answer, Body::Done(_)), "{answer:?}");
    assert_eq!(reading.ask(Request::Subscribe(proto::Subscribe {})).await, done);
    let mut seen = Vec::new();
    loop {
        match reading.next().await.body.unwrap() {
            Body::Envelope(envelope) => seen.push(envelope.envelope),
            Body::CaughtUp(_) => break,
            Body::LogGrown(_) => {}
            other => panic!("{other:?}"),
        }
    }
    let expected: Vec<Vec<u8>> =
        winners.iter().flat_map(|(round, side)| [commit(*round, *side), vec![7, *round, *side]]).collect();
    assert_eq!(seen, expected, "R-RELAY-72, R-RELAY-74: once each, and nothing of the losers");
}
