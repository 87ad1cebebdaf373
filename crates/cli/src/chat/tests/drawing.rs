//! What is drawn, as text.

use chancery::{Error, ErrorCode};
use ratatui::style::Color;

use super::*;
use crate::chat::item::tame_lines;
use crate::chat::keys::HELP;
use crate::chat::model::Transfer;
use crate::chat::overlay::{About, Overlay, Purpose};

const SIZE: (u16, u16) = (80, 24);

fn conversation() -> Vec<Entry> {
    let file = Attached { name: "notes.txt".into(), size: 14, path: Some("downloads/notes.txt".into()) };
    vec![
        happened(0, "alice founded the group"),
        said(1, false, "Tea at four?"),
        with(said(2, false, "The notes:"), |it| {
            it.files.push(file);
            it.reactions.push(("👍".into(), "you".into()));
        }),
        with(
            said(8, true, "Gladly. 漢字 and שלום, and a text that goes on for more than one line."),
            |it| {
                it.quote = Some("bob: Tea at four?".into());
                it.is_edited = true;
                it.state = State::Read;
            },
        ),
        with(said(9, true, "And cake"), |it| it.state = State::Queued),
    ]
}

#[test]
fn a_conversation_fits_into_80_columns_and_24_lines() {
    let mut model = talking(conversation());
    write(&mut model, "I bring");
    let expected = "\x20Chancery   alice at Acme                                                online
 Conversations            │ bob (Robert Roe)
 2 new                    │ F2: you and bob can read this, 2 devices
──────────────────────────┼─────────────────────────────────────────────────────
▌ bob (Robert Roe)  14:00 │           ── Sunday, 22 November 2026 ──
  Thank you!              │ * alice founded the group                    14:00
  Crew              14:00 │
  ● 2 new  carol: Lunch?  │ bob                                          14:01
                          │ Tea at four?
                          │ The notes:
                          │ [file] notes.txt (14 B), saved as
                          │ downloads/notes.txt
                          │ 👍 you
                          │
                          │ you                                          14:08
                          │ > bob: Tea at four?
                          │ Gladly. 漢字 and שלום, and a text that goes on for
                          │ more than one line. (edited)                  read
                          │ And cake                                    queued
                          ├━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
                          │ > I bring
 Enter send   Up messages   Tab list   F2 who reads   Ctrl-F file   F1 help";
    let shown = screen(&mut model, (80, 22));
    assert_eq!(shown, expected, "\n{shown}");
    let (_, drawn) = draw(&mut model, SIZE);
    let cursor = drawn.cursor.map(|at| (at.x, at.y));
    assert_eq!((drawn.seen, cursor), (vec![0, 1, 2, 8, 9], Some((37, 22))));
}

#[test]
fn no_size_is_too_small_and_nothing_stands_where_it_must_not() {
    let long = "wörd 漢字漢字 👩‍👩‍👧 e\u{301} ".repeat(40);
    let mut model = talking(vec![said(1, false, &long), with(said(2, true, ""), |it| it.is_deleted = true)]);
    model.open.as_mut().unwrap().editor.insert(&long);
    let overlays = |model: &mut Model, which| match which {
        0 => model.overlay = None,
        1 => model.overlay = Some(Overlay::Help(3)),
        2 => model.overlay = Some(Overlay::Who(1)),
        3 => drop(model.pick(Purpose::Found("Crew".into()))),
        4 => model.ask(About::File, &long),
        _ => model.overlay = Some(Overlay::Confirm { question: long.clone(), wants: vec![] }),
    };
    for which in 0..=5 {
        overlays(&mut model, which);
        for columns in (0..=84).step_by(if which == 0 { 3 } else { 7 }) {
            for rows in (0..=24).step_by(if which == 0 { 2 } else { 3 }) {
                draw(&mut model, (columns, rows));
            }
        }
    }
    for code in [KeyCode::Tab, KeyCode::Tab] {
        model.overlay = None;
        press(&mut model, code);
        draw(&mut model, (19, 5));
    }
}

#[test]
fn a_narrow_window_has_either_the_list_or_the_conversation() {
    let mut model = talking(conversation());
    let shown = screen(&mut model, (40, 12));
    assert!(shown.contains("F2: you and bob can read") && !shown.contains("Conversations"), "\n{shown}");
    press(&mut model, KeyCode::Esc);
    let shown = screen(&mut model, (40, 12));
    assert!(
        shown.contains("Conversations") && shown.contains("▶ bob") && !shown.contains("F2:"),
        "\n{shown}"
    );
}

