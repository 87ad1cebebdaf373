//! Lists of people to invite: read as CSV, compared with the desk's books, invited in one commit (R-ORG-26).

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use chancery_crypto::rng::CryptoRng;
use chancery_identity::{DisplayName, Handle, Kind, MAX_REACH, MemberId, RelayRecord};
use chancery_org::{Desk, InvitationLink, Invite, Standing, Terms};
use chancery_store::{KeySource, Store, StoreError};
use chancery_wire::Timestamp;
use chancery_wire::records::{Batch, Overlay, Records};

use super::{Folder, Invited, inviting, org_error};
use crate::clock;
use crate::error::{Error, ErrorCode};

/// The most people in a list: 10,000. They are invited in one commit, for which the desk waits at most seconds.
pub const MAX_PEOPLE: usize = 10_000;
/// The longest list, in bytes: 16 MiB, more than 10,000 people with the longest names need.
pub const MAX_LIST_LEN: usize = 16 * 1024 * 1024;
/// So much of what stands in a list is shown in a fault, in characters.
const SHOWN: usize = 40;

/// People to invite, each in a line, with nothing wrong in it as far as that can be told without the books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeopleList(Vec<Person>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Person {
    line: usize,
    handle: Handle,
    name: Option<DisplayName>,
    unit: Option<DisplayName>,
    kind: Kind,
    reach: Vec<String>,
    validity: Option<Duration>,
    owner: Option<String>,
}

/// What is wrong with a line of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListFault {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong, for people, in English.
    pub what: String,
}

/// Why a list was not taken. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ListError {
    /// Everything that is wrong with it, in the order of the lines.
    Faults(Vec<ListFault>),
    /// The list may be right, but something else failed.
    Other(Error),
}

impl From<Error> for ListError {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl From<StoreError> for ListError {
    fn from(error: StoreError) -> Self {
        Self::Other(error.into())
    }
}

/// What a line of a list comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ListedState {
    /// The person is, or would be, invited.
    Invite,
    /// The person has a device, or an open invitation, and is left alone.
    Unchanged,
    /// The handle is that of somebody with another name; the list is not taken.
    Conflict,
}

/// A line of a list and what it comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listed {
    /// The line, counted from 1.
    pub line: usize,
    /// The handle.
    pub handle: String,
    /// What the list says in its column `unit`.
    pub unit: Option<String>,
    /// A person, a guest or a bot.
    pub kind: Kind,
    /// What it comes to.
    pub state: ListedState,
    /// In a conflict, the name of whoever has the handle.
    pub taken_by: Option<String>,
    /// The invitation: the new one, or the open one of somebody who is left alone.
    pub invitation: Option<Invited>,
}

impl PeopleList {
    /// Reads a list: UTF-8, RFC 4180, one person a line, with a header line of `handle`, `name` and perhaps `unit`,
    /// `kind`, `reach`, `days` and `owner`, in any order. An empty name is the handle, an empty kind a person; handles in `reach`
    /// stand with spaces between them.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, or the first thing if it makes the rest unreadable.
    pub fn parse(bytes: &[u8]) -> Result<Self, Vec<ListFault>> {
        let one = |line, what: &str| vec![ListFault { line, what: what.to_owned() }];
        if bytes.len() > MAX_LIST_LEN {
            return Err(one(1, &format!("the list is longer than {MAX_LIST_LEN} bytes")));
        }
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let line = before.iter().filter(|byte| **byte == b'\n').count().saturating_add(1);
            one(line, "is not UTF-8; save the list as UTF-8")
        })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
        let mut lines = (1..).zip(lines).filter(|(_, line)| !line.is_empty());
        let (line, header) = lines.next().ok_or_else(|| one(1, "there is no header line: handle,name"))?;
        let columns = Columns::read(line, header)?;
        let (mut people, mut faults) = (Vec::new(), Vec::new());
        let mut seen = BTreeMap::new();
        for (count, (line, text)) in (1..).zip(lines) {
            if count > MAX_PEOPLE {
                return Err(one(line, &format!("there are more than {MAX_PEOPLE} people; split the list")));
            }
            match columns.person(line, text) {
                Ok(person) => {
                    if let Some(first) = seen.insert(person.handle.clone(), line) {
                        let what = format!("handle {} stands in line {first} too", person.handle);
                        faults.push(ListFault { line, what });
                        // Also a third one names the first.
                        seen.insert(person.handle.clone(), first);
                    }
                    people.push(person);
                }
                Err(what) => faults.extend(what.into_iter().map(|what| ListFault { line, what })),
            }
        }
        if faults.is_empty() { Ok(Self(people)) } else { Err(faults) }
    }

    /// Returns how many people there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is nobody.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Where the columns are.
