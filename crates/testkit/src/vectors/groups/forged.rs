//! The commits that the vectors make and read: sound ones of every keying, and for each rule one that breaks it.

use chancery_crypto::rng::{CryptoRng, seeded};
use chancery_crypto::secret::Secret;
use chancery_group::{
    EpochSecret, Group, HandOutContext, Keying, Reason, Role, Slot, cover, remove, set_info, set_role,
};
use chancery_group::{Roster, leave};
use chancery_wire::{Limit, decode, encode, proto};
use proto::group_change::Change;
use serde_json::{Value, json};

use super::super::book::sample_hex;
use super::super::{Draft, hex};
use super::orders::issued;
use super::state::{group, world};
use crate::crew::{Crew, Forgery, GROUP, Sent, info, member};

/// Members: 0 owner, 1 administrator, 2 member with two devices (2, 3), 3 reader (4); 4 and 5 outside (5, 6).
const MEMBERS: [u8; 7] = [0, 1, 2, 2, 3, 4, 5];
const ROLES: [(usize, Role); 4] =
    [(1, Role::Administrator), (2, Role::Member), (3, Role::Member), (4, Role::Reader)];

/// The group that most cases start from.
pub(super) fn crew(seed: u8) -> (Crew, Box<dyn CryptoRng>) {
    let mut rng: Box<dyn CryptoRng> = Box::new(seeded([seed; 32]));
    let crew = Crew::with_group(seed, &MEMBERS, &ROLES, &mut *rng);
    (crew, rng)
}

pub(super) fn slot(number: u16) -> Slot {
    Slot::new(number).expect("a slot")
}

fn device_keys(crew: &Crew, device: usize) -> String {
    hex(crew.devices[device].keys().to_secret_bytes().expose())
}

/// A commit to be made: changes and keying by a device.
fn made(crew: &Crew, name: &str, device: usize, changes: Vec<proto::GroupChange>, keying: Keying) -> Draft {
    let mut inputs = world(crew);
    let credential = hex(&encode(crew.devices[device].credential.signed()));
    inputs.insert("credentials".into(), json!([credential]));
    if let Some(rows) = &crew.devices[device].rows {
        inputs.insert("group".into(), group(rows));
    }
    let tail = encode(&proto::GroupCommitTail { changes, ..Default::default() });
    inputs.insert("device_keys".into(), json!(device_keys(crew, device)));
    inputs.insert("changes".into(), json!(hex(&tail)));
    inputs.insert("keying".into(), json!(keying as u32));
    inputs.insert("group_id".into(), json!(hex(&GROUP)));
    inputs.insert("log_size".into(), json!(crew.log.size_now()));
    inputs.insert("rng_seed".into(), json!(sample_hex(&format!("group commit {name}"), 32)));
    (format!("group-commit-{name}"), "group-commit", Value::Object(inputs))
}

fn reading(crew: &Crew, name: &str, device: usize, commits: Vec<Value>) -> Draft {
    let mut inputs = world(crew);
    let rows = crew.devices[device].rows.as_ref().expect("inside");
    inputs.insert("group_id".into(), json!(hex(&GROUP)));
    inputs.insert("group".into(), group(rows));
    inputs.insert("commits".into(), Value::Array(commits));
    (format!("group-commit-read-{name}"), "group-commit-read", Value::Object(inputs))
}

fn commit(name: &str, bytes: &[u8]) -> Value {
    json!({ "name": name, "commit": hex(bytes) })
}

pub(super) fn drafts() -> Vec<Draft> {
    let mut drafts = making();
    drafts.extend(sound());
    drafts.extend(refused());
    drafts.extend(ended());
    drafts.push(ordered());
    drafts.push(dissolved());
    drafts
}