#[test]
fn text_of_others_cannot_steer_the_terminal() {
    let evil = "a\u{1b}[2Jb\u{9b}31mc\r\u{202e}txt.exe\u{7}\tend\u{0}";
    let file = Attached { name: "x".into(), size: 1, path: None };
    let entry = with(said(1, false, &tame_lines(evil)), |it| it.files.push(file));
    let mut model = talking(vec![entry]);
    // Even what nobody has made harmless does not get through.
    model.open.as_mut().unwrap().row.title = evil.into();
    model.fail(evil);
    let (buffer, _) = draw(&mut model, SIZE);
    for cell in buffer.content() {
        assert!(!cell.symbol().chars().any(char::is_control), "{:?}", cell.symbol());
    }
    let shown = screen(&mut model, SIZE);
    assert!(shown.contains("a\u{fffd}[2Jb\u{fffd}31mc\u{fffd}\u{fffd}txt.exe\u{fffd} end"), "\n{shown}");
}

#[test]
fn nothing_is_said_by_colour_alone() {
    let mut model = talking(conversation());
    model.fail("the disk is full");
    let mut draw = |has_colours| {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 80, 24));
        View { clock: Clock::utc(), has_colours }.draw(&mut model, &mut buffer);
        buffer
    };
    let (with, without) = (draw(true), draw(false));
    let symbols =
        |buffer: &Buffer| buffer.content().iter().map(|cell| cell.symbol().to_owned()).collect::<String>();
    assert_eq!(symbols(&with), symbols(&without));
    let coloured = |buffer: &Buffer| buffer.content().iter().filter(|cell| cell.fg != Color::Reset).count();
    assert!(coloured(&with) > 0);
    assert_eq!(coloured(&without), 0);
    assert!(symbols(&with).contains("! the disk is full"));
}

#[test]
fn a_long_history_is_scrolled_by_pages_and_by_messages() {
    let entries = (0..60).map(|at| said(at, at % 2 == 0, &format!("message {at}"))).collect();
    let mut model = talking(entries);
    assert!(screen(&mut model, SIZE).contains("message 59"));
    press(&mut model, KeyCode::PageUp);
    let shown = screen(&mut model, SIZE);
    assert!(!shown.contains("message 59") && shown.contains("lines more"), "\n{shown}");
    for _ in 0..20 {
        press(&mut model, KeyCode::PageUp);
    }
    let (_, drawn) = draw(&mut model, SIZE);
    assert!(drawn.is_at_top && screen(&mut model, SIZE).contains("message 0"));
    press(&mut model, KeyCode::Tab);
    press(&mut model, KeyCode::Up);
    press(&mut model, KeyCode::Up);
    let shown = screen(&mut model, SIZE);
    assert!(shown.contains("▌message 57") && shown.contains("↓ 6 lines more"), "\n{shown}");
    press(&mut model, KeyCode::Home);
    assert!(screen(&mut model, SIZE).contains("▌message 0"));
    press(&mut model, KeyCode::Esc);
    assert!(screen(&mut model, SIZE).contains("message 59"));
}

#[test]
fn what_is_new_is_read_from_its_beginning_and_stays_where_it_is() {
    let entry = |at: u64| {
        with(said(at, at.is_multiple_of(2), &format!("message {at}")), |it| it.is_unread = at >= 20)
    };
    let mut model = talking((0..60).map(entry).collect());
    let (_, drawn) = draw(&mut model, SIZE);
    let shown = screen(&mut model, SIZE);
    assert!(
        shown.contains("── new ──") && shown.contains("message 20") && !shown.contains("message 19"),
        "\n{shown}"
    );
    assert!(drawn.seen.iter().all(|seen| (20..30).contains(seen)), "{drawn:?}");
    // Something comes: what is read stays where it is.
    let newest = Page { entries: vec![entry(59), entry(60)], before: None, older: Some(59) };
    model.news(News::Page { id: BOB.into(), page: newest });
    let after = screen(&mut model, SIZE);
    assert_eq!(after.lines().take(19).collect::<Vec<_>>(), shown.lines().take(19).collect::<Vec<_>>());
    assert_ne!(after, shown, "more is below");
}

