//! A disk without space, where the system lets the test make one.

#![cfg(target_os = "linux")]

use std::path::Path;
use std::process::Command;

use chancery_crypto::rng::seeded;
use chancery_store::{Store, StoreError, create_key_file, sealed_file};
use chancery_wire::records::Batch;

use super::common::{create, get, key, key_file, open, put};

/// A file system of one MiB, unmounted on drop.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// Returns `None` where the test may not mount; a limit within `SQLite` is tested beside the store.
    fn mount() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let done = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m,mode=0700", "none"])
            .arg(directory.path())
            .output()
            .is_ok_and(|output| output.status.success());
        done.then_some(Self(directory))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _done = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

#[test]
fn a_full_disk_fails_the_commit_and_the_store_works_again_once_there_is_space() {
    let Some(disk) = SmallDisk::mount() else { return };
    let path = disk.path().join("store.db");
    let mut store = create(&path);
    put(&mut store, "kept", b"old").unwrap();
    let ballast = disk.path().join("ballast");
    std::fs::write(&ballast, vec![0; 300 << 10]).unwrap();

    let mut written = 0u32;
    let error = loop {
        let done = store.transaction(|_| {
            let mut batch = Batch::default();
            batch.put(key("kept"), written.to_be_bytes().to_vec());
            (0..8).for_each(|n| batch.put(key(&format!("{written} {n}")), vec![1; 4000]));
            Ok::<_, StoreError>((batch, ()))
        });
        match done {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error, StoreError::Full);
    let all_or_nothing = |store: &mut Store| {
        assert_eq!(get(store, "kept"), Ok(Some((written - 1).to_be_bytes().to_vec())));
        assert_eq!(get(store, &format!("{} 7", written - 1)), Ok(Some(vec![1; 4000])));
        assert_eq!(get(store, &format!("{written} 0")), Ok(None));
        assert_eq!(store.check(), Ok(u64::from(written) * 8 + 1));
    };
    all_or_nothing(&mut store);
    drop(store);
    let mut store = open(&path);
    all_or_nothing(&mut store);

    std::fs::remove_file(&ballast).unwrap();
    put(&mut store, "kept", b"new").unwrap();
    drop(store);
    assert_eq!(get(&mut open(&path), "kept"), Ok(Some(b"new".to_vec())));
}

#[test]
fn a_full_disk_leaves_the_old_sealed_file_and_no_half_of_a_new_file() {
    let Some(disk) = SmallDisk::mount() else { return };
    let mut rng = seeded([2; 32]);
    let sealed = disk.path().join("root.sealed");
    sealed_file::write(&sealed, &key_file(), b"old", &mut rng).unwrap();
    let mut ballast = std::fs::File::create(disk.path().join("ballast")).unwrap();
    while std::io::Write::write(&mut ballast, &[0; 4096]).is_ok() {}

    assert_eq!(sealed_file::write(&sealed, &key_file(), &[0; 9000], &mut rng), Err(StoreError::Full));
    assert_eq!(sealed_file::read(&sealed, &key_file()).unwrap().expose(), b"old");
    let store = disk.path().join("store.db");
    assert_eq!(Store::create(&store, &key_file(), &mut rng).err(), Some(StoreError::Full));
    assert!(!Store::exists(&store));
    assert_eq!(create_key_file(disk.path().join("key"), &mut rng).err(), Some(StoreError::Full));
    let mut left: Vec<_> =
        std::fs::read_dir(disk.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["ballast", "root.sealed"]);
}