fn making() -> Vec<Draft> {
    let alone = Crew::new(40, &MEMBERS[..1]);
    let founding = vec![set_info(&info("Crew")), alone.add(0, Role::Owner)];
    let mut drafts = vec![made(&alone, "founding", 0, founding, Keying::Regrow)];
    let (mut crew, mut rng) = crew(41);
    drafts.push(made(&crew, "heal", 0, Vec::new(), Keying::Tree));
    let both =
        vec![remove(slot(2), Reason::Role), crew.add(5, Role::Reader), crew.add(6, Role::Administrator)];
    drafts.push(made(&crew, "remove-and-add", 1, both, Keying::Tree));
    let down = vec![set_role(&member(1), Role::Reader), set_info(&info("Crew 2"))];
    drafts.push(made(&crew, "regrow", 0, down, Keying::Regrow));
    drafts.push(made(&crew, "promotion", 0, vec![set_role(&member(2), Role::Administrator)], Keying::Tree));
    crew.log.end_device(&crew.devices[3].credential.clone());
    let evict = vec![remove(slot(3), Reason::Log)];
    drafts.push(made(&crew, "hand-out", 4, evict.clone(), Keying::HandOut));
    let sent = crew.commit(4, Vec::new(), Keying::HandOut, &mut *rng).expect("everybody may");
    crew.deliver(4, sent);
    drafts.push(made(&crew, "after-hand-out", 0, vec![crew.add(5, Role::Member)], Keying::Tree));
    crew.log.end_member(&member(0));
    crew.log.end_member(&member(1));
    crew.log.name_successors([0; 16], vec![member(0), member(5)]);
    let evict = vec![remove(slot(0), Reason::Log), remove(slot(1), Reason::Log), crew.add(6, Role::Owner)];
    drafts.push(made(&crew, "successor", 2, evict, Keying::HandOut));
    drafts
}

/// One sound commit of each keying, as every kind of reader sees it, with what goes with it and what does not fit.
fn sound() -> Vec<Draft> {
    let (crew, mut rng) = crew(42);
    let changes = vec![remove(slot(2), Reason::Role), crew.add(5, Role::Reader)];
    let tree = crew.commit(0, changes, Keying::Tree, &mut *rng).expect("allowed");
    let damaged = |at: fn(&mut proto::GroupCommitTail)| {
        let mut whole =
            decode::<proto::GroupCommit>(&tree.bytes, Limit::FRAME).expect("ours").into_unchecked();
        let mut tail =
            decode::<proto::GroupCommitTail>(&whole.tail, Limit::FRAME).expect("ours").into_unchecked();
        at(&mut tail);
        let head =
            decode::<proto::GroupCommitHead>(&whole.head, Limit::FRAME).expect("ours").into_unchecked();
        whole.tail = encode(&tail);
        let chain = Secret::from_slice(&crew.group(0).head.chain_key);
        let confirm = |transcript: &[u8; 32]| {
            EpochSecret::next(chain.as_ref(), &tree.secret(), transcript).confirmation(transcript)
        };
        crew.sign_confirmed(0, (head, whole.tail), confirm, &mut seeded([1; 32]))
    };
    let unconfirmed = {
        let whole = decode::<proto::GroupCommit>(&tree.bytes, Limit::FRAME).expect("ours").into_unchecked();
        let head =
            decode::<proto::GroupCommitHead>(&whole.head, Limit::FRAME).expect("ours").into_unchecked();
        crew.sign(0, head, whole.tail, &mut seeded([2; 32]))
    };
    let trees = vec![
        commit("sound", &tree.bytes),
        commit("signed anew", &damaged(|_| {})),
        commit("confirmation of another secret", &unconfirmed),
        commit("first box damaged", &damaged(|tail| tail.nodes[0] ^= 1)),
        commit("last box damaged", &damaged(|tail| *tail.nodes.last_mut().expect("boxes") ^= 1)),
        commit("seed damaged", &damaged(|tail| tail.seed[0] ^= 1)),
        commit("a box too few", &damaged(|tail| tail.nodes.truncate(48))),
        commit("a box too many", &damaged(|tail| tail.nodes.extend([0; 48]))),
        commit("seed too short", &damaged(|tail| tail.seed.truncate(47))),
        commit("roster of another", &crew.sign(0, other_roster(&tree), tail_of(&tree), &mut *rng)),
    ];
    let mut drafts = vec![
        reading(&crew, "tree-by-seed", 1, trees.clone()),
        reading(&crew, "tree-by-boxes", 3, trees.clone()),
        reading(&crew, "tree-by-the-other-side", 4, trees.clone()),
        reading(&crew, "tree-by-the-removed", 2, trees[..1].to_vec()),
    ];
    drafts.extend(regrown(&crew, &mut *rng));
    drafts.extend(handed_out(crew, &mut *rng));
    drafts
}

