//! Names, identifiers and patience: whom a client writes to, and for how long a call asks.
#![cfg(test)]

use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chancery::transport::{BoxFuture, ConnectError, Connector, Link, Transport};
use chancery::{
    Client, Error, ErrorCode, GroupRole, Happening, MessageState, Outgoing, read_or_create_key_file,
};
use chancery_dev::{Organisation, PATIENCE};

const SHORT: Duration = Duration::from_millis(300);
/// Far less than any timeout of a connection, and enough for a busy machine.
const SOON: Duration = Duration::from_secs(8);

/// A line on which nothing ever comes.
struct Hangs;

impl Transport for Hangs {
    fn connector(&self, _url: &str, _pin: &[u8; 32]) -> Result<Arc<dyn Connector>, Error> {
        Ok(Arc::new(Self))
    }
}

impl Connector for Hangs {
    fn connect(&self) -> BoxFuture<'_, Result<Box<dyn Link>, ConnectError>> {
        Box::pin(pending())
    }
}

/// Opens the home of somebody who was enrolled, on a line that hangs.
fn cut_off(acme: &Organisation, who: &str) -> Result<Client, chancery_dev::Error> {
    let key = read_or_create_key_file(acme.folder().join(format!("{who}.key")))?;
    Ok(Client::open_over(&acme.folder().join(who), &key, Arc::new(Hangs), None)?)
}

fn code<T>(result: Result<T, Error>) -> Option<ErrorCode> {
    result.err().map(|error| error.code())
}

#[tokio::test]
async fn every_call_that_is_given_patience_keeps_it_and_finds_who_is_known_whatever_it_is()
-> Result<(), chancery_dev::Error> {
    let acme = Organisation::start("Acme").await?;
    let (alice, _bob) = (acme.member("alice").await?, acme.member("bob").await?);
    alice.sync(PATIENCE).await?;
    let (crew, _) = alice.create_group("Crew", &["bob"], PATIENCE).await?;
    let crew = *crew.id();
    drop(alice);
    let alice = cut_off(&acme, "alice")?;
    let crew = alice.group(&chancery::json::hex(&crew)).await?;
    let begun = Instant::now();
    let text = || Outgoing { text: "Tea?".into(), ..Outgoing::default() };
    assert_eq!(code(alice.send_message("nobody", text(), SHORT).await), Some(ErrorCode::TimedOut));
    assert_eq!(code(alice.create_group("G", &["nobody"], SHORT).await), Some(ErrorCode::TimedOut));
    assert_eq!(code(crew.add(&["nobody"], GroupRole::Member, SHORT).await), Some(ErrorCode::TimedOut));
    assert_eq!(code(crew.remove(&["nobody"], SHORT).await), Some(ErrorCode::TimedOut));
    assert_eq!(code(crew.set_role("nobody", GroupRole::Member, SHORT).await), Some(ErrorCode::TimedOut));
    assert_eq!(code(crew.hand_over("nobody", SHORT).await), Some(ErrorCode::TimedOut));
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());

    // Without any time whoever is known is found, and nobody waits as a name.
    let sent = alice.send("bob", "Tea?", &[], Duration::ZERO).await?;
    assert_eq!(sent.state, MessageState::Queued);
    assert!(alice.unaddressed().await?.is_empty());
    assert_eq!(alice.history("bob", 0).await?.len(), 1);
    assert_eq!(sent.waiting.map(|it| it.code()), Some(ErrorCode::TimedOut));
    Ok(())
}

