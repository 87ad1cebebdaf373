//! What keys and news do to the model.

use chancery::{Error, ErrorCode, MemberId, Mention};

use super::*;
use crate::chat::command::{Command, GroupWish};
use crate::chat::model::{Came, Focus, Link, Place, Saying};
use crate::chat::open::Writing;
use crate::chat::overlay::{Overlay, Person};

fn bob() -> Place {
    Place { id: BOB.into(), is_group: false }
}

fn saying(text: &str, reply_to: Option<MessageRef>) -> Want {
    Want::Say(Box::new(Saying {
        to: bob(),
        text: text.into(),
        files: Vec::new(),
        reply_to,
        mentions: Vec::new(),
    }))
}

fn typed(model: &Model) -> &str {
    model.open.as_ref().unwrap().editor.text()
}

#[test]
fn enter_sends_what_was_written_and_nothing_twice() {
    let mut model = talking(vec![]);
    write(&mut model, "Tea at four?");
    assert_eq!(press(&mut model, KeyCode::Enter), [saying("Tea at four?", None)]);
    assert_eq!((press(&mut model, KeyCode::Enter), typed(&model)), (vec![], ""));
    write(&mut model, "  ");
    assert_eq!(press(&mut model, KeyCode::Enter), []);
    ctrl(&mut model, 'u');
    write(&mut model, "one");
    ctrl(&mut model, 'j');
    write(&mut model, "two");
    assert_eq!(press(&mut model, KeyCode::Enter), [saying("one\ntwo", None)]);
}

#[test]
fn what_could_not_be_stored_is_there_to_be_sent_again() {
    let mut model = talking(vec![]);
    let message = Saying { to: bob(), text: "long".into(), files: vec![], reply_to: None, mentions: vec![] };
    let not_said = |why: &str| News::NotSaid { saying: Box::new(message.clone()), why: why.into() };
    model.news(not_said("the message is too large"));
    assert_eq!((typed(&model), notice(&model)), ("long", "the message is too large"));
    write(&mut model, "er");
    model.news(not_said("again"));
    assert_eq!(typed(&model), "long\nlonger", "what was written since stays");
    // Another is open by now.
    open(&mut model, row(CREW, "Crew", ""), vec![said(1, true, "Tea?")]);
    model.rows[0].draft = Some("begun".into());
    let text = "long\nbegun".to_owned();
    assert_eq!(model.news(not_said("again")), [Want::Draft { id: BOB.into(), text }]);
    let not_edited = || News::NotEdited { message: key_of(1, true), text: "Tea!".into(), why: "no".into() };
    model.news(not_edited());
    let writing = model.open.as_ref().unwrap().writing;
    assert_eq!((typed(&model), writing), ("Tea!", Writing::Edit(key_of(1, true))));
    model.news(not_edited());
    assert_eq!(notice(&model), "no; the text was: Tea!");
}

#[test]
fn the_chosen_message_is_replied_to_reacted_to_edited_and_deleted() {
    let mut model = talking(vec![said(1, false, "Tea?"), happened(2, "…"), said(3, true, "Gladly.")]);
    press(&mut model, KeyCode::Up);
    assert_eq!(model.focus, Focus::Messages);
    press(&mut model, KeyCode::Char('e'));
    assert_eq!((typed(&model), model.focus), ("Gladly.", Focus::Writing));
    write(&mut model, "!");
    assert_eq!(press(&mut model, KeyCode::Enter), [Want::Edit(key_of(3, true), "Gladly.!".into())]);

    press(&mut model, KeyCode::Up);
    press(&mut model, KeyCode::Char('d'));
    assert_eq!(press(&mut model, KeyCode::Char('x')), [], "a slip of the finger is no answer");
    assert_eq!(press(&mut model, KeyCode::Char('y')), [Want::Delete(key_of(3, true))]);

    press(&mut model, KeyCode::Up);
    press(&mut model, KeyCode::Char('e'));
    assert_eq!(notice(&model), "that is not yours", "what happened between is no message");
    press(&mut model, KeyCode::Char('+'));
    write(&mut model, "ok");
    let react = |remove| Want::React { message: key_of(1, false), emoji: "ok".into(), remove };
    assert_eq!(press(&mut model, KeyCode::Enter), [react(false)]);
    let reacted = with(said(1, false, "Tea?"), |it| it.reactions.push(("ok".into(), "you".into())));
    model.news(News::Page { id: BOB.into(), page: page(vec![reacted]) });
    press(&mut model, KeyCode::Home);
    press(&mut model, KeyCode::Char('+'));
    write(&mut model, "ok");
    assert_eq!(press(&mut model, KeyCode::Enter), [react(true)], "the same again takes it back");

    press(&mut model, KeyCode::Char('r'));
    assert_eq!(model.open.as_ref().unwrap().writing, Writing::Reply(key_of(1, false)));
    write(&mut model, "Yes");
    assert_eq!(press(&mut model, KeyCode::Enter), [saying("Yes", Some(key_of(1, false)))]);
    assert_eq!(model.open.as_ref().unwrap().writing, Writing::New);
}