#[test]
fn what_came_in_a_burst_or_while_nobody_looked_is_read_from_its_beginning() {
    let entry = |at: u64| {
        with(said(at, at.is_multiple_of(2), &format!("message {at}")), |it| it.is_unread = at >= 20)
    };
    let come = |model: &mut Model, all: std::ops::Range<u64>| {
        for at in all {
            model.news(News::Page { id: BOB.into(), page: page((0..=at).map(entry).collect()) });
            let (_, drawn) = draw(model, SIZE);
            model.seen(&drawn.seen);
        }
    };
    let begins_at = |model: &mut Model, first: u64| {
        let shown = screen(model, SIZE);
        let is_first = shown.contains("── new ──") && shown.contains(&format!("message {first}"));
        assert!(is_first && !shown.contains(&format!("message {}", first - 1)), "{first}:\n{shown}");
    };
    // All at once.
    let mut model = talking((0..20).map(entry).collect());
    draw(&mut model, SIZE);
    come(&mut model, 59..60);
    begins_at(&mut model, 20);
    // One by one while the window has not the focus; the first is seen before.
    let mut model = talking((0..20).map(entry).collect());
    come(&mut model, 20..21);
    assert!(screen(&mut model, SIZE).contains("message 20"));
    model.is_watched = false;
    come(&mut model, 21..60);
    let shown = screen(&mut model, SIZE);
    assert!(shown.contains("message 59") && !shown.contains("message 21"), "\n{shown}");
    model.is_watched = true;
    let (_, drawn) = draw(&mut model, SIZE);
    begins_at(&mut model, 21);
    let wants = model.seen(&drawn.seen);
    let up_to = drawn.seen.iter().max().copied().unwrap();
    assert_eq!(wants[0], Want::MarkRead { id: BOB.into(), up_to });
    assert!((21..50).contains(&up_to), "{up_to}");
}

#[test]
fn a_file_on_its_way_is_seen_until_it_is_there() {
    let mut model = talking(conversation());
    model.say("saving");
    let (what, size) = ("saving notes.txt".into(), "3.00 MiB".into());
    model.news(News::Transfer(Some(Transfer { what, percent: 42, size })));
    let shown = screen(&mut model, SIZE);
    assert!(shown.ends_with("\n ████████░░░░░░░░░░░░ saving notes.txt: 42% of 3.00 MiB"), "\n{shown}");
    model.news(News::Transfer(None));
    assert!(screen(&mut model, SIZE).ends_with("\n saving"));
}

#[test]
fn who_can_read_it_is_one_key_away() {
    let mut model = model();
    open(&mut model, row(CREW, "Crew", ""), vec![]);
    assert!(screen(&mut model, SIZE).contains("F2: 3 members can read this, 3 devices"));
    press(&mut model, KeyCode::F(2));
    let shown = screen(&mut model, SIZE);
    for part in [
        "Who can read this",
        "alice (you), owner: 1 device 0123abcd",
        "carol, member: 1 device",
        "No archive",
    ] {
        assert!(shown.contains(part), "{part} is not in\n{shown}");
    }
}

#[test]
fn an_ended_device_is_told_so_and_shows_nothing_else() {
    let mut model = talking(conversation());
    model.news(News::Ended(Error::new(ErrorCode::Revoked)));
    let shown = screen(&mut model, SIZE);
    assert!(shown.contains("Your organisation has ended this device."), "\n{shown}");
    assert!(!shown.contains("Tea") && !shown.contains("bob"), "\n{shown}");
}

#[test]
fn every_key_of_a_hint_stands_in_the_help() {
    let keys: Vec<&str> = HELP.iter().flat_map(|(_, keys)| keys.iter().map(|(key, _)| *key)).collect();
    let mut model = talking(conversation());
    let mut hints = Vec::new();
    for _ in 0..3 {
        press(&mut model, KeyCode::Tab);
        hints.extend(screen(&mut model, SIZE).lines().next_back().map(str::to_owned));
    }
    for hint in hints {
        for part in hint.split("  ").map(str::trim).filter(|part| !part.is_empty()) {
            let key = part.split(' ').next().unwrap();
            let is_known = keys.iter().any(|known| known.split(", ").any(|known| known == key));
            assert!(is_known, "{key} of {hint:?}");
        }
    }
    press(&mut model, KeyCode::F(1));
    let shown = screen(&mut model, (80, 90));
    for key in keys {
        assert!(shown.contains(key), "{key} is not in\n{shown}");
    }
    assert!(shown.contains("/file PATH") && !shown.contains("/reply N"), "\n{shown}");
}
