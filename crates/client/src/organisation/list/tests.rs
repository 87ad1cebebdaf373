//! Lists, read and taken.
#![allow(clippy::arithmetic_side_effects, reason = "a test that goes wrong may panic")]

use chancery_crypto::secret::Secret;

use chancery_crypto::rng::seeded;
use chancery_crypto::signature::SigningKey;

use super::*;
use crate::organisation::{LogKey, found, invite, record_relay};

const DAY: Duration = Duration::from_secs(86_400);

/// Handle, name and unit of everybody; an absent name is a dash.
fn people(text: &str) -> Vec<String> {
    let list = PeopleList::parse(text.as_bytes()).unwrap();
    let shown = |person: &Person| {
        let name = person.name.as_ref().map_or("-", DisplayName::as_str);
        format!(
            "{} {}|{name}|{}",
            person.line,
            person.handle,
            person.unit.as_ref().map_or("-", DisplayName::as_str)
        )
    };
    list.0.iter().map(shown).collect()
}

/// Lines and words of everything that is wrong.
fn faults(bytes: impl AsRef<[u8]>) -> Vec<(usize, String)> {
    let faults = PeopleList::parse(bytes.as_ref()).unwrap_err();
    faults.into_iter().map(|fault| (fault.line, fault.what)).collect()
}

#[track_caller]
fn one_fault(bytes: impl AsRef<[u8]>, line: usize, word: &str) {
    let faults = faults(bytes);
    assert!(faults.len() == 1 && faults[0].0 == line && faults[0].1.contains(word), "{faults:?}");
}

#[test]
fn lists_of_every_program_are_read_r_org_26() {
    assert_eq!(people("handle,name\nalice,Alice Liddell\nbob,\n"), ["2 alice|Alice Liddell|-", "3 bob|-|-"]);
    let windows = "\u{feff}unit,name,handle\r\n\r\nSales,Alice,alice\r\n,Bob,bob";
    assert_eq!(people(windows), ["3 alice|Alice|Sales", "4 bob|Bob|-"]);
    let quoted = "\"handle\",\"name\"\n\"alice\",\"Liddell, Alice \"\"Al\"\"\"\n";
    assert_eq!(people(quoted), ["2 alice|Liddell, Alice \"Al\"|-"]);
    assert_eq!(people("handle,name\nzoe,Zoë Müller 🙂\n"), ["2 zoe|Zoë Müller 🙂|-"]);
    assert!(people("handle,name\n").is_empty() && people("name,handle").is_empty());
}

#[test]
fn everything_that_is_wrong_is_told_at_once_with_its_line() {
    let text = "handle,name\nAlice,A\nbob,Bob\n\ncarol\ndave,Dave,x\nbob,Bobby\n\"eve,Eve\nf\"x,F\n\"g\"g,G\nhal,a\tb\nbob,B\nOK,\u{202e}\n";
    let lines: Vec<usize> = faults(text).iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [2, 5, 6, 7, 8, 9, 10, 11, 12, 13, 13]);
    let words = faults(text);
    assert!(words[0].1.contains("\"Alice\" is no handle"), "{words:?}");
    assert!(words[1].1.contains("1 fields and not 2"), "{words:?}");
    assert!(words[3].1.contains("handle bob stands in line 3 too"), "{words:?}");
    assert!(words[4].1.contains("not closed"), "{words:?}");
    assert!(words[8].1.contains("handle bob stands in line 3 too"), "{words:?}");
    assert!(words[10].1.contains("\\u{202e}"), "a fault turns no terminal around: {words:?}");
}

#[test]
fn a_header_has_the_columns_that_are_read_and_no_others() {
    one_fault("", 1, "no header");
    one_fault("\r\n\n", 1, "no header");
    one_fault("\u{feff}", 1, "no header");
    one_fault("\n\nhandle\nalice", 3, "column name is missing");
    one_fault("handle,name,email\nalice,Alice,a@example.org", 1, "column \"email\" would be ignored");
    one_fault("handle,name,handle\n", 1, "column handle stands there twice");
    one_fault("handle,name,\"unit\n", 1, "not closed");
    assert_eq!(faults("Handle,Name").len(), 4, "both unknown, both missing");
    assert_eq!(faults("handle;name\nalice;Alice").len(), 3);
}

#[test]
fn long_and_foreign_lists_are_refused_without_showing_them() {
    one_fault([b"handle,name\nalice,A\nbob,".as_slice(), &[0xFF], b"\n"].concat(), 3, "UTF-8");
    let long = format!("handle,name\nalice,A\n{},Bob\ncarol,{}\n", "b".repeat(1 << 20), "C".repeat(1 << 20));
    let wrong = faults(long);
    assert_eq!(wrong.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [3, 4]);
    assert!(wrong.iter().all(|(_, what)| what.len() < 200), "{wrong:?}");
    one_fault(vec![b'a'; MAX_LIST_LEN + 1], 1, "longer than");
    let mut most = "handle,name\n".to_owned();
    most.extend((0..MAX_PEOPLE).map(|number| format!("p{number},\n")));
    assert_eq!(PeopleList::parse(most.as_bytes()).unwrap().len(), MAX_PEOPLE);
    one_fault(format!("{most}\none-more,"), MAX_PEOPLE + 3, "more than 10000 people");
}