fn tail_of(sent: &Sent) -> Vec<u8> {
    decode::<proto::GroupCommit>(&sent.bytes, Limit::FRAME).expect("ours").into_unchecked().tail
}

fn other_roster(sent: &Sent) -> proto::GroupCommitHead {
    let whole = decode::<proto::GroupCommit>(&sent.bytes, Limit::FRAME).expect("ours").into_unchecked();
    let mut head =
        decode::<proto::GroupCommitHead>(&whole.head, Limit::FRAME).expect("ours").into_unchecked();
    head.roster[0] ^= 1;
    head
}

fn regrown(crew: &Crew, rng: &mut dyn CryptoRng) -> Vec<Draft> {
    let sent = crew.commit(0, vec![remove(slot(1), Reason::Role)], Keying::Regrow, rng).expect("allowed");
    let path = &sent.paths[&slot(3)];
    let from = |device: usize, name: &str, change: fn(&mut proto::GroupPath)| {
        let mut path = path.clone();
        change(&mut path);
        let from = hex(crew.id(device).as_bytes());
        json!({ "name": name, "commit": hex(&sent.bytes), "path": hex(&encode(&path)), "from": from })
    };
    let with = |name, change| from(0, name, change);
    let all = vec![
        with("sound", |_| {}),
        from(2, "path from a member", |_| {}),
        from(1, "path from who was removed", |_| {}),
        with("path of another commit", |path| path.commit[0] ^= 1),
        with("path of another epoch", |path| path.epoch += 1),
        with("path too short", |path| path.path.truncate(479)),
        with("path of zeros", |path| path.path = vec![0; 480]),
        with("zeros in one place", |path| path.path[64..96].fill(0)),
        with("another root", |path| path.path[479] ^= 1),
        commit("no path", &sent.bytes),
    ];
    vec![reading(crew, "regrow", 3, all)]
}

fn handed_out(mut crew: Crew, rng: &mut dyn CryptoRng) -> Vec<Draft> {
    crew.log.end_device(&crew.devices[3].credential.clone());
    let sent = crew.commit(4, Vec::new(), Keying::HandOut, rng).expect("everybody may");
    let mut other = crew.clone();
    let hash = sent.hash;
    let secret = sent.secret();
    let mut wrong = *secret.expose();
    wrong[0] ^= 1;
    let give = |name: &str, secret: &[u8]| json!({ "name": name, "commit": hex(&sent.bytes), "secret": hex(secret) });
    let envelope = |node, key: &dyn chancery_group::Rows, secret: &Secret<32>| {
        let context = HandOutContext { group_id: &GROUP, epoch: 3, commit: &hash };
        context.seal(&[4; 16], node, &key.key(node).expect("in memory").expect("a keyholder's"), secret)
    };
    let rows = crew.devices[0].rows.as_ref().expect("inside");
    other.receive(1, &sent).expect("an honest commit");
    let cover = cover_of(&other.group(1));
    let published = |name: &str, envelope: &[u8]| json!({ "name": name, "commit": hex(&sent.bytes), "hand_out": hex(envelope) });
    let mine = *cover.iter().find(|node| node.covers(slot(1))).expect("it is covered");
    let others = *cover.iter().find(|node| !node.covers(slot(1))).expect("another part");
    let dead = slot(1).node().parent().and_then(chancery_group::Node::parent).expect("above");
    let mut damaged = envelope(mine, rows, &secret);
    damaged[40] ^= 1;
    let other_secret = Secret::from_bytes(wrong);
    let all = vec![
        give("secret over a session", secret.expose()),
        give("another secret", &wrong),
        published("envelope", &envelope(mine, rows, &secret)),
        published("envelope of another part", &envelope(others, rows, &secret)),
        published("envelope of a dead node", &envelope(dead, rows, &secret)),
        published("envelope damaged", &damaged),
        published("envelope cut", &damaged[..67]),
        published("envelope with another secret", &envelope(mine, rows, &other_secret)),
        commit("no secret", &sent.bytes),
    ];
    vec![reading(&crew, "hand-out", 1, all)]
}