#[test]
fn a_draft_is_kept_when_another_conversation_is_opened_and_at_the_end() {
    let mut model = talking(vec![]);
    write(&mut model, "Dear Bob,");
    let wants = open(&mut model, row(CREW, "Crew", ""), vec![]);
    assert_eq!(wants, [Want::Draft { id: BOB.into(), text: "Dear Bob,".into() }]);
    assert_eq!(typed(&model), "");
    let with_draft = Row { draft: Some("Dear Bob,".into()), ..row(BOB, "bob", "") };
    assert_eq!(open(&mut model, with_draft, vec![]), [], "nothing was begun in the group");
    assert_eq!(typed(&model), "Dear Bob,");
    assert_eq!(ctrl(&mut model, 'c'), [], "it is stored already");
    ctrl(&mut model, 'u');
    assert_eq!(ctrl(&mut model, 'q'), [Want::Draft { id: BOB.into(), text: String::new() }]);
    assert!(model.has_quit);
}

#[test]
fn what_was_seen_is_marked_once_and_only_if_somebody_looks() {
    let unread = |at| with(said(at, false, "Tea?"), |it| it.is_unread = true);
    let mut model = talking(vec![unread(0), unread(2)]);
    model.is_watched = false;
    assert_eq!(model.seen(&[0, 2]), []);
    model.is_watched = true;
    model.overlay = Some(Overlay::Help(0));
    assert_eq!(model.seen(&[0, 2]), []);
    model.overlay = None;
    assert_eq!(model.seen(&[]), []);
    let mark = |up_to| Want::MarkRead { id: BOB.into(), up_to };
    assert_eq!(model.seen(&[0])[0], mark(0));
    assert_eq!(model.seen(&[0]), [], "it was told already");
    assert_eq!(model.seen(&[2])[0], mark(2));
}

#[test]
fn what_stands_before_a_gap_is_not_marked_with_what_stands_behind_it() {
    let unread = |at| with(said(at, false, "Tea?"), |it| it.is_unread = true);
    let mut model = talking(vec![unread(0), unread(1), unread(2), said(3, true, "Gladly.")]);
    assert_eq!(model.seen(&[2, 3]), [], "two before were not shown");
    let mark = |up_to| Want::MarkRead { id: BOB.into(), up_to };
    assert_eq!(model.seen(&[0])[0], mark(0));
    assert_eq!(model.seen(&[1])[0], mark(2), "now there is no gap any more");
    // What was read last does not reach back to the first that is new.
    let mut row = row(BOB, "bob", "");
    row.unread = 70;
    let readers = readers(false);
    let page = Page { entries: vec![unread(69), unread(70)], before: None, older: Some(69) };
    model.news(News::Opened { asked: BOB.into(), row, readers, page });
    assert_eq!(model.seen(&[69, 70]), []);
    let page = Page { entries: (1..69).map(unread).collect(), before: Some(69), older: Some(1) };
    model.news(News::Page { id: BOB.into(), page });
    let all: Vec<u64> = (1..=70).collect();
    assert_eq!(model.seen(&all)[0], mark(70));
    // Again is read what has come since.
    assert!(model.look().contains(&Want::Page { id: BOB.into(), known: Some(70) }));
}

#[test]
fn older_entries_are_asked_for_once_and_join_what_is_there() {
    let mut model = talking(vec![]);
    let newest = Page { entries: vec![said(9, false, "nine")], before: None, older: Some(9) };
    model.news(News::Page { id: BOB.into(), page: newest });
    assert_eq!(model.want_older(), [Want::Older { id: BOB.into(), before: 9 }]);
    assert_eq!(model.want_older(), [], "it is on its way");
    let older = Page { entries: vec![said(7, false, "seven")], before: Some(9), older: None };
    model.news(News::Page { id: BOB.into(), page: older });
    assert_eq!(model.want_older(), [], "that was the beginning");
    // What has disappeared from the newest goes; what stands before stays.
    let newest =
        Page { entries: vec![said(8, false, "eight"), said(10, false, "ten")], before: None, older: Some(8) };
    model.news(News::Page { id: BOB.into(), page: newest });
    let positions: Vec<u64> = model.open.as_ref().unwrap().entries.keys().copied().collect();
    assert_eq!(positions, [7, 8, 10]);
    // Many have come at once: there is a gap that nobody would notice.
    let newest = Page { entries: vec![said(90, false, "ninety")], before: None, older: Some(90) };
    model.news(News::Page { id: BOB.into(), page: newest });
    let open = model.open.as_ref().unwrap();
    assert_eq!((open.entries.len(), open.older), (1, Some(90)));
}

