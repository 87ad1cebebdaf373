"""What the library tells of, as frozen dataclasses.

Times are aware datetimes in UTC, identifiers hexadecimal digits. Words such as a message's `state` are plain `str`:
later versions may know more of them.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, Mapping, Optional, Tuple

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Person:
    """A member, as they are named beside what they did."""

    member: str
    handle: str


@dataclass(frozen=True)
class File:
    """A file of a message. `path` is where it was saved, if this device has done so: see `Client.save`."""

    name: str
    size: int
    media_type: Optional[str]
    path: Optional[Path]
    _place: Tuple[str, str, int] = field(repr=False, compare=False)


@dataclass(frozen=True)
class Attachment:
    """A file to send, if there is more to say of it than its path.

    `media_type` is by default what its name says; `preview` is a small picture of it, at most 16 KiB.
    """

    path: Path
    media_type: Optional[str] = None
    preview: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class Quote:
    """The message that another replies to.

    `text` is how it begins. Unless `known`, nothing but the word of who replies says so.
    """

    id: str
    sender: str
    handle: str
    text: str
    known: bool


@dataclass(frozen=True)
class Mention:
    """A part of a text, in characters, that names a member."""

    start: int
    length: int
    member: str


@dataclass(frozen=True)
class Reaction:
    """What somebody has reacted with."""

    emoji: str
    by: Person


@dataclass(frozen=True)
class FormField:
    """A question of a form.

    `kind` is ``"text"``, ``"choice"`` with at least one of `options`, ``"number"``, or ``"approval"``, which is
    answered by yes or no.
    """

    id: str
    label: str
    kind: str = "text"
    options: Tuple[str, ...] = ()
    required: bool = False


@dataclass(frozen=True)
class Form:
    """Questions to whoever reads a message."""

    title: str
    fields: Tuple[FormField, ...]


@dataclass(frozen=True)
class Answer:
    """What somebody has answered to a form: the values by the fields' `id`."""

    by: Person
    at: datetime
    values: Mapping[str, str]


@dataclass(frozen=True)
class Delivery:
    """What is known of a message on its way to one member."""

    member: str
    delivered_at: Optional[datetime]
    read_at: Optional[datetime]


@dataclass(frozen=True)
class GroupName:
    """The group that a message was written in."""

    id: str
    name: str


@dataclass(frozen=True)
class Event:
    """Something that happened.

    `number` is its place among the events, and 0 for what was read in a history or is never stored.
    """

    number: int


@dataclass(frozen=True)
class Message(Event):
    """A message, as it is now.

    `sender` is the author's identifier, `handle` their handle; `kind` is ``"member"``, ``"guest"``, ``"bot"`` or
    ``"guest-bot"``. `conversation` names the conversation, of which `group` is the group, if it is one. `state` is
    ``"received"``, or of a message of one's own ``"queued"``, ``"sent"`` or ``"failed"``. At `expires_at` it
    disappears here, once that is known. `position` is where it stands, if it was read in a history.
    """

    id: str
    sender: str
    handle: str
    unit: Optional[str]
    kind: str
    conversation: str
    group: Optional[GroupName]
    sent_at: datetime
    text: str
    files: Tuple[File, ...]
    state: str
    reply_to: Optional[Quote]
    mentions: Tuple[Mention, ...]
    edited_at: Optional[datetime]
    deleted: bool
    reactions: Tuple[Reaction, ...]
    form: Optional[Form]
    answers: Tuple[Answer, ...]
    unread: bool
    deliveries: Tuple[Delivery, ...]
    disappears_after: Optional[timedelta]
    expires_at: Optional[datetime]
    resent_by: Optional[str]
    position: Optional[int]

    @property
    def is_mine(self) -> bool:
        """Whether it was written by this member, on whatever device."""
        return self.state != "received"


@dataclass(frozen=True)
class MessageChanged(Event):
    """A message was edited, deleted, reacted to or answered: `change` says which, `message` how it is now."""

    message: Message
    change: str
    by: Person


@dataclass(frozen=True)
class MessageSent(Event):
    """A message of one's own that was queued is at the relay."""

    id: str
    conversation: str
    to: str


@dataclass(frozen=True)
class MessageFailed(Event):
    """A message of one's own was given up."""

    id: str
    conversation: str
    to: str
    why: str


@dataclass(frozen=True)
class Receipt(Event):
    """A message of one's own was ``"delivered"`` to a member, or ``"read"``."""

    kind: str
    id: str
    member: str
    handle: str
    conversation: str


@dataclass(frozen=True)
class Typing(Event):
    """A member is writing to this one, or no longer. It holds for 15 seconds, and does not come again."""

    member: str
    handle: str
    stopped: bool


@dataclass(frozen=True)
class GroupAct(Event):
    """Something that happened to a group: `act` is a word such as ``"added"``, `by` who did it, `targets` to whom.

    ``"gap"``: `count` messages of `by` are missing. ``"refused"``: what this device had wished is not done, and
    `error` says why.
    """

    act: str
    group: str
    name: str
    by: Optional[Person]
    targets: Tuple[Person, ...]
    role: Optional[str]
    epoch: int
    at: datetime
    count: int
    error: Optional[str]
    position: Optional[int]


@dataclass(frozen=True)
class DeviceAdded(Event):
    """A member has a new device."""

    member: str
    handle: str
    device: str


@dataclass(frozen=True)
class Lost(Event):
    """So many messages of a member did not arrive and will not."""

    member: str
    handle: str
    count: int


@dataclass(frozen=True)
class MemberLeft(Event):
    """The organisation has ended a member."""

    member: str
    handle: str