fn cover_of(group: &Group<'_>) -> Vec<chancery_group::Node> {
    let roster: Roster<'_> = group.roster().expect("as stored");
    cover(&roster, roster.dead()).expect("in memory")
}

type Case<'a> = (&'a str, usize, Vec<proto::GroupChange>, Keying);

/// Commits that break the rules of form and of place, then those of the changes.
fn refused() -> Vec<Draft> {
    let (mut crew, mut rng) = crew(43);
    // Whom the log has ended, outside the group.
    crew.log.end_member(&member(5));
    let mut all = misplaced(&crew, &mut *rng);
    for (name, device, changes, keying) in [by_role(&crew), by_form(&crew)].concat() {
        let forgery = Forgery { changes, keying, head: |_| {} };
        all.push(commit(name, &crew.forge(device, forgery, &mut *rng)));
    }
    for (name, device, changes, keying) in by_order(&crew, &mut *rng) {
        let forgery = Forgery { changes, keying, head: |_| {} };
        all.push(commit(name, &crew.forge(device, forgery, &mut *rng)));
    }
    let again = vec![set_info(&info("Crew"))];
    let forged = crew.forge(0, Forgery { changes: again, keying: Keying::Tree, head: |_| {} }, &mut *rng);
    all.push(commit("info as it is", &forged));
    vec![reading(&crew, "refused", 2, all)]
}

fn misplaced(crew: &Crew, rng: &mut dyn CryptoRng) -> Vec<Value> {
    type Head = fn(&mut proto::GroupCommitHead);
    let heads: [(&str, Head); 15] = [
        ("another group", |it| it.group_id[0] ^= 1),
        ("group_id of 15 bytes", |it| it.group_id.truncate(15)),
        ("epoch of the group", |it| it.epoch -= 1),
        ("epoch after the next", |it| it.epoch += 1),
        ("epoch above the highest", |it| it.epoch = (1 << 62) + 1),
        ("another transcript", |it| it.transcript[0] ^= 1),
        ("author in an empty slot", |it| it.author = 9),
        ("author in no slot", |it| it.author = 16_384),
        ("signed by another than the author", |it| it.author = 1),
        ("log shorter than before", |it| it.log_size = 3),
        ("log longer than the reader's", |it| it.log_size += 1),
        ("another log", |it| it.log_root[0] ^= 1),
        ("salt of 31 bytes", |it| it.salt.truncate(31)),
        ("keying 4", |it| it.keying = 4),
        ("roster of 31 bytes", |it| it.roster.truncate(31)),
    ];
    let heal = |head: Head| Forgery { changes: Vec::new(), keying: Keying::Tree, head };
    let mut all: Vec<Value> =
        heads.into_iter().map(|(name, head)| commit(name, &crew.forge(0, heal(head), rng))).collect();
    let sound = crew.commit(0, Vec::new(), Keying::Tree, rng).expect("allowed").bytes;
    let with = |change: fn(&mut proto::GroupCommit)| {
        let mut whole = decode::<proto::GroupCommit>(&sound, Limit::FRAME).expect("ours").into_unchecked();
        change(&mut whole);
        encode(&whole)
    };
    all.extend([
        commit("cut", &sound[..sound.len() - 1]),
        commit("nothing", b""),
        commit("signature damaged", &with(|it| it.signature[100] ^= 1)),
        commit("signature of the other half damaged", &with(|it| it.signature[3] ^= 1)),
        commit("confirmation of 31 bytes", &with(|it| it.confirmation.truncate(31))),
        commit("another tail", &with(|it| it.tail.push(0))),
    ]);
    all
}

