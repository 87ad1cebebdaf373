//! Several processes and threads on one store, and processes that are killed.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _};
use std::time::Duration;

use chancery_store::{FileLock, Store, StoreError};
use chancery_wire::records::Batch;

use super::common::{child_path, create, get, key, number, open, put, spawn};

const ROUNDS: u64 = 25;

/// Counts up by one, in one transaction, and returns the number before.
fn count_up(store: &mut Store) -> u64 {
    store
        .transaction(|records| {
            let before = number(records, "counter")?;
            let mut batch = Batch::default();
            batch.put(key("counter"), before.wrapping_add(1).to_be_bytes().to_vec());
            batch.put(key(&format!("entry {before}")), before.to_be_bytes().to_vec());
            Ok::<_, StoreError>((batch, before))
        })
        .unwrap()
}

#[test]
fn child_counts_up() {
    let Some(path) = child_path() else { return };
    let mut store = open(&path);
    for _ in 0..ROUNDS {
        println!("number {}", count_up(&mut store));
    }
}

#[test]
fn transactions_of_several_processes_and_threads_follow_one_another_and_lose_nothing() {
    // R-STORE-9.
    const PROCESSES: u64 = 3;
    const THREADS: u64 = 3;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    drop(create(&path));
    let children: Vec<_> =
        (0..PROCESSES).map(|_| spawn("scenarios::processes::child_counts_up", &path)).collect();
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let path = path.clone();
            std::thread::spawn(move || {
                let mut store = open(&path);
                (0..ROUNDS).map(|_| count_up(&mut store)).collect::<Vec<_>>()
            })
        })
        .collect();
    let mut seen: Vec<u64> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    for mut child in children {
        let mut text = String::new();
        child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        assert!(child.wait().unwrap().success(), "{text}");
        seen.extend(
            text.lines()
                .filter_map(|line| line.split_once("number "))
                .map(|(_, n)| n.parse::<u64>().unwrap()),
        );
    }
    let total = (PROCESSES + THREADS) * ROUNDS;
    assert_eq!(u64::try_from(seen.len()).unwrap(), total);
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), (0..total).collect());
    let mut store = open(&path);
    for n in 0..total {
        assert_eq!(get(&mut store, &format!("entry {n}")), Ok(Some(n.to_be_bytes().to_vec())));
    }
    assert_eq!(store.check(), Ok(total + 1));
}

#[test]
fn a_read_sees_one_commit_while_another_handle_writes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let mut reader = create(&path);
    let mut writer = open(&path);
    put(&mut writer, "a", b"old").unwrap();
    reader
        .read(|records| {
            assert_eq!(records.get(&key("a"))?, Some(b"old".to_vec()));
            put(&mut writer, "a", b"new").unwrap();
            assert_eq!(records.get(&key("a"))?, Some(b"old".to_vec()));
            Ok::<_, StoreError>(())
        })
        .unwrap();
    assert_eq!(get(&mut reader, "a"), Ok(Some(b"new".to_vec())));
}

#[test]
fn an_error_or_a_panic_in_the_closure_writes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let mut store = create(&path);
    put(&mut store, "a", b"old").unwrap();

    #[derive(Debug, PartialEq)]
    enum Refusal {
        Own,
        Store(StoreError),
    }
    impl From<StoreError> for Refusal {
        fn from(error: StoreError) -> Self {
            Self::Store(error)
        }
    }
    let refused: Result<(), Refusal> = store.transaction(|_| Err(Refusal::Own));
    assert_eq!(refused, Err(Refusal::Own));
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        store.transaction(|_| -> Result<(Batch, ()), StoreError> { panic!("on purpose") })
    }));
    assert!(panicked.is_err());
    // A batch that fails on its last record takes the first with it.
    let refused: Result<(), Refusal> = store.transaction(|_| {
        let mut batch = Batch::default();
        batch.put(key("a"), b"new".to_vec());
        batch.put(key("b"), vec![0; 2 << 20]);
        Ok((batch, ()))
    });
    assert_eq!(refused, Err(Refusal::Store(StoreError::TooLarge)));
    assert_eq!(get(&mut store, "a"), Ok(Some(b"old".to_vec())));
    put(&mut open(&path), "a", b"others are not locked out").unwrap();
}

const RECORDS: u64 = 20;

#[test]
fn child_writes_until_it_is_killed() {
    let Some(path) = child_path() else { return };
    let mut store = open(&path);
    loop {
        let round = store
            .transaction(|records| {
                let round = number(records, "0")? + 1;
                let mut batch = Batch::default();
                for n in 0..RECORDS {
                    let mut value = round.to_be_bytes().to_vec();
                    value.resize(8 << 10, 1);
                    batch.put(key(&n.to_string()), value);
                }
                Ok::<_, StoreError>((batch, round))
            })
            .unwrap();
        println!("round {round}");
    }
}