@dataclass(frozen=True)
class HandleReassigned(Event):
    """A handle belongs to another member than before: `old` and `new` are their identifiers."""

    handle: str
    old: str
    new: str


@dataclass(frozen=True)
class ConversationRead(Event):
    """Another device of this member has read messages of a conversation, of which `unread` are unread now."""

    conversation: str
    unread: int


@dataclass(frozen=True)
class MessagesGone(Event):
    """Messages of a conversation are gone, by their own time or as policy says: read again what is shown of it."""

    conversation: str


@dataclass(frozen=True)
class DeviceRequest(Event):
    """A new device of this member asks for approval: compare `code` with what it shows, and call `approve_device`."""

    code: str


@dataclass(frozen=True)
class Unknown(Event):
    """Something that this version of the package does not know.

    `kind` is its name, if it has one, and `data` all that was said.
    """

    kind: Optional[str]
    data: Json


@dataclass(frozen=True)
class Me:
    """Who this device is. `kind` is as that of a `Message`; from `expires` on it can do nothing."""

    member: str
    device: str
    handle: str
    name: str
    organisation: str
    org_id: str
    fingerprint: str
    kind: str
    expires: datetime


@dataclass(frozen=True)
class Member:
    """A member as the directory has them.

    `reach` are the identifiers of those with whom alone a guest or bot exchanges messages; empty if that is everybody.
    """

    member: str
    handle: str
    name: Optional[str]
    unit: Optional[str]
    kind: Optional[str]
    devices: Tuple[str, ...]
    reach: Tuple[str, ...]


@dataclass(frozen=True)
class Reader:
    """Somebody who can read a conversation, with the devices for which messages are encrypted.

    `handle` and `name` are empty of somebody whom the directory does not have.
    """

    member: str
    handle: str
    name: str
    kind: str
    devices: Tuple[str, ...]


@dataclass(frozen=True)
class LastEntry:
    """The newest entry of a conversation: a message, summed up, or an act in a group."""

    position: int
    at: datetime
    sender: Optional[str]
    handle: Optional[str]
    summary: Optional[str]
    act: Optional[GroupAct]


@dataclass(frozen=True)
class Conversation:
    """A conversation with a member or in a group, which `kind` says. `id` names it; `title` is for showing."""

    id: str
    kind: str
    title: str
    handle: str
    name: str
    unread: int
    last: Optional[LastEntry]
    draft: Optional[str]


@dataclass(frozen=True)
class Group:
    """A group that this device is in or was in.

    `phase` is ``"open"``, or why it is not any more. `role` is this member's, `devices` how many devices read it;
    `waiting` how many wishes and messages of this device wait to be done.
    """

    id: str
    name: str
    phase: str
    role: Optional[str]
    devices: int
    epoch: int
    waiting: int


@dataclass(frozen=True)
class Participant:
    """A member of a group: ``"owner"``, ``"admin"``, ``"member"`` or ``"reader"``."""

    member: str
    handle: str
    role: str
    devices: Tuple[str, ...]


@dataclass(frozen=True)
class GroupPolicy:
    """The rules of a group. `posting` says who may write: ``"all"`` or ``"admins"``."""

    retention: Optional[timedelta]
    disappearing: Optional[timedelta]
    posting: str
    history: int
    heal: Optional[timedelta]
    dissolved: bool


@dataclass(frozen=True)
class GroupDetails(Group):
    """A group with its rules and members."""

    policy: Optional[GroupPolicy]
    fingerprint: str
    members: Tuple[Participant, ...]


@dataclass(frozen=True)
class GroupChange:
    """What became of a wish about a group.

    `state` is ``"done"``, or ``"queued"`` if it is stored and waits; do not repeat it then. `waiting` is why, as for
    `Sent`.
    """

    id: str
    state: str
    name: Optional[str]
    phase: Optional[str]
    epoch: Optional[int]
    devices: Optional[int]
    waiting: Optional[str]


@dataclass(frozen=True)
class Sent:
    """What became of something that was sent.

    `state` is ``"sent"``, or ``"queued"`` if it is stored and waits; do not repeat it then. `waiting` is why, as the
    name of a code such as ``"relay-unreachable"``, if that is known.
    """

    id: str
    state: str
    conversation: str
    waiting: Optional[str]


@dataclass(frozen=True)
class Device:
    """A device of one's own; one that waits for approval has no `id`, but a `code`."""

    id: Optional[str]
    this: bool
    state: str
    code: Optional[str]


@dataclass(frozen=True)
class DeviceLink:
    """A link for one more device of one's own. It is a secret."""

    link: str = field(repr=False)
    expires: datetime


@dataclass(frozen=True)
class Policy:
    """The organisation's rules, as far as this device has heard of them; `data` has all of them."""

    freshness: timedelta
    retention: Optional[timedelta]
    disappearing: Optional[timedelta]
    max_offline: Optional[timedelta]
    may_export: bool
    may_save_files: bool
    device_limit: int
    data: Json = field(repr=False)


@dataclass(frozen=True)
class LogStatus:
    """What this device knows of the organisation's log.

    Nothing is sent unless `state` is ``"current"``, ``"aging"`` or ``"unconfirmed"``.
    """

    size: int
    root: str
    time: datetime
    state: str
    policy: Policy


@dataclass(frozen=True)
class Receipts:
    """Whether others are told what was read, what has come, and who is writing.

    The organisation's policy may forbid each.
    """

    read: bool
    delivery: bool
    typing: bool


def frozen(data: Json) -> Json:
    """Returns the same, for looking at only."""
    return MappingProxyType(dict(data))
