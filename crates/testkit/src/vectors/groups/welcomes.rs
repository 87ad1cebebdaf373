//! Welcomes with their snapshots, and the trees that keyholders are given.

use chancery_crypto::rng::{CryptoRng, seeded};
use chancery_crypto::secret::Secret;
use chancery_group::{
    EpochSecret, Group, Joiner, Keying, LogView as _, Reason, Role, UnverifiedCommit, UnverifiedWelcome,
    adopt_tree, remove, set_role,
};
use chancery_identity::DeviceId;
use chancery_wire::{Limit, decode, encode, proto};
use serde_json::{Value, json};

use super::super::{Computation, Computed, Draft, Inputs, Kind, hex};
use super::forged::{crew, slot};
use super::state::{
    BookRoster, Results, group, items, optional, part, read_group, read_world, result, world,
};
use crate::crew::{Crew, GROUP, NOW, Sent, info, member};

pub(super) const KINDS: &[Kind] = &[
    Kind { name: "group-welcome-read", requirements: &["R-GROUP-25", "R-GROUP-26"], compute: read },
    Kind { name: "group-tree-read", requirements: &["R-GROUP-13"], compute: read_trees },
];

pub(super) fn drafts() -> Vec<Draft> {
    let (crew, mut rng) = crew(47);
    let mut drafts = vec![member_joins(&crew, &mut *rng), keyholder_joins(&crew, &mut *rng)];
    drafts.push(behind(&crew, &mut *rng));
    drafts.push(behind_of_a_commit(crew.clone(), &mut *rng));
    drafts.push(after_hand_out(crew.clone(), &mut *rng));
    drafts.push(tree(crew, &mut *rng));
    drafts
}

struct Case<'a> {
    crew: &'a Crew,
    joiner: usize,
    welcome: &'a proto::GroupWelcome,
    tree: &'a [u8],
    all: Vec<Value>,
}

impl Case<'_> {
    fn add(&mut self, name: &str, from: usize, change: impl FnOnce(&mut proto::GroupWelcome)) {
        let mut welcome = self.welcome.clone();
        change(&mut welcome);
        let from = hex(self.crew.id(from).as_bytes());
        let tree = hex(self.tree);
        let welcome = hex(&encode(&welcome));
        self.all.push(json!({ "name": name, "welcome": welcome, "from": from, "tree": tree }));
    }

    /// With another snapshot, which the commit is signed for anew by `author`.
    fn with_roster(&mut self, name: &str, author: usize, change: impl FnOnce(&mut BookRoster)) {
        self.with_head(name, author, |roster, _| change(roster));
    }

    /// The same with another head too.
    fn with_head(
        &mut self,
        name: &str,
        author: usize,
        change: impl FnOnce(&mut BookRoster, &mut proto::GroupCommitHead),
    ) {
        let (crew, mut roster) = (self.crew, BookRoster::of(&self.welcome.snapshot).expect("ours"));
        let commit = self.welcome.commit.clone().expect("there is one");
        let mut head =
            decode::<proto::GroupCommitHead>(&commit.head, Limit::FRAME).expect("ours").into_unchecked();
        change(&mut roster, &mut head);
        (head.roster, head.author) = (roster.name().to_vec(), crew.slot(author).get().into());
        let secret = Secret::from_slice(&self.welcome.epoch_secret).expect("ours");
        let epoch = EpochSecret::from_welcome(secret);
        let confirm = |transcript: &[u8; 32]| epoch.confirmation(transcript);
        let rng = &mut seeded([48; 32]);
        let signed = crew.sign_confirmed(author, (head, Vec::new()), confirm, rng);
        let signed = decode::<proto::GroupCommit>(&signed, Limit::FRAME).expect("ours").into_unchecked();
        self.add(name, author, |it| (it.commit, it.snapshot) = (Some(signed), roster.snapshot()));
    }

    fn draft(self, name: &str, more: &[(&str, Value)]) -> Draft {
        let mut inputs = world(self.crew);
        inputs.insert("group_id".into(), json!(hex(&GROUP)));
        inputs.insert("device_id".into(), json!(hex(self.crew.id(self.joiner).as_bytes())));
        inputs.insert("welcomes".into(), Value::Array(self.all));
        inputs.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        (format!("group-welcome-{name}"), "group-welcome-read", Value::Object(inputs))
    }
}