struct Columns {
    count: usize,
    handle: usize,
    name: usize,
    unit: Option<usize>,
    kind: Option<usize>,
    reach: Option<usize>,
    days: Option<usize>,
    owner: Option<usize>,
}

/// Columns that a list may do without.
const OPTIONAL: [&str; 5] = ["unit", "kind", "reach", "days", "owner"];

impl Columns {
    fn read(line: usize, header: &str) -> Result<Self, Vec<ListFault>> {
        let fault = |what: String| ListFault { line, what };
        let fields = fields(header).map_err(|what| vec![fault(what.to_owned())])?;
        let mut faults = Vec::new();
        for (at, field) in fields.iter().enumerate() {
            if !["handle", "name"].contains(&field.as_str()) && !OPTIONAL.contains(&field.as_str()) {
                faults.push(fault(format!("column {} would be ignored; remove it", shown(field))));
            } else if fields.iter().take(at).any(|other| other == field) {
                faults.push(fault(format!("column {field} stands there twice")));
            }
        }
        let mut find = |name: &str| {
            let at = fields.iter().position(|field| field == name);
            if at.is_none() && !OPTIONAL.contains(&name) {
                faults.push(fault(format!("column {name} is missing")));
            }
            at
        };
        let (handle, name, unit) = (find("handle"), find("name"), find("unit"));
        let (kind, reach, days, owner) = (find("kind"), find("reach"), find("days"), find("owner"));
        match (handle, name) {
            (Some(handle), Some(name)) if faults.is_empty() => {
                Ok(Self { count: fields.len(), handle, name, unit, kind, reach, days, owner })
            }
            _ => Err(faults),
        }
    }

    fn person(&self, line: usize, text: &str) -> Result<Person, Vec<String>> {
        let fields = fields(text).map_err(|what| vec![what.to_owned()])?;
        if fields.len() != self.count {
            return Err(vec![format!("there are {} fields and not {}", fields.len(), self.count)]);
        }
        let field = |at: usize| fields.get(at).map_or("", String::as_str);
        let mut faults = Vec::new();
        let handle = Handle::parse(field(self.handle)).ok().filter(|handle| !handle.is_like_identifier());
        if handle.is_none() {
            let shown = shown(field(self.handle));
            faults.push(format!(
                "{shown} is no handle, which has 1 to 64 of a-z 0-9 . _ -, and not 32 hexadecimal digits"
            ));
        }
        let mut words = |at: usize, what: &str| match field(at) {
            "" => None,
            text => {
                let name = DisplayName::parse(text).ok();
                if name.is_none() {
                    let shown = shown(text);
                    faults.push(format!(
                        "{shown} is no {what}, which has up to 128 characters that can be shown"
                    ));
                }
                name
            }
        };
        let name = words(self.name, "name");
        let unit = self.unit.and_then(|at| words(at, "unit"));
        let optional = |at: Option<usize>| at.map_or("", field);
        let terms = terms(optional(self.kind), optional(self.reach), optional(self.days));
        let owner = match &terms {
            Ok((kind, ..)) => owner(*kind, optional(self.owner)),
            Err(_) => Ok(None),
        };
        match (handle, terms, owner) {
            (Some(handle), Ok((kind, reach, validity)), Ok(owner)) if faults.is_empty() => {
                Ok(Person { line, handle, name, unit, kind, reach, validity, owner })
            }
            (_, terms, owner) => {
                faults.extend(terms.err());
                faults.extend(owner.err());
                Err(faults)
            }
        }
    }
}

/// On what terms a list invites somebody: kind, handles in reach, and how long.
type ListedTerms = (Kind, Vec<String>, Option<Duration>);