fn by_role(crew: &Crew) -> Vec<Case<'static>> {
    let tree = Keying::Tree;
    let mut dissolved = info("Crew");
    dissolved.dissolved = true;
    vec![
        ("reader sets the info", 4, vec![set_info(&info("Ours"))], tree),
        ("member adds", 2, vec![crew.add(5, Role::Member)], tree),
        ("member removes another's device", 2, vec![remove(slot(4), Reason::Role)], tree),
        ("administrator adds an owner", 1, vec![crew.add(5, Role::Owner)], tree),
        ("administrator removes the owner", 1, vec![remove(slot(0), Reason::Role)], Keying::Regrow),
        ("administrator makes an owner", 1, vec![set_role(&member(2), Role::Owner)], tree),
        (
            "administrator changes the owner's role",
            1,
            vec![set_role(&member(0), Role::Member)],
            Keying::Regrow,
        ),
        ("administrator dissolves", 1, vec![set_info(&dissolved)], tree),
        ("owner makes itself a member", 0, vec![set_role(&member(0), Role::Member)], Keying::Regrow),
        ("author removes its own device", 0, vec![remove(slot(0), Reason::Role)], Keying::Regrow),
        ("member heals", 2, Vec::new(), tree),
        ("member regrows", 2, Vec::new(), Keying::Regrow),
        ("hand-out without a removal", 2, Vec::new(), Keying::HandOut),
        ("hand-out with a removal by role", 0, vec![remove(slot(4), Reason::Role)], Keying::HandOut),
        ("keyholder removed with keying 1", 0, vec![remove(slot(1), Reason::Role)], tree),
        ("keyholder demoted with keying 1", 0, vec![set_role(&member(1), Role::Member)], tree),
    ]
}

fn by_form(crew: &Crew) -> Vec<Case<'static>> {
    let tree = Keying::Tree;
    let add = |change: fn(&mut proto::GroupAdd)| {
        let Some(Change::Add(mut add)) = crew.add(5, Role::Member).change else { panic!("an addition") };
        change(&mut add);
        proto::GroupChange { change: Some(Change::Add(add)) }
    };
    let removal = |slot: u32, reason: u32| proto::GroupChange {
        change: Some(Change::Remove(proto::GroupRemove { slot, reason })),
    };
    let role = |role: u32| {
        let set = proto::GroupSetRole { member_id: member(2).as_bytes().to_vec(), role };
        proto::GroupChange { change: Some(Change::SetRole(set)) }
    };
    let raw = |info: Vec<u8>| proto::GroupChange { change: Some(Change::SetInfo(info)) };
    let requires = encode(&proto::GroupInfo { name: "Crew".into(), required: vec![1], ..Default::default() });
    let flips = (0..501_u32).map(|at| role(if at % 2 == 0 { 1 } else { 2 })).collect();
    vec![
        ("change of no kind", 0, vec![proto::GroupChange::default()], tree),
        ("addition of a device that the log does not have", 0, vec![add(|it| it.device_id[0] ^= 1)], tree),
        ("addition with another credential", 0, vec![add(|it| it.credential_hash[0] ^= 1)], tree),
        ("addition with another member", 0, vec![add(|it| it.member_id[0] ^= 1)], tree),
        ("addition with a group key of 31 bytes", 0, vec![add(|it| it.group_key.truncate(31))], tree),
        ("addition with role 5", 0, vec![add(|it| it.role = 5)], tree),
        ("addition of who has ended", 0, vec![crew.add(6, Role::Member)], tree),
        ("addition of who is there", 0, vec![crew.add(2, Role::Member)], tree),
        ("addition twice", 0, vec![crew.add(5, Role::Member), crew.add(5, Role::Member)], tree),
        ("addition and removal", 0, vec![crew.add(5, Role::Member), removal(5, 0)], tree),
        ("removal of nobody", 0, vec![removal(9, 0)], tree),
        ("removal of no slot", 0, vec![removal(16_384, 0)], tree),
        ("removal with reason 3", 0, vec![removal(4, 3)], tree),
        ("removal by the log of who has not ended", 0, vec![removal(4, 1)], tree),
        ("removal by an order that is not there", 0, vec![removal(4, 2)], tree),
        ("removal twice", 0, vec![removal(4, 0), removal(4, 0)], tree),
        ("role as it is", 0, vec![role(2)], tree),
        ("role 0", 0, vec![role(0)], tree),
        ("role twice", 0, vec![role(1), role(3)], tree),
        ("role of who is not there", 0, vec![set_role(&member(4), Role::Member)], tree),
        (
            "role of whom the commit adds",
            0,
            vec![crew.add(5, Role::Member), set_role(&member(4), Role::Reader)],
            tree,
        ),
        ("role, then removal of its device", 0, vec![role(1), removal(2, 0)], tree),
        ("info twice", 0, vec![set_info(&info("A")), set_info(&info("B"))], tree),
        ("info that requires a policy", 0, vec![raw(requires)], tree),
        ("501 changes", 0, flips, tree),
    ]
}