fn member_joins(crew: &Crew, rng: &mut dyn CryptoRng) -> Draft {
    let sent = crew.commit(0, vec![crew.add(5, Role::Member)], Keying::Tree, rng).expect("allowed");
    let (_, welcome) = &sent.welcomes[0];
    let mut case = Case { crew, joiner: 5, welcome, tree: &[], all: Vec::new() };
    case.add("by its author", 0, |_| {});
    case.add("by another keyholder", 1, |_| {});
    case.add("by a member", 2, |_| {});
    case.add("by who is not there", 6, |_| {});
    case.add("without a commit", 0, |it| it.commit = None);
    case.add("with another confirmation", 0, |it| it.commit.get_or_insert_default().confirmation[0] ^= 1);
    case.add("with a damaged signature", 0, |it| it.commit.get_or_insert_default().signature[0] ^= 1);
    case.add("with a damaged head", 0, |it| it.commit.get_or_insert_default().head[3] ^= 1);
    case.add("with another secret", 0, |it| it.epoch_secret[0] ^= 1);
    case.add("with a secret of 31 bytes", 0, |it| it.epoch_secret.truncate(31));
    case.add("with a path of 479 bytes", 0, |it| it.path.truncate(479));
    case.add("without a key of its path", 0, |it| it.path[32..64].fill(0));
    case.add("with a damaged snapshot", 0, |it| it.snapshot[20] ^= 1);
    case.add("without a snapshot", 0, |it| it.snapshot.clear());
    case.add("with a file that was not fetched", 0, |it| {
        it.snapshot_file = Some(proto::GroupFile::default());
    });
    case.add("with a tail", 0, |it| it.commit.get_or_insert_default().tail = vec![1]);
    case.with_roster("signed anew", 0, |_| {});
    case.with_roster("without the joiner", 0, |it| it.rows.retain(|row| row[1] != 5));
    case.with_roster("with another group key of the joiner", 0, |it| it.rows[5][66] ^= 1);
    case.with_roster("with another credential of the joiner", 0, |it| it.rows[5][34] ^= 1);
    case.with_roster("in falling order", 0, |it| it.rows.reverse());
    case.with_roster("with a device twice", 0, |it| {
        let row = [&[0, 9], &it.rows[4][2..]].concat();
        it.rows.push(row);
    });
    case.with_roster("with two roles of a member", 0, |it| it.rows[3][98] = 1);
    case.with_roster("with a role that is none", 0, |it| it.rows[3][98] = 5);
    case.with_roster("with an entry of a later epoch", 0, |it| it.rows[4][106] = 9);
    case.with_roster("with a device that the log does not have", 0, |it| it.rows[4][2 + 16] ^= 1);
    case.with_roster("without a keyholder", 0, |it| {
        it.rows.iter_mut().for_each(|row| row[98] = 2);
    });
    case.with_roster("by an author who is no keyholder", 2, |it| it.info = info("Ours").to_bytes());
    case.with_roster("of a dissolved group", 0, |it| {
        let mut info = info("Crew");
        info.dissolved = true;
        it.info = info.to_bytes();
    });
    case.with_roster("with an info that is none", 0, |it| it.info = vec![0xFF]);
    case.with_roster("with dead nodes in falling order", 0, |it| it.dead = vec![1, 0, 1, 1, 0, 0]);
    case.with_roster("with an order of 39 bytes", 0, |it| it.orders = vec![1; 39]);
    case.draft("member", &[])
}