#[test]
fn a_change_of_an_older_message_is_taken_over() {
    let mut model = talking(vec![said(1, true, "Tea?")]);
    let entry = with(said(1, true, "Tea?"), |it| it.state = State::Read);
    let came = vec![Came { place: bob(), title: "bob".into(), entry }];
    let wants = model.news(News::Events { came, notes: vec!["carol has left".into()], up_to: 7 });
    assert!(wants.contains(&Want::Taken(7)) && wants.contains(&Want::List), "{wants:?}");
    assert_eq!(model.open.as_ref().unwrap().entries[&1].said().unwrap().state, State::Read);
    assert_eq!(notice(&model), "carol has left");
}

#[test]
fn somebody_is_found_in_the_directory_and_written_to() {
    let mut model = model();
    assert_eq!(press(&mut model, KeyCode::F(3)), [Want::Search(String::new())]);
    assert_eq!(write(&mut model, "ro"), [Want::Search("ro".into())]);
    let person = |handle: &str| Person { handle: handle.into(), line: handle.into() };
    model.news(News::Members { filter: "r".into(), people: vec![person("carol")] });
    assert_eq!(press(&mut model, KeyCode::Enter), [], "an answer to what was typed before is none");
    model.news(News::Members { filter: "ro".into(), people: vec![person("bob"), person("rolf")] });
    press(&mut model, KeyCode::Down);
    assert_eq!(press(&mut model, KeyCode::Enter), [Want::Open("rolf".into())]);
}

#[test]
fn a_group_is_founded_with_those_who_are_marked() {
    let mut model = model();
    press(&mut model, KeyCode::Char('g'));
    write(&mut model, "The Crew");
    assert_eq!(press(&mut model, KeyCode::Enter), [Want::Search(String::new())]);
    let person = |handle: &str| Person { handle: handle.into(), line: handle.into() };
    let people = ["alice", "bob", "carol"].map(person).to_vec();
    model.news(News::Members { filter: String::new(), people });
    for code in [KeyCode::Tab, KeyCode::Down, KeyCode::Tab, KeyCode::Up, KeyCode::Tab] {
        press(&mut model, code);
    }
    let found = Want::Found { name: "The Crew".into(), members: vec!["carol".into()] };
    assert_eq!(press(&mut model, KeyCode::Enter), [found], "not oneself, and not who was marked twice");
}

#[test]
fn members_are_removed_and_a_group_is_left_only_after_a_question() {
    let mut model = model();
    open(&mut model, row(CREW, "Crew", ""), vec![]);
    press(&mut model, KeyCode::F(2));
    press(&mut model, KeyCode::Char('x'));
    assert!(matches!(model.overlay, Some(Overlay::Who(0))), "oneself is not removed but leaves");
    press(&mut model, KeyCode::Down);
    press(&mut model, KeyCode::Char('x'));
    let bob = MemberId::new([0x0b; 16]).to_string();
    assert_eq!(
        press(&mut model, KeyCode::Char('y')),
        [Want::Group(CREW.into(), GroupWish::Remove(vec![bob]))]
    );
    press(&mut model, KeyCode::F(2));
    press(&mut model, KeyCode::Char('l'));
    assert_eq!(press(&mut model, KeyCode::Char('n')), []);
    assert!(model.overlay.is_none());
}

#[test]
fn nothing_is_sent_where_nobody_would_read_it() {
    let mut model = model();
    open(&mut model, row(CREW, "Crew", ""), vec![]);
    model.open.as_mut().unwrap().readers.closed = Some("this group has ended".into());
    write(&mut model, "Hello?");
    assert_eq!((press(&mut model, KeyCode::Enter), typed(&model)), (vec![], "Hello?"));
    assert_eq!(notice(&model), "this group has ended");
}

#[test]
fn nothing_is_sent_to_whom_was_open_while_somebody_else_is_being_opened() {
    let mut model = talking(vec![]);
    let line = |model: &mut Model, text: &str| {
        ctrl(model, 'u');
        write(model, text);
        press(model, KeyCode::Enter)
    };
    line(&mut model, "/to carol");
    assert_eq!((line(&mut model, "secret"), typed(&model)), (vec![], "secret"), "it can be sent later");
    assert_eq!(notice(&model), "carol is being opened, and nothing was sent");
    let secret = Command::Say("secret".into());
    assert_eq!(model.command(secret.clone(), |_| None), []);
    assert_eq!(model.command(Command::File("secret.txt".into()), |_| None), []);
    // Only what was asked for last is opened, whatever is found first.
    model.command(Command::To(Some(CREW.into())), |_| None);
    model.news(News::NotOpened { asked: "carol".into(), why: "nobody is carol".into() });
    assert_eq!(model.command(Command::Group(GroupWish::Leave), |_| None), []);
    open(&mut model, row("carol", "carol", ""), vec![]);
    assert_eq!(model.open.as_ref().unwrap().row.id, BOB);
    open(&mut model, row(CREW, "Crew", ""), vec![]);
    let wants = model.command(secret, |_| None);
    let [Want::Say(saying)] = wants.as_slice() else { panic!("{wants:?}") };
    assert_eq!((saying.to.id.as_str(), saying.text.as_str()), (CREW, "secret"));
}