#[test]
fn a_killed_process_leaves_all_of_a_transaction_or_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    drop(create(&path));
    let mut reached = 0;
    for attempt in 0..12u64 {
        let mut child = spawn("scenarios::processes::child_writes_until_it_is_killed", &path);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut acknowledged = reached;
        for _ in 0..=attempt % 3 {
            let line = lines.by_ref().map(Result::unwrap).find(|line| line.contains("round ")).unwrap();
            acknowledged = line.split_once("round ").unwrap().1.parse().unwrap();
        }
        std::thread::sleep(Duration::from_micros(attempt * 700));
        child.kill().unwrap();
        child.wait().unwrap();

        // Several may find the log that has to be recovered at the same time.
        std::thread::scope(|scope| (0..3).for_each(|_| drop(scope.spawn(|| open(&path)))));
        let mut store = open(&path);
        let rounds: BTreeSet<u64> = store
            .read(|records| {
                (0..RECORDS).map(|n| number(records, &n.to_string())).collect::<Result<_, StoreError>>()
            })
            .unwrap();
        assert_eq!(rounds.len(), 1, "a transaction was torn: {rounds:?}");
        reached = *rounds.first().unwrap();
        assert!(reached >= acknowledged, "round {acknowledged} was reported and lost, {reached} is there");
        assert_eq!(store.check(), Ok(RECORDS));
    }
}

#[test]
fn child_waits_inside_a_transaction() {
    let Some(path) = child_path() else { return };
    let _lock = FileLock::try_acquire(path.with_extension("lock")).unwrap().unwrap();
    open(&path)
        .transaction(|_| {
            println!("inside");
            std::thread::sleep(Duration::from_secs(60));
            let mut batch = Batch::default();
            batch.put(key("a"), b"new".to_vec());
            Ok::<_, StoreError>((batch, ()))
        })
        .unwrap();
}

#[test]
fn a_process_killed_inside_a_transaction_leaves_nothing_and_no_lock() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let mut store = create(&path);
    put(&mut store, "a", b"old").unwrap();
    let mut child = spawn("scenarios::processes::child_waits_inside_a_transaction", &path);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.find(|line| line.as_ref().unwrap().contains("inside")).unwrap().unwrap();
    assert_eq!(get(&mut store, "a"), Ok(Some(b"old".to_vec())), "readers do not wait for a writer");
    let lock = path.with_extension("lock");
    assert!(FileLock::try_acquire(&lock).unwrap().is_none());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(FileLock::try_acquire(&lock).unwrap().is_some());
    assert_eq!(get(&mut store, "a"), Ok(Some(b"old".to_vec())));
    put(&mut store, "a", b"later").unwrap();
}

#[test]
fn handles_that_come_and_go_do_not_disturb_one_another() {
    // The last one to close moves the log into the file and removes it, while the next one opens.
    const THREADS: u64 = 4;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    drop(create(&path));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                (0..ROUNDS).for_each(|_| {
                    count_up(&mut open(&path));
                })
            });
        }
    });
    let mut store = open(&path);
    assert_eq!(store.read(|records| number(records, "counter")), Ok(THREADS * ROUNDS));
    assert_eq!(store.check(), Ok(THREADS * ROUNDS + 1));
}

#[test]
fn child_reports_its_memory() {
    let Some(path) = child_path() else { return };
    let mut store = Store::open(&path, &super::common::passphrase("p")).unwrap();
    for n in 0..200u32 {
        store
            .transaction(|_| {
                let mut batch = Batch::default();
                (0..20).for_each(|m| batch.put(key(&format!("{n} {m}")), vec![1; 4000]));
                Ok::<_, StoreError>((batch, ()))
            })
            .unwrap();
    }
    assert_eq!(store.check(), Ok(4000));
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    println!("{}", status.lines().find(|line| line.starts_with("VmRSS:")).unwrap());
}

#[cfg(target_os = "linux")]
#[test]
fn an_open_store_keeps_little_memory_even_after_a_passphrase_and_many_writes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let source = super::common::passphrase("p");
    drop(Store::create(&path, &source, &mut chancery_crypto::rng::seeded([1; 32])).unwrap());
    let output = spawn("scenarios::processes::child_reports_its_memory", &path).wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (_, rss) = text.split_once("VmRSS:").unwrap();
    let kib: u64 = rss.split_whitespace().next().unwrap().parse().unwrap();
    assert!(kib < 16 * 1024, "{kib} KiB resident");
    let log = std::fs::metadata(directory.path().join("store.db-wal")).map_or(0, |file| file.len());
    assert!(log <= 4 << 20, "the log has {log} bytes");
}