/// Reads kind, reach and days of a line.
fn terms(kind: &str, reach: &str, days: &str) -> Result<ListedTerms, String> {
    let kinds = [Kind::Person, Kind::Guest, Kind::Bot, Kind::GuestBot];
    let Some(kind) = kinds.into_iter().find(|known| known.name() == kind || kind.is_empty()) else {
        return Err(format!("{} is no kind: member, guest, bot or guest-bot", shown(kind)));
    };
    let reach: Vec<String> = reach.split_whitespace().map(str::to_owned).collect();
    if let Some(bad) = reach.iter().find(|handle| Handle::parse(handle).is_err()) {
        return Err(format!("{} in reach is no handle", shown(bad)));
    }
    if kind == Kind::Person && !(reach.is_empty() && days.is_empty()) {
        return Err("only a guest or bot has reach and days".to_owned());
    }
    if kind.is_guest() && reach.is_empty() {
        return Err("a guest needs somebody in reach".to_owned());
    }
    if reach.len() > MAX_REACH {
        return Err(format!("there are more than {MAX_REACH} handles in reach"));
    }
    let validity = match days {
        "" => None,
        days => {
            let number = days.parse().ok().and_then(|days| inviting::days(days).ok());
            let wrong = || format!("{} is no number of days from 1 to {}", shown(days), inviting::MAX_DAYS);
            Some(number.ok_or_else(wrong)?)
        }
    };
    Ok((kind, reach, validity))
}

/// Reads the owner of a line.
fn owner(kind: Kind, owner: &str) -> Result<Option<String>, String> {
    match (kind, owner) {
        (Kind::Person, "") => Ok(None),
        (Kind::Person, _) => Err("only a guest or bot has an owner".to_owned()),
        (_, "") => Err("a guest or bot needs an owner: the column owner names a member".to_owned()),
        (_, owner) if Handle::parse(owner).is_ok() => Ok(Some(owner.to_owned())),
        (_, owner) => Err(format!("{} as owner is no handle", shown(owner))),
    }
}

/// Takes a line apart (RFC 4180). A field that goes on in the next line is a fault: no column may hold one, and a
/// quotation mark that was forgotten would swallow all people after it.
fn fields(line: &str) -> Result<Vec<String>, &'static str> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let after = match rest.strip_prefix('"') {
            Some(quoted) => {
                let (field, after) = quoted_field(quoted)?;
                fields.push(field);
                after
            }
            None => {
                let (field, after) = rest.split_at(rest.find(',').unwrap_or(rest.len()));
                if field.contains('"') {
                    return Err(
                        "a quotation mark stands inside a field; double it and put the field in quotes",
                    );
                }
                fields.push(field.to_owned());
                after
            }
        };
        rest = match after.strip_prefix(',') {
            Some(rest) => rest,
            None if after.is_empty() => return Ok(fields),
            None => return Err("something other than a comma stands behind a closing quotation mark"),
        };
    }
}

/// The field up to its closing quotation mark, and what stands behind that.
fn quoted_field(text: &str) -> Result<(String, &str), &'static str> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let (part, after) = rest.split_once('"').ok_or("a quotation mark is not closed on its line")?;
        field.push_str(part);
        // A doubled quotation mark stands for one; a single one ends the field.
        let Some(after_both) = after.strip_prefix('"') else { return Ok((field, after)) };
        field.push('"');
        rest = after_both;
    }
}

/// The beginning of what stands in a list, fit for a terminal.
fn shown(text: &str) -> String {
    let short: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN).is_some() { format!("\"{short}…\"") } else { format!("\"{short}\"") }
}

/// Compares a list with the desk's books and says what [`invite_list`] would do. Nothing is changed, and there are no
/// invitations in what it returns.
///
/// # Errors
///
/// [`ListError::Other`], as of [`invite_list`].
pub fn compare_list(
    dir: &Path,
    key: &KeySource,
    list: &PeopleList,
    valid: Duration,
) -> Result<Vec<Listed>, ListError> {
    let (office, mut store) = Office::open(dir, key, valid)?;
    let (_, mut listed) = store.read(|records| office.plan(records, list))?;
    listed.iter_mut().for_each(|listed| listed.invitation = None);
    Ok(listed)
}

/// Invites everybody of a list who has neither a device nor an open invitation, in one commit: all or nobody.
///
/// # Errors
///
/// [`ListError::Faults`]: handles in it are those of people with other names. [`ListError::Other`] with
/// [`ErrorCode::RelayNotRecorded`]: record the relay; [`ErrorCode::WrongPassphrase`] and errors of the store.
pub fn invite_list(
    dir: &Path,
    key: &KeySource,
    list: &PeopleList,
    valid: Duration,
) -> Result<Vec<Listed>, ListError> {
    let (office, mut store) = Office::open(dir, key, valid)?;
    store.transaction(|records| {
        let (batch, listed) = office.plan(records, list)?;
        match conflicts(&listed) {
            faults if faults.is_empty() => Ok((batch, listed)),
            faults => Err(ListError::Faults(faults)),
        }
    })
}