fn keyholder_joins(crew: &Crew, rng: &mut dyn CryptoRng) -> Draft {
    let sent = crew.commit(0, vec![crew.add(5, Role::Administrator)], Keying::Tree, rng).expect("allowed");
    let (_, welcome) = &sent.welcomes[0];
    let mut case = Case { crew, joiner: 5, welcome, tree: &sent.tree, all: Vec::new() };
    case.add("with the tree", 0, |_| {});
    case.add("without the tree's file", 0, |it| it.tree_file = None);
    case.add("with an administrators' key of 31 bytes", 0, |it| it.administrators_key.truncate(31));
    case.add("with a path that is not the tree's", 0, |it| it.path[0] ^= 1);
    let (mut short, mut falling) = (sent.tree.clone(), sent.tree.clone());
    short.truncate(short.len() - 35);
    falling.rotate_left(35);
    for (name, tree) in
        [("with a tree that lacks a node", &short), ("with a tree in another order", &falling)]
    {
        case.tree = tree;
        case.add(name, 0, |_| {});
    }
    case.draft("keyholder", &[])
}

/// A device that is in the group and fell behind.
fn behind(crew: &Crew, rng: &mut dyn CryptoRng) -> Draft {
    let mut ahead = crew.clone();
    let heal = ahead.commit(1, Vec::new(), Keying::Tree, rng).expect("allowed");
    ahead.deliver(1, heal);
    let welcome = welcome_of(&ahead, 0, slot(3), rng);
    let mut case = Case { crew, joiner: 3, welcome: &welcome, tree: &[], all: Vec::new() };
    case.add("by a keyholder", 0, |_| {});
    case.add("by another keyholder", 1, |_| {});
    case.add("by a member", 2, |_| {});
    case.with_head("as far ahead as may be", 0, |_, head| head.epoch = 1_000_002);
    case.with_head("too far ahead", 0, |_, head| head.epoch = 1_000_003);
    let early = welcome_of_founding(crew, rng);
    case.all.push(json!({
        "name": "of an epoch that it had", "welcome": hex(&encode(&early)), "from": hex(crew.id(0).as_bytes()),
        "tree": "",
    }));
    let rows = crew.devices[3].rows.as_ref().expect("inside");
    case.draft("behind", &[("group", group(rows))])
}

/// A device that has verified the next commit, which removes an administrator, and lacks its secret.
fn behind_of_a_commit(mut crew: Crew, rng: &mut dyn CryptoRng) -> Draft {
    crew.log.end_device(&crew.devices[6].credential.clone());
    let mut ahead = crew.clone();
    let away = || vec![remove(slot(1), Reason::Role)];
    let other = ahead.commit(0, away(), Keying::Regrow, rng).expect("an owner may");
    let keys = crew.devices[0].keys();
    let author = crew.author(0, &keys, crew.log.size_now());
    let built =
        chancery_group::build(crew.group(0), author, away(), Keying::Regrow, rng).expect("an owner may");
    let (next, same) = (built.bytes().to_vec(), built.welcome(slot(3), None, None).expect("it is there"));
    ahead.deliver(0, other);
    let later = welcome_of(&ahead, 0, slot(3), rng);
    let mut beside = crew.clone();
    let removal = vec![remove(slot(2), Reason::Role)];
    let kept = beside.commit(0, removal, Keying::Tree, rng).expect("an owner may");
    beside.deliver(0, kept);
    let made_up = welcome_of(&beside, 1, slot(3), rng);
    let mut case = Case { crew: &crew, joiner: 3, welcome: &same, tree: &[], all: Vec::new() };
    case.add("to its epoch", 0, |_| {});
    case.add("to its epoch by who was removed", 1, |_| {});
    case.with_roster("to its epoch by another commit", 0, |_| {});
    case.welcome = &later;
    case.add("to a later epoch", 0, |_| {});
    case.add("to a later epoch by who was removed", 1, |_| {});
    case.with_head("on a shorter log", 0, |_, head| {
        head.log_size -= 1;
        head.log_root = crew.log.root(head.log_size).expect("it has it").to_vec();
    });
    case.welcome = &made_up;
    case.add("made up by who was removed", 1, |_| {});
    let rows = crew.devices[3].rows.as_ref().expect("inside");
    case.draft("behind-of-a-commit", &[("group", group(rows)), ("next", json!(hex(&next)))])
}