fn by_order(crew: &Crew, rng: &mut dyn CryptoRng) -> Vec<Case<'static>> {
    let order = |signed: proto::Signed| proto::GroupChange { change: Some(Change::Order(signed)) };
    let out = |member_number: u8, epoch: u64, rng: &mut dyn CryptoRng| {
        let gone = proto::group_ordered::Change::Remove(member(member_number).as_bytes().to_vec());
        order(issued(
            crew,
            |body| {
                body.epoch = epoch;
                body.changes = vec![proto::GroupOrdered { change: Some(gone) }];
            },
            rng,
        ))
    };
    let keys = crew.devices[4].keys();
    let leaving = leave((&keys, &crew.devices[4].credential), (&GROUP, 2), &crew.log, rng).expect("a log");
    let goes = remove(slot(4), Reason::Order);
    let hand_out = Keying::HandOut;
    vec![
        ("order that nothing follows", 0, vec![out(3, 0, rng)], Keying::Tree),
        ("removal before its order", 0, vec![goes.clone(), out(3, 0, rng)], Keying::Tree),
        ("order twice", 0, vec![out(3, 0, rng), out(3, 0, rng), goes.clone()], Keying::Tree),
        ("order for a later epoch", 2, vec![out(3, 3, rng), goes.clone()], hand_out),
        ("order for before it was added", 2, vec![out(3, 1, rng), goes.clone()], hand_out),
        ("half of an order", 2, vec![out(2, 0, rng), remove(slot(3), Reason::Order)], hand_out),
        ("order about another", 2, vec![out(1, 0, rng), goes.clone()], hand_out),
        ("leaving of another", 3, vec![order(leaving), remove(slot(2), Reason::Order)], hand_out),
    ]
}

/// Where the log has ended somebody: whoever stays is refused, and so is what an ended author commits.
fn ended() -> Vec<Draft> {
    let (mut crew, mut rng) = crew(44);
    crew.log.end_member(&member(0));
    crew.log.end_member(&member(1));
    crew.log.name_successors(GROUP, vec![member(2)]);
    let gone = |slot_number| remove(slot(slot_number), Reason::Log);
    let takes_over = set_role(&member(2), Role::Owner);
    let cases: Vec<Case<'_>> = vec![
        ("one of them stays", 2, vec![gone(0)], Keying::HandOut),
        ("both stay", 2, Vec::new(), Keying::HandOut),
        ("nobody takes over", 2, vec![gone(0), gone(1)], Keying::HandOut),
        ("another takes over", 4, vec![gone(0), gone(1), set_role(&member(3), Role::Owner)], Keying::HandOut),
        (
            "as administrator",
            2,
            vec![gone(0), gone(1), set_role(&member(2), Role::Administrator)],
            Keying::HandOut,
        ),
        ("before the others go", 2, vec![gone(0), takes_over.clone(), gone(1)], Keying::HandOut),
        ("with keying 1", 2, vec![gone(0), gone(1), takes_over.clone()], Keying::Tree),
        ("with keying 2", 2, vec![gone(0), gone(1), takes_over], Keying::Regrow),
        ("author has ended", 0, vec![gone(1)], Keying::Regrow),
    ];
    let mut all = Vec::new();
    for (name, device, changes, keying) in cases {
        let forgery = Forgery { changes, keying, head: |_| {} };
        all.push(commit(name, &crew.forge(device, forgery, &mut *rng)));
    }
    let sent = crew.commit(4, Vec::new(), Keying::HandOut, &mut *rng).expect("everybody may");
    all.push(json!({ "name": "sound", "commit": hex(&sent.bytes), "secret": hex(sent.secret().expose()) }));
    vec![reading(&crew, "ended", 2, all)]
}

