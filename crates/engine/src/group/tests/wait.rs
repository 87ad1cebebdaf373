//! What waits, how long, and what is left of it.

use super::*;
use chancery_wire::proto::{GroupFile, GroupPath};
use chancery_wire::records::{RecordKey, Table};

use super::town::Made;
use crate::tables::{self, GROUP_FILE, GROUP_FILES, GROUP_WAITING};

/// The tables that hold keys of groups, or what waits for them.
const KEY_TABLES: [Table; 12] = [
    tables::GROUP,
    tables::GROUP_BLOCK,
    tables::GROUP_HASHES,
    tables::GROUP_KEYS,
    tables::GROUP_EPOCH,
    tables::GROUP_SET,
    tables::GROUP_NEXT,
    tables::GROUP_SECRETS,
    GROUP_FILES,
    GROUP_FILE,
    GROUP_WAITING,
    tables::GROUP_COMMIT,
];

impl Town {
    /// What goes with a commit to a device.
    pub(super) fn contents_for(&self, id: usize, made: &Made) -> Vec<GroupControl> {
        let its = made.contents.iter().filter(|(_, device, _)| *device == self.device(id));
        its.map(|(_, _, control)| GroupControl { group_id: GROUP.to_vec(), control: Some(control.clone()) })
            .collect()
    }

    /// The records that hold keys of groups, and what waits for them.
    pub(super) fn keys_of(&self, id: usize) -> Vec<RecordKey> {
        let is_one =
            |(key, value): &(&RecordKey, &Vec<u8>)| KEY_TABLES.contains(&key.table) && !value.is_empty();
        self.disk(id).iter().filter(is_one).map(|(key, _)| key.clone()).collect()
    }