/// What a keyholder who heals gives a slot that fell behind.
fn welcome_of(
    crew: &Crew,
    device: usize,
    to: chancery_group::Slot,
    rng: &mut dyn CryptoRng,
) -> proto::GroupWelcome {
    let keys = crew.devices[device].keys();
    let author = crew.author(device, &keys, crew.log.size_now());
    let built =
        chancery_group::build(crew.group(device), author, Vec::new(), Keying::Tree, rng).expect("allowed");
    built.welcome(to, None, None).expect("it is there")
}

/// A welcome of epoch 2, which everybody in the crew has.
fn welcome_of_founding(crew: &Crew, rng: &mut dyn CryptoRng) -> proto::GroupWelcome {
    let mut early = crew.clone();
    early.devices.iter_mut().for_each(|device| device.rows = None);
    early.found(0, rng);
    let adds =
        vec![early.add(1, Role::Administrator), early.add(2, Role::Member), early.add(3, Role::Member)];
    let sent: Sent = early.commit(0, adds, Keying::Tree, rng).expect("allowed");
    sent.welcomes[2].1.clone()
}

/// Who takes over is added by a reader, because the log names it.
fn after_hand_out(mut crew: Crew, rng: &mut dyn CryptoRng) -> Draft {
    crew.log.end_member(&member(0));
    crew.log.end_member(&member(1));
    crew.log.name_successors([0; 16], vec![member(4)]);
    let sent = crew.commit(4, Vec::new(), Keying::HandOut, rng).expect("everybody may");
    let welcome = sent.welcomes[0].1.clone();
    let mut case = Case { crew: &crew, joiner: 5, welcome: &welcome, tree: &[], all: Vec::new() };
    case.add("by its author, a reader", 4, |_| {});
    case.add("by another member", 2, |_| {});
    case.add("with a key of a dead node", 4, |it| it.path[0] = 1);
    case.with_roster("as administrator", 4, |it| {
        if let Some(row) = it.rows.iter_mut().find(|row| row[2..18] == *member(4).as_bytes()) {
            row[98] = 3;
        }
    });
    case.draft("successor", &[])
}

fn read(inputs: &Inputs<'_>) -> Computation {
    let (_, log) = read_world(inputs)?;
    let device = DeviceId::new(inputs.array("device_id")?);
    let credential =
        log.credentials().find(|it| it.device_id() == device).ok_or("inputs.device_id: unknown")?;
    let rows = part(inputs, "group").ok().map(|group| read_group(&group)).transpose()?;
    let behind = rows.as_ref().map(|rows| Group { id: &GROUP, head: &rows.head, rows });
    let next = optional(inputs, "next").map(|bytes| {
        let group = behind.ok_or("inputs.next: no group")?;
        let verified = UnverifiedCommit::from_bytes(&bytes).and_then(|it| it.verify(group, &log));
        verified.map_err(|e| e.to_string())
    });
    let next = next.transpose()?;
    let exists = behind.is_some();
    let joiner = Joiner { group_id: &GROUP, credential, log: &log, behind, next: next.as_ref(), exists };
    let mut results = Results::new();
    for item in items(inputs, "welcomes")? {
        let welcome = decode::<proto::GroupWelcome>(&item.bytes("welcome")?, Limit::FRAME);
        let welcome = welcome.map_err(|e| e.to_string())?.into_unchecked();
        let tree = optional(&item, "tree").filter(|tree| !tree.is_empty());
        let from = DeviceId::new(item.array("from")?);
        let arrived = UnverifiedWelcome { welcome: &welcome, snapshot: None, tree: tree.as_deref(), from };
        let joined = arrived.verify(joiner, NOW).map(|joined| {
            let mut after = rows.clone().unwrap_or_default();
            after.apply(joined.into_parts().0);
            json!({ "group": group(&after) })
        });
        results.push(result(item.text("name")?, joined.map_err(|e| e.to_string())));
    }
    let mut computed = Computed::default();
    computed.out("results", Value::Array(results));
    Ok(computed)
}