/// What follows from an order, and what does not.
fn ordered() -> Draft {
    let (crew, mut rng) = crew(49);
    let order = |signed: proto::Signed| proto::GroupChange { change: Some(Change::Order(signed)) };
    let gone = proto::group_ordered::Change::Remove(member(3).as_bytes().to_vec());
    let removal =
        issued(&crew, |body| body.changes = vec![proto::GroupOrdered { change: Some(gone) }], &mut *rng);
    let added = crew.add(5, Role::Owner);
    let Some(Change::Add(add)) = added.change.clone() else { panic!("an addition") };
    let addition = issued(
        &crew,
        |body| {
            let add = proto::group_ordered::Change::Add(add);
            body.changes = vec![proto::GroupOrdered { change: Some(add) }];
        },
        &mut *rng,
    );
    let keys = crew.devices[4].keys();
    let leaving =
        leave((&keys, &crew.devices[4].credential), (&GROUP, 2), &crew.log, &mut *rng).expect("a log");
    let goes = remove(slot(4), Reason::Order);
    let both = [(3, 3), (3, 2)].map(|(whom, role)| twofold(&crew, (whom, role), &mut *rng));
    let [both, one_is_so] = both.map(order);
    let up = set_role(&member(2), Role::Administrator);
    let mut all = Vec::new();
    for (name, device, changes, keying) in [
        ("removal by an issuer's order", 3, vec![order(removal.clone()), goes.clone()], Keying::HandOut),
        ("leaving", 3, vec![order(leaving), goes.clone()], Keying::HandOut),
        ("removal by an order, with keying 1", 1, vec![order(removal), goes.clone()], Keying::Tree),
        ("removal and role by one order", 1, vec![both.clone(), goes.clone(), up], Keying::Tree),
        ("role by an order that is so already", 1, vec![one_is_so, goes.clone()], Keying::Tree),
        ("addition by an order", 1, vec![order(addition.clone()), added.clone()], Keying::Tree),
    ] {
        let sent = crew.commit(device, changes, keying, &mut *rng).expect("it is ordered");
        let secret = hex(sent.secret().expose());
        all.push(json!({ "name": name, "commit": hex(&sent.bytes), "secret": secret }));
    }
    let other = vec![order(addition.clone()), crew.add(6, Role::Owner)];
    for (name, device, changes) in [
        ("addition by an order by a member", 3, vec![order(addition), added]),
        ("addition of another than ordered", 1, other),
        ("removal without the role that is ordered with it", 1, vec![both, goes]),
    ] {
        let forgery = Forgery { changes, keying: Keying::Tree, head: |_| {} };
        all.push(commit(name, &crew.forge(device, forgery, &mut *rng)));
    }
    reading(&crew, "ordered", 2, all)
}

/// An issuer's order that removes one member and gives member 2 a role.
fn twofold(crew: &Crew, (whom, role): (u8, u32), rng: &mut dyn CryptoRng) -> proto::Signed {
    let gone = proto::group_ordered::Change::Remove(member(whom).as_bytes().to_vec());
    let set = proto::GroupSetRole { member_id: member(2).as_bytes().to_vec(), role };
    let set = proto::group_ordered::Change::SetRole(set);
    let changes = [gone, set].map(|it| proto::GroupOrdered { change: Some(it) }).to_vec();
    issued(crew, |body| body.changes = changes, rng)
}

/// A group that was dissolved: nothing more is committed.
fn dissolved() -> Draft {
    let (mut crew, mut rng) = crew(50);
    let mut end = info("Crew");
    end.dissolved = true;
    let sent = crew.commit(0, vec![set_info(&end)], Keying::Tree, &mut *rng).expect("an owner may");
    crew.deliver(0, sent);
    let forgery = Forgery { changes: Vec::new(), keying: Keying::Tree, head: |_| {} };
    let after = commit("heal after the end", &crew.forge(0, forgery, &mut *rng));
    reading(&crew, "dissolved", 2, vec![after])
}