    /// All records of the group's rows, keys and epochs.
    pub(super) fn group_records(&self, id: usize) -> Vec<(RecordKey, Vec<u8>)> {
        let is_group = |table: Table| (0x01A0..=0x01AB).contains(&table.0);
        let records = self.disk(id).iter().filter(|(key, _)| is_group(key.table));
        records.map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

/// Records of tables that hold something.
fn count(town: &Town, id: usize, tables: &[Table]) -> usize {
    let holds = |(key, value): &(&RecordKey, &Vec<u8>)| tables.contains(&key.table) && !value.is_empty();
    town.disk(id).iter().filter(holds).count()
}

#[test]
fn the_files_of_a_welcome_that_is_refused_go_r_engine_77() {
    let mut town = Town::new(&["alice", "bob"]);
    town.found(0);
    town.snapshots_as_files = true;
    let made = town.commit(0, vec![add(&town.credential(1), Role::Administrator)], Keying::Tree);
    let [honest] = &town.contents_for(1, &made)[..] else { panic!("one welcome") };
    let mut bad = honest.clone();
    let Some(Control::Welcome(welcome)) = &mut bad.control else { panic!("a welcome") };
    welcome.epoch_secret[7] ^= 1;
    // Two that name the same files: what the one still waits with stays.
    town.control_as_is(1, 0, &bad);
    assert_eq!(count(&town, 1, &[GROUP_FILES, GROUP_WAITING]), 2);
    town.run(1);
    assert_eq!((town.files_fetched, town.epoch(1)), (2, 0));
    assert_eq!(count(&town, 1, &[GROUP_FILES, GROUP_FILE, GROUP_WAITING]), 0);
    town.control_as_is(1, 0, honest);
    town.control_as_is(1, 0, &bad);
    town.run(1);
    assert_eq!(town.epoch(1), 2);
    assert_eq!(count(&town, 1, &[GROUP_FILES, GROUP_FILE, GROUP_WAITING]), 0);
}

#[test]
fn a_tree_that_comes_when_the_role_is_gone_is_not_kept_r_engine_77() {
    let mut town = three();
    town.run(1);
    let made = town.commit(0, vec![set_role(&town.member(1), Role::Administrator)], Keying::Tree);
    town.give(1, &made.envelope);
    let paths = town.contents_for(1, &made);
    assert!(paths.iter().all(|path| town.control_as_is(1, 0, path)));
    assert_eq!((town.epoch(1), count(&town, 1, &[GROUP_WAITING])), (3, 1));
    let made = town.commit(0, vec![set_role(&town.member(1), Role::Member)], Keying::Regrow);
    town.give(1, &made.envelope);
    let paths = town.contents_for(1, &made);
    assert!(paths.iter().all(|path| town.control_as_is(1, 0, path)));
    assert_eq!((town.epoch(1), town.files_fetched), (4, 0));
    town.run(1);
    assert_eq!(town.files_fetched, 1);
    assert_eq!(count(&town, 1, &[GROUP_FILES, GROUP_FILE, GROUP_WAITING]), 0);
}

#[test]
fn whoever_is_removed_keeps_nothing_of_what_waits_r_engine_76() {
    let mut town = three();
    town.run(1);
    let made = town.commit(0, vec![set_role(&town.member(1), Role::Administrator)], Keying::Tree);
    town.give(1, &made.envelope);
    let paths = town.contents_for(1, &made);
    assert!(paths.iter().all(|path| town.control_as_is(1, 0, path)));
    let path = GroupPath { epoch: 9, commit: vec![1; 32], path: vec![2; 480], ..GroupPath::default() };
    let path = GroupControl { group_id: GROUP.to_vec(), control: Some(Control::Path(path)) };
    assert!(town.control_as_is(1, 0, &path));
    // Nobody knows whose that is.
    let mut stray = vec![0x17; 512];
    stray[1] ^= 1;
    town.give(1, &stray);
    assert_eq!(count(&town, 1, &[GROUP_WAITING]), 3);
    assert_eq!(count(&town, 1, &[GROUP_FILES]), 1);
    let slot = town.slot(0, 1);
    let made = town.commit(0, vec![remove(slot, chancery_group::Reason::Role)], Keying::Regrow);
    town.give(1, &made.envelope);
    assert_eq!(group(town.disk(1), &GROUP).unwrap().unwrap().summary.phase, GroupPhase::Removed);
    let left = town.keys_of(1);
    assert!(left.iter().all(|key| key.table == GROUP_WAITING) && left.len() == 1, "{left:?}");
}

#[test]
fn what_waits_for_too_long_goes_by_time_alone_r_engine_73() {
    let mut town = three();
    town.run(1);
    let made = town.commit(0, vec![set_role(&town.member(1), Role::Administrator)], Keying::Tree);
    town.give(1, &made.envelope);
    let paths = town.contents_for(1, &made);
    assert!(paths.iter().all(|path| town.control_as_is(1, 0, path)));
    town.give(1, &[0x17; 512]);
    let what = [GROUP_WAITING, GROUP_FILES];
    let days = |days: u32| 24 * 3600 * SECOND * days;
    for (days, left) in [(days(7), 3), (SECOND, 0)] {
        town.wait(days);
        town.handle(1, Input::Upkeep);
        assert_eq!(count(&town, 1, &what), left);
    }
}

#[test]
fn a_welcome_to_another_group_of_the_same_identifier_is_told_once_r_group_26() {
    // The same people; there carol founds what has the identifier of a group that is here.
    let (mut town, mut there) =
        (Town::new(&["alice", "bob", "carol"]), Town::new(&["alice", "bob", "carol"]));
    town.found(0);
    let adds = vec![add(&town.credential(1), Role::Member), add(&town.credential(2), Role::Member)];
    let joined = town.commit(0, adds, Keying::Tree);
    town.deliver(&joined, &[1, 2]);
    there.found(2);
    let made = there.commit(2, vec![add(&there.credential(1), Role::Member)], Keying::Tree);
    let [own] = &town.contents_for(1, &joined)[..] else { panic!("one welcome") };
    let [other] = &there.contents_for(1, &made)[..] else { panic!("one welcome") };
    let mut file = other.clone();
    let Some(Control::Welcome(welcome)) = &mut file.control else { panic!("a welcome") };
    welcome.snapshot_file = Some(GroupFile { blob_id: vec![1; 16], key: vec![1; 32], size: 7 });
    for epoch in 2..4 {
        let (before, acts) = (town.group_records(1), town.acts(1).len());
        for welcome in [own, other, &file, other] {
            town.control_as_is(1, 2, welcome);
            town.run(1);
        }
        assert_eq!((town.group_records(1) == before, town.epoch(1), town.files_fetched), (true, epoch, 0));
        assert_eq!(town.acts(1)[acts..], [ActKind::Refused]);
        let told = group_history(town.disk(1), &GROUP, 0, 100).unwrap().entries.pop().unwrap().act.unwrap();
        assert_eq!(told.code, acts::code(chancery_group::GroupError::Exists));
        assert_eq!(told.by, town.member(2).as_bytes());
        let role = if epoch == 2 { Role::Reader } else { Role::Member };
        let made = town.commit(0, vec![set_role(&town.member(2), role)], Keying::Tree);
        town.deliver(&made, &[1, 2]);
    }
}