#[test]
fn names_are_completed_and_sent_as_mentions() {
    let mut model = model();
    open(&mut model, row(CREW, "Crew", ""), vec![]);
    write(&mut model, "ask @ca");
    press(&mut model, KeyCode::Tab);
    write(&mut model, "or @bob, not x@bob");
    let wants = press(&mut model, KeyCode::Enter);
    let [Want::Say(saying)] = wants.as_slice() else { panic!("{wants:?}") };
    let mention = |start, length, member| Mention { start, length, member: MemberId::new([member; 16]) };
    assert_eq!(saying.text, "ask @carol or @bob, not x@bob");
    assert_eq!(saying.mentions, [mention(4, 6, 0x0d), mention(14, 4, 0x0b)]);
}

#[test]
fn others_are_told_of_writing_now_and_then_and_their_word_ends_by_itself() {
    let mut model = talking(vec![]);
    assert_eq!(write(&mut model, "D"), [Want::Typing(bob())]);
    assert_eq!(write(&mut model, "e"), []);
    model.now += 5_000;
    assert_eq!(write(&mut model, "a"), [Want::Typing(bob())]);
    model.news(News::Typing { place: BOB.into(), who: "bob".into(), stopped: false });
    assert_eq!((model.writers(), model.next_end()), (vec!["bob"], Some(model.now + 15_000)));
    model.now += 15_000;
    assert_eq!((model.writers(), model.next_end()), (vec![], None));
    model.news(News::Typing { place: BOB.into(), who: "bob".into(), stopped: false });
    let came = vec![Came { place: bob(), title: "bob".into(), entry: said(1, false, "Tea?") }];
    model.news(News::Events { came, notes: vec![], up_to: 1 });
    assert_eq!(model.writers(), Vec::<&str>::new(), "who has sent it writes no more");
}

#[test]
fn the_connection_comes_and_goes_and_an_ended_device_shows_nothing_any_more() {
    let mut model = talking(vec![said(1, false, "Tea?")]);
    model.news(News::Connected(false));
    assert_eq!(model.link, Link::Offline);
    assert!(model.news(News::Connected(true)).contains(&Want::List), "what came meanwhile is looked at");
    model.news(News::Ended(Error::new(ErrorCode::Revoked)));
    assert!(model.open.is_none() && model.rows.is_empty());
    assert_eq!((press(&mut model, KeyCode::Char(' ')), model.has_quit), (vec![], true));
}

#[test]
fn what_fails_is_said_and_not_tried_again_at_once() {
    let mut model = talking(vec![]);
    assert!(model.news(News::Failed("the store is locked".into())).is_empty());
    assert_eq!(notice(&model), "the store is locked");
}

#[test]
fn a_typed_command_does_what_its_key_does() {
    let mut model = talking(vec![]);
    let line = |model: &mut Model, text: &str| {
        ctrl(model, 'u');
        write(model, text);
        press(model, KeyCode::Enter)
    };
    assert_eq!(line(&mut model, "/to Crew"), [Want::Open("Crew".into())]);
    model.news(News::NotOpened { asked: "Crew".into(), why: "there is none".into() });
    let file = Saying {
        to: bob(),
        text: String::new(),
        files: vec!["a b.txt".into()],
        reply_to: None,
        mentions: vec![],
    };
    assert_eq!(line(&mut model, "/file a b.txt"), [Want::Say(Box::new(file))]);
    assert_eq!(line(&mut model, "//etc"), [saying("/etc", None)]);
    assert_eq!(line(&mut model, "/group leave"), []);
    assert_eq!(notice(&model), "open a group first");
    line(&mut model, "/nothing");
    assert_eq!(
        (typed(&model), notice(&model)),
        ("/nothing", "there is no /nothing; /help lists what there is")
    );
    line(&mut model, "/delete 3");
    assert!(notice(&model).starts_with("choose the message"), "{}", notice(&model));
    line(&mut model, "/who");
    assert!(matches!(model.overlay, Some(Overlay::Who(_))));
}