/// Returns the faults that keep [`invite_list`] from taking a list that [`compare_list`] returned.
#[must_use]
pub fn conflicts(listed: &[Listed]) -> Vec<ListFault> {
    let conflicts = listed.iter().filter(|listed| listed.state == ListedState::Conflict);
    let fault = |listed: &Listed| {
        let name = listed.taken_by.as_deref().unwrap_or("somebody else");
        let what =
            format!("handle {} is that of {name}; correct the name or choose another handle", listed.handle);
        ListFault { line: listed.line, what }
    };
    conflicts.map(fault).collect()
}

struct Office {
    desk: Desk,
    relay: RelayRecord,
    valid: Duration,
    now: Timestamp,
}

impl Office {
    fn open(dir: &Path, key: &KeySource, valid: Duration) -> Result<(Self, Store), Error> {
        let (organisation, desk, store) = Folder::new(dir).open_desk(key)?;
        let relay = organisation.relay().ok_or(ErrorCode::RelayNotRecorded)?.clone();
        Ok((Self { desk, relay, valid, now: clock::now() }, store))
    }

    fn plan(&self, records: &dyn Records, list: &PeopleList) -> Result<(Batch, Vec<Listed>), ListError> {
        let mut rng = clock::rng()?;
        let mut books = Overlay::new(records);
        let (mut listed, mut faults) = (Vec::with_capacity(list.len()), Vec::new());
        // Owners and those in reach first, wherever in the list they stand.
        let mut people: Vec<_> = list.0.iter().collect();
        people.sort_by_key(|person| {
            (person.kind != Kind::Person, person.kind.is_guest() || !person.reach.is_empty())
        });
        for person in people {
            let standing = self.desk.standing(&books, &person.handle, &self.relay, self.now);
            let (taken_by, invitation, state) = match standing.map_err(|error| org_error(&error))? {
                Standing::Enrolled { name, .. } => (Some(name), None, ListedState::Unchanged),
                Standing::Open { member_id, name, link } => {
                    (Some(name), Some(invited(member_id, &link)), ListedState::Unchanged)
                }
                _ => {
                    let reach = match inviting::reached(&books, &person.reach) {
                        Ok(reach) => reach,
                        Err((_, Some(error))) => return Err(error.into()),
                        Err((handle, None)) => {
                            let what = format!("{handle} in reach is nobody of the organisation, or a guest");
                            faults.push(ListFault { line: person.line, what });
                            continue;
                        }
                    };
                    let owner = person.owner.as_deref().map(|owner| inviting::owning(&books, owner));
                    let owner = owner.transpose()?.flatten();
                    if let (Some(owner), None) = (&person.owner, owner) {
                        let what = format!("{owner} as owner is no member of the organisation");
                        faults.push(ListFault { line: person.line, what });
                        continue;
                    }
                    let new = self.invite(&books, (person, &reach, owner), &mut rng)?;
                    let invitation = invited(new.member_id, &new.link);
                    books.absorb(new.batch);
                    (None, Some(invitation), ListedState::Invite)
                }
            };
            let taken_by = taken_by.filter(|name| person.name.as_ref().is_some_and(|own| own != name));
            let state = if taken_by.is_some() { ListedState::Conflict } else { state };
            listed.push(Listed {
                line: person.line,
                handle: person.handle.to_string(),
                unit: person.unit.as_ref().map(ToString::to_string),
                kind: person.kind,
                state,
                taken_by: taken_by.map(|name| name.to_string()),
                invitation,
            });
        }
        listed.sort_by_key(|listed| listed.line);
        faults.sort_by_key(|fault| fault.line);
        if faults.is_empty() { Ok((books.into_batch(), listed)) } else { Err(ListError::Faults(faults)) }
    }

    fn invite(
        &self,
        books: &dyn Records,
        (person, reach, owner): (&Person, &[MemberId], Option<MemberId>),
        rng: &mut dyn CryptoRng,
    ) -> Result<chancery_org::Invited, Error> {
        let name = person.name.clone().unwrap_or_else(|| DisplayName::from(&person.handle));
        let (handle, relay, lifetime) = (&person.handle, &self.relay, self.valid);
        let (unit, kind, validity) = (person.unit.as_ref(), person.kind, person.validity);
        let terms = Terms { unit, kind, reach, validity, owner };
        let invite = Invite { handle, name: &name, relay, lifetime, terms };
        self.desk.invite(books, invite, self.now, rng).map_err(|error| org_error(&error))
    }
}

fn invited(member: MemberId, link: &InvitationLink) -> Invited {
    Invited { link: link.encode(), member, expires: link.expires }
}

#[cfg(test)]
mod tests;