#[test]
fn every_field_that_is_written_by_the_rules_is_read_as_it_was() {
    // RFC 4180: quoted, with quotation marks doubled.
    let letters = ["", "a", ",", "\"", " "];
    let texts = |count: u32| {
        (0..5_usize.pow(count)).map(move |mut number| {
            (0..count).fold(String::new(), |text, _| {
                let letter = letters[number % 5];
                number /= 5;
                text + letter
            })
        })
    };
    for one in texts(4) {
        for two in ["", "x", ",", "\"\""] {
            let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
            assert_eq!(
                fields(&format!("{},{}", quoted(&one), quoted(two))),
                Ok(vec![one.clone(), two.into()])
            );
        }
        // Without quotes it is read as it stands, or refused.
        let bare = fields(&one).map(|fields| fields.join(","));
        assert!(
            bare.is_err() || bare == Ok(one.clone()) || one.starts_with('"') || one.contains(",\""),
            "{one}"
        );
    }
}

/// An organisation that has recorded a relay; none need answer.
struct Office {
    folder: tempfile::TempDir,
    key: KeySource,
}

impl Office {
    fn open() -> Self {
        let office = Self {
            folder: tempfile::tempdir().unwrap(),
            key: KeySource::KeyFile(Secret::from_bytes([1; 32])),
        };
        found(office.folder.path(), "Acme", &office.key).unwrap();
        let log_key = SigningKey::generate(&mut seeded([2; 32]));
        let log_key = LogKey(log_key.verifying_key().clone());
        let url = "wss://relay.example:443";
        record_relay(office.folder.path(), &office.key, url, &[9; 32], &log_key).unwrap();
        office
    }

    fn compare(&self, text: &str) -> Vec<ListedState> {
        let list = PeopleList::parse(text.as_bytes()).unwrap();
        let listed = compare_list(self.folder.path(), &self.key, &list, DAY).unwrap();
        assert!(listed.iter().all(|listed| listed.invitation.is_none()), "no links without an invitation");
        listed.iter().map(|listed| listed.state).collect()
    }

    fn take(&self, text: &str, valid: Duration) -> Result<Vec<Listed>, ListError> {
        let list = PeopleList::parse(text.as_bytes()).unwrap();
        invite_list(self.folder.path(), &self.key, &list, valid)
    }
}

#[test]
fn a_list_may_be_given_again_and_gives_the_open_links_again_r_org_26() {
    use ListedState::{Invite, Unchanged};
    let office = Office::open();
    let text = "handle,name,unit\nalice,Alice,Sales\nbob,,\n";
    assert_eq!(office.compare(text), [Invite, Invite]);
    assert_eq!(office.compare(text), [Invite, Invite], "comparing changes nothing");
    let first = office.take(text, DAY).unwrap();
    assert_eq!((first[0].line, first[0].unit.as_deref(), first[1].unit.as_deref()), (2, Some("Sales"), None));
    assert_eq!(office.compare(text), [Unchanged, Unchanged]);
    let second = office.take(&format!("{text}carol,Carol,\n"), DAY).unwrap();
    assert_eq!(second.iter().map(|it| it.state).collect::<Vec<_>>(), [Unchanged, Unchanged, Invite]);
    assert_eq!((&second[0].invitation, &second[1].invitation), (&first[0].invitation, &first[1].invitation));
}

#[test]
fn who_let_an_invitation_expire_is_invited_again() {
    let office = Office::open();
    let text = "handle,name\nalice,Alice\n";
    let first = office.take(text, Duration::from_millis(1)).unwrap();
    std::thread::sleep(Duration::from_millis(5));
    assert_eq!(office.compare(text), [ListedState::Invite]);
    let again = office.take(text, DAY).unwrap();
    let (first, again) = (first[0].invitation.clone().unwrap(), again[0].invitation.clone().unwrap());
    assert!(first.link != again.link && first.member == again.member);
}

#[test]
fn a_list_with_a_conflict_invites_nobody() {
    use ListedState::{Conflict, Invite, Unchanged};
    let office = Office::open();
    invite(office.folder.path(), &office.key, "alice", Some("Alice Liddell"), DAY).unwrap();
    let text = "handle,name\nbob,Bob\nalice,Alice Springs\n";
    assert_eq!(office.compare(text), [Invite, Conflict]);
    let Err(ListError::Faults(faults)) = office.take(text, DAY) else { panic!("a conflict") };
    assert!(
        faults.len() == 1 && faults[0].line == 3 && faults[0].what.contains("Alice Liddell"),
        "{faults:?}"
    );
    assert_eq!(office.compare("handle,name\nbob,\nalice,\n"), [Invite, Unchanged], "bob was not invited");
    let Err(ListError::Other(error)) = office.take("handle,name\nbob,\n", DAY * 91) else {
        panic!("too long")
    };
    assert_eq!(error.code(), ErrorCode::Usage);
    assert_eq!(office.compare("handle,name\nbob,\n"), [Invite]);
}

#[test]
fn the_longest_list_is_taken_in_one_commit() {
    let office = Office::open();
    let mut text = "handle,name\n".to_owned();
    text.extend((0..MAX_PEOPLE).map(|number| format!("p{number},Person {number}\n")));
    let begun = std::time::Instant::now();
    let listed = office.take(&text, DAY).unwrap();
    println!("{:?}", begun.elapsed());
    let links: std::collections::BTreeSet<_> =
        listed.iter().map(|it| it.invitation.clone().unwrap().link).collect();
    assert_eq!(links.len(), MAX_PEOPLE);
    assert!(office.compare(&text).iter().all(|state| *state == ListedState::Unchanged));
}