/// A member becomes an administrator, and is given the tree.
fn tree(mut crew: Crew, rng: &mut dyn CryptoRng) -> Draft {
    let up = vec![set_role(&member(3), Role::Administrator)];
    let sent = crew.commit(0, up, Keying::Tree, rng).expect("allowed");
    let path = sent.paths[&slot(4)].clone();
    let staged = UnverifiedCommit::from_bytes(&sent.bytes).and_then(|it| it.verify(crew.group(4), &crew.log));
    let staged = staged.and_then(|it| it.by_boxes(NOW)).expect("an honest commit");
    crew.take(4, staged.into_parts().0);
    let rows = crew.devices[4].rows.as_ref().expect("inside");
    let mut all = Vec::new();
    let mut from = |device: usize, name: &str, path: &proto::GroupPath, tree: &[u8]| {
        let from = hex(crew.id(device).as_bytes());
        all.push(json!({ "name": name, "path": hex(&encode(path)), "tree": hex(tree), "from": from }));
    };
    from(1, "from another keyholder", &path, &sent.tree);
    from(2, "from a member", &path, &sent.tree);
    from(4, "from itself", &path, &sent.tree);
    let mut add = |name: &str, path: &proto::GroupPath, tree: &[u8]| from(0, name, path, tree);
    let file = |change: fn(&mut Vec<u8>)| {
        let mut tree = sent.tree.clone();
        change(&mut tree);
        tree
    };
    add("sound", &path, &sent.tree);
    add("a node is missing", &path, &file(|it| drop(it.drain(..35))));
    add("a node twice", &path, &file(|it| it.extend_from_within(it.len() - 35..)));
    add("another order", &path, &file(|it| it.rotate_left(35)));
    add("a byte too many", &path, &file(|it| it.push(0)));
    add("a key of its own path differs", &path, &file(|it| *it.last_mut().expect("long") ^= 1));
    add("a node that nobody is below", &path, &file(|it| it[2] = 9));
    add("of another epoch", &proto::GroupPath { epoch: path.epoch + 1, ..path.clone() }, &sent.tree);
    let short = proto::GroupPath { administrators_key: vec![1; 31], ..path.clone() };
    add("administrators' key of 31 bytes", &short, &sent.tree);
    let inputs = json!({ "group_id": hex(&GROUP), "group": group(rows), "trees": all });
    ("group-trees-read".into(), "group-tree-read", inputs)
}

fn read_trees(inputs: &Inputs<'_>) -> Computation {
    let rows = read_group(&part(inputs, "group")?)?;
    let at = Group { id: &GROUP, head: &rows.head, rows: &rows };
    let mut results = Results::new();
    for item in items(inputs, "trees")? {
        let path =
            decode::<proto::GroupPath>(&item.bytes("path")?, Limit::FRAME).map_err(|e| e.to_string())?;
        let from = DeviceId::new(item.array("from")?);
        let adopted = adopt_tree(at, &path.into_unchecked(), &item.bytes("tree")?, &from).map(|changes| {
            let mut after = rows.clone();
            after.apply(changes);
            json!({ "group": group(&after) })
        });
        results.push(result(item.text("name")?, adopted.map_err(|e| e.to_string())));
    }
    let mut computed = Computed::default();
    computed.out("results", Value::Array(results));
    Ok(computed)
}