#[tokio::test]
async fn what_waits_for_a_name_is_listed_and_taken_back() -> Result<(), chancery_dev::Error> {
    let acme = Organisation::start("Acme").await?;
    let file = acme.folder().join("notes.txt");
    std::fs::write(&file, "Tea at four.")?;
    acme.member("alice").await?;
    let alice = cut_off(&acme, "alice")?;
    let slip = alice.send("dvae", "a slip", &[file], SHORT).await?;
    let kept = alice.send("dave", "for dave", &[], SHORT).await?;
    let listed = alice.unaddressed().await?;
    let names: Vec<_> = listed.iter().map(|it| (it.to.as_str(), it.message.id, it.message.state)).collect();
    assert_eq!(names, [("dvae", slip.id, MessageState::Queued), ("dave", kept.id, MessageState::Queued)]);
    assert!(!format!("{listed:?}").contains("dave"));
    let spooled = || -> usize {
        let spool = acme.folder().join("alice").join("spool");
        std::fs::read_dir(spool).map_or(0, |found| found.flatten().filter(|it| it.path().is_file()).count())
    };
    assert_eq!(spooled(), 1);
    alice.discard(slip.id).await?;
    assert_eq!(spooled(), 0, "its file goes with it");
    assert_eq!(code(alice.discard(slip.id).await), Some(ErrorCode::MessageUnknown));
    drop(alice);

    // Two people come: one who is called like the slip, one who was meant.
    let (dave, dvae) = (acme.member("dave").await?, acme.member("dvae").await?);
    let key = read_or_create_key_file(acme.folder().join("alice.key"))?;
    let alice = Client::open(&acme.folder().join("alice"), &key)?;
    alice.sync(PATIENCE).await?;
    alice.send_waiting(PATIENCE).await?;
    for (who, texts) in [(&dave, 1), (&dvae, 0)] {
        who.sync(PATIENCE).await?;
        let came = who.events().await?.into_iter();
        let came = came.filter(|event| matches!(event.happening, Happening::Message(_))).count();
        assert_eq!(came, texts);
    }
    assert!(alice.unaddressed().await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn an_identifier_is_nobodys_name_and_what_two_are_called_is_nobodys_either_r_engine_142()
-> Result<(), chancery_dev::Error> {
    let acme = Organisation::start("Acme").await?;
    let (alice, bob) = (acme.member("alice").await?, acme.member("bob").await?);
    let alices = alice.me().member_id.to_string();
    let refused = chancery::organisation::invite(
        &acme.folder().join("organisation"),
        &read_or_create_key_file(acme.folder().join("organisation.key"))?,
        &alices,
        None,
        PATIENCE,
    );
    assert_eq!(code(refused), Some(ErrorCode::NameNotAllowed));

    // Anybody may call a group like a colleague.
    let (group, _) = bob.create_group("alice", &["alice"], PATIENCE).await?;
    let id = chancery::json::hex(group.id());
    bob.send(&alices, "for her", &[], PATIENCE).await?;
    assert_eq!(bob.conversation(&alices).await?.id, alice.me().member_id);
    assert_eq!(code(bob.conversation("alice").await), Some(ErrorCode::GroupAmbiguous));
    assert_eq!(code(bob.mark_read("alice", 0).await), Some(ErrorCode::GroupAmbiguous));
    assert_eq!(bob.conversation(&id).await?.id.to_string(), id);

    // What is sent by name goes to the member; a group is written to by its identifier.
    bob.send("alice", "by handle", &[], PATIENCE).await?;
    bob.send(&id, "to all", &[], PATIENCE).await?;
    bob.send_message(&id, Outgoing { text: "once more".into(), ..Outgoing::default() }, PATIENCE).await?;
    alice.sync(PATIENCE).await?;
    let (mut direct, mut grouped) = (Vec::new(), Vec::new());
    for event in alice.events().await? {
        if let Happening::Message(message) = event.happening {
            if message.group.is_some() { &mut grouped } else { &mut direct }
                .push(message.text.unwrap_or_default());
        }
    }
    assert_eq!(
        (direct, grouped),
        (vec!["for her".into(), "by handle".into()], vec![String::from("to all"), "once more".into()])
    );
    Ok(())
}

#[tokio::test]
async fn the_reason_is_this_messages_own() -> Result<(), chancery_dev::Error> {
    let acme = Organisation::start("Acme").await?;
    let (alice, bob) = (acme.member("alice").await?, acme.member("bob").await?);
    // A name that nobody has waits, and holds up nothing.
    alice.send("nobody-yet", "waits", &[], Duration::ZERO).await?;
    let sent = alice.send("bob", "Tea?", &[], PATIENCE).await?;
    assert_eq!((sent.state, sent.waiting), (MessageState::Sent, None));
    let waits = alice.send("nobody-else", "waits, too", &[], Duration::ZERO).await?;
    assert!(waits.waiting.is_some(), "it says why");
    bob.sync(PATIENCE).await?;
    assert_eq!(bob.events().await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn nothing_that_is_shown_for_debugging_names_anybody() -> Result<(), chancery_dev::Error> {
    let acme = Organisation::start("Acme").await?;
    let (alice, bob) = (acme.member("xalicex").await?, acme.member("xbobx").await?);
    bob.create_group("xcrewx", &["xalicex"], PATIENCE).await?.1.waiting.map_or(Ok(()), |_| Err("waits"))?;
    bob.send("xalicex", "hello", &[], PATIENCE).await?;
    alice.sync(PATIENCE).await?;
    let asked = alice.find_message("xbobx", "last").await?;
    alice.react(asked.reference(), "🦊", false, PATIENCE).await?;
    let shown = format!(
        "{:?} {:?} {:?} {:?} {:?}",
        alice.me(),
        alice.group("xcrewx").await?.state().await?.members,
        alice.find_message("xbobx", "last").await?.reactions,
        alice.group("xcrewx").await?.history(0).await?.entries.first(),
        alice.resolve("xbobx").await?,
    );
    for named in ["xalicex", "xbobx", "xcrewx", "🦊"] {
        assert!(!shown.contains(named), "{named} in {shown}");
    }
    Ok(())
}
