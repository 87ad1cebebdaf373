"""`Client`: a member's device."""

import base64
import json
import os
from ctypes import byref, c_size_t, c_uint64
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import (
    Any,
    AsyncIterator,
    Awaitable,
    Callable,
    Dict,
    Generator,
    Iterable,
    List,
    Mapping,
    Optional,
    Sequence,
    Tuple,
    Type,
    Union,
)

from . import _model as m
from . import _native, _read
from ._native import Handle, call_for_handle, milliseconds, text, texts, utf8
from ._session import Events, Session, in_thread

PathLike = Union[str, "os.PathLike[str]"]
#: What names a member or a group where it does not matter which. A `str` is a handle, a group's name, or an
#: identifier of either.
Place = Union[
    str,
    m.Member,
    m.Person,
    m.Participant,
    m.Reader,
    m.Conversation,
    m.Group,
    m.GroupName,
    m.GroupChange,
    m.Message,
]
#: What names a member. A `str` is a handle or an identifier.
Who = Union[str, m.Member, m.Person, m.Participant, m.Reader]
#: What names a group. A `str` is its name, or at least 8 digits of its identifier.
Which = Union[str, m.Group, m.GroupName, m.GroupChange]
#: What names a message that is acted upon.
Target = Union[m.Message, m.Sent]

#: How long a call waits for the relay if nothing else is said: 30 seconds.
PATIENCE = 30.0
#: Entries of a history that are read at once.
_PAGE = 64


def _kept_as(place: Place) -> str:
    """What the library knows a member, a group or a conversation by."""
    if isinstance(place, (m.Member, m.Person, m.Participant, m.Reader)):
        return place.member
    if isinstance(place, m.Message):
        return place.conversation
    if isinstance(place, (m.Conversation, m.Group, m.GroupName, m.GroupChange)):
        return place.id
    if isinstance(place, str):
        return place
    raise TypeError(f"a member or group is wanted, not {type(place).__name__}")


def _is_group(place: Place) -> bool:
    if isinstance(place, m.Conversation):
        return place.kind == "group"
    if isinstance(place, m.Message):
        return place.group is not None
    return isinstance(place, (m.Group, m.GroupName, m.GroupChange))


def _file(file: "Union[PathLike, m.Attachment]") -> Union[str, Dict[str, Any]]:
    if isinstance(file, m.Attachment):
        preview = base64.b64encode(file.preview).decode()
        return {"path": os.fspath(file.path), "media_type": file.media_type, "preview": preview}
    return os.fspath(file)


def _mention(content: str, mention: m.Mention) -> Dict[str, Any]:
    # The library counts bytes.
    before, end = content[: mention.start], mention.start + mention.length
    named = content[mention.start : end]
    return {"start": len(before.encode()), "length": len(named.encode()), "member": mention.member}


def _form(form: m.Form) -> Dict[str, Any]:
    fields = [
        {"id": it.id, "label": it.label, "kind": it.kind, "options": list(it.options), "required": it.required}
        for it in form.fields
    ]
    return {"title": form.title, "fields": fields}


def _json(value: Any) -> _native.Text:
    return text(json.dumps(value, ensure_ascii=False))


def _key(key_file: Optional[PathLike], passphrase: Optional[str], create: bool) -> Callable[[], Handle]:
    if (key_file is None) == (passphrase is None):
        raise TypeError("exactly one of key_file and passphrase is wanted")
    if key_file is not None:
        path = _native.path(key_file)
        return lambda: call_for_handle("key", "chancery_key_new_file", path, create)
    secret = text(passphrase or "")
    return lambda: call_for_handle("key", "chancery_key_new_passphrase", secret)


class _Opening(Awaitable["Client"]):
    """A client that is opened by `await` or `async with`."""

    def __init__(self, open_it: Callable[[], Handle]) -> None:
        self._open_it = open_it
        self._client: Optional[Client] = None

    def __await__(self) -> "Generator[Any, None, Client]":
        return self._open().__await__()

    async def _open(self) -> "Client":
        client = await Client._opened(self._open_it)
        self._client = client
        return client

    async def __aenter__(self) -> "Client":
        return await self._open()

    async def __aexit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        if self._client is not None:
            await self._client.close()


class Client:
    """A member's device: sends, receives, keeps history.

    Open one with `open` or `enroll`, and use it from the event loop that it was opened in; any number of tasks may
    call it at once. Times are in seconds. Every call may raise `Error`. A call that is cancelled may be carried out
    all the same: what was sent is in the history.
    """

    _session: Session
    #: Who this device is.
    me: m.Me

    def __init__(self) -> None:
        raise TypeError("use Client.open or Client.enroll")

    # --- opening and closing ---

    @classmethod
    def open(cls, home: PathLike, *, key_file: Optional[PathLike] = None, passphrase: Optional[str] = None) -> _Opening:
        """Opens the home of an enrolled device: ``async with Client.open("bot", key_file="bot.key") as client``.

        `await` does without `async with`; then `close` is yours to call. Nothing is sent yet.

        ``store-not-found`` and ``not-enrolled``: enrol first. ``revoked``: the organisation has ended the device, and
        nothing of it is left.
        """
        place, key = _native.path(home), _key(key_file, passphrase, False)
        return _Opening(lambda: call_for_handle("client", "chancery_client_new", place, key()))

    @classmethod
    def enroll(
        cls,
        link: str,
        home: PathLike,
        *,
        key_file: Optional[PathLike] = None,
        passphrase: Optional[str] = None,
        timeout: Optional[float] = 60.0,
        show_code: Optional[Callable[[str], None]] = None,
    ) -> _Opening:
        """Makes the folder `home` a device of the member that `link` is for, and opens it, as `open` does.

        A key file is made if there is none: who loses it has lost the home. With a device link, `show_code` is told
        in another thread what the person compares on the other device and approves there. If the process ends
        meanwhile, call again with the same link.

        ``invitation-used``, ``invitation-expired``: ask for another link. ``already-enrolled``: `open` it.
        """
        place, key, invitation = _native.path(home), _key(key_file, passphrase, True), text(link)
        patience = milliseconds(timeout)

        def tell(_userdata: Any, code: Any) -> None:
            if show_code is not None:
                show_code(utf8(code))

        def enrolled() -> Handle:
            told = _native.CODE_CALLBACK(tell)
            name = "chancery_client_new_enrolled"
            return call_for_handle("client", name, place, key(), invitation, patience, None, told)

        return _Opening(enrolled)

    @classmethod
    async def _opened(cls, open_it: Callable[[], Handle]) -> "Client":
        def read() -> Tuple[Handle, Any]:
            handle = open_it()
            return handle, _native.call_for_json("chancery_client_me", handle)

        handle, me = await in_thread(read)
        client = object.__new__(cls)
        client._session, client.me = Session(handle), _read.me(me)
        return client

    async def close(self) -> None:
        """Ends what the client does.

        Calls that wait raise ``handle-closed``, and loops over its events end. Closing twice is fine.
        """
        await self._session.close()

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        await self.close()

    # --- events ---

    def events(self, *, timeout: Optional[float] = None, follow: bool = True) -> Events:
        """Iterates over what happens, and keeps connected from now on, until the client is closed.

        Asking for the next event acknowledges the one before: a loop body that was finished is not run again for the
        same event, and one that raised, was cancelled or killed is, in the next loop or the next process. So is one
        that was left by ``break`` or ``return`` unless it called `acknowledge`. One loop reads the events of a client
        at a time.

        `timeout`: the loop ends when nothing has happened for so long. With ``follow=False`` the relay is left alone,
        and the loop is over what `sync` has brought. What ends following for good is raised, ``revoked`` for
        instance.
        """
        self._session.check()
        milliseconds(timeout)
        if follow:
            self._session.call_now("chancery_client_follow")
        return Events(self._session, timeout)

    async def acknowledge(self, event: m.Event) -> None:
        """Says that this event and all before it were acted upon: they do not come again."""
        if event.number:
            await self._session.acknowledge(event.number)

    async def sync(self, timeout: Optional[float] = PATIENCE) -> int:
        """Connects once, sends what waits and takes over what has arrived.

        Returns how many envelopes that were. `events` does it all the time.
        """
        count = c_size_t()
        await self._session.call("chancery_client_sync", milliseconds(timeout), byref(count), connects=True)
        return count.value

    # --- messages ---

    async def send(
        self,
        to: Place,
        message: str = "",
        *,
        files: "Sequence[Union[PathLike, m.Attachment]]" = (),
        reply_to: Optional[Target] = None,
        mentions: Sequence[m.Mention] = (),
        form: Optional[m.Form] = None,
        timeout: Optional[float] = PATIENCE,
    ) -> m.Sent:
        """Sends a message to a member or to a group.

        A `str` is a member; a group is given as `group`, `create_group`, a message or a conversation has it.
        Returns once the relay has it, or after `timeout` with the state ``"queued"``: then it is stored, and goes
        with whatever connects next. Do not send it again. If this raises, nothing was stored, except ``send-failed``:
        it is refused for good.
        """
        if isinstance(files, str):
            raise TypeError("a list of files is wanted, not one str")
        content: Dict[str, Any] = {"text": message, "files": [_file(file) for file in files]}
        if not isinstance(message, str):
            raise TypeError(f"text must be str, not {type(message).__name__}")
        if reply_to is not None:
            sender = reply_to.sender if isinstance(reply_to, m.Message) else self.me.member
            content["reply_to"] = {"id": reply_to.id, "from": sender}
        if mentions:
            content["mentions"] = [_mention(message, mention) for mention in mentions]
        if form is not None:
            content["form"] = _form(form)
        name = "chancery_group_send_message" if _is_group(to) else "chancery_client_send_message"
        place = _kept_as(to)
        sent = await self._session.json(name, text(place), _json(content), milliseconds(timeout), connects=True)
        return _read.sent(sent, sent.get("group", place))

    async def reply(
        self,
        message: m.Message,
        answer: str = "",
        *,
        files: "Sequence[Union[PathLike, m.Attachment]]" = (),
        timeout: Optional[float] = PATIENCE,
    ) -> m.Sent:
        """Replies to a message where it was written: to its author, or in its group."""
        return await self.send(message, answer, files=files, reply_to=message, timeout=timeout)

    async def _act(self, name: str, target: Target, *arguments: Any, timeout: Optional[float]) -> m.Sent:
        place, which = text(target.conversation), text(target.id)
        sent = await self._session.json(name, place, which, *arguments, milliseconds(timeout), connects=True)
        return _read.sent(sent, target.conversation)

    async def edit(self, message: Target, new_text: str, *, timeout: Optional[float] = PATIENCE) -> m.Sent:
        """Gives a message of one's own another text.

        As for all that acts on messages, ``"queued"`` is done here and waits elsewhere.
        """
        return await self._act("chancery_client_edit", message, text(new_text), timeout=timeout)

    async def delete(self, message: Target, *, timeout: Optional[float] = PATIENCE) -> m.Sent:
        """Deletes a message of one's own everywhere. Who has seen it has seen it, and files that were saved stay."""
        return await self._act("chancery_client_delete", message, timeout=timeout)

    async def react(
        self, message: Target, emoji: str, *, remove: bool = False, timeout: Optional[float] = PATIENCE
    ) -> m.Sent:
        """Reacts to a message, or takes that back."""
        return await self._act("chancery_client_react", message, text(emoji), remove, timeout=timeout)

    async def answer(
        self, message: Target, values: Mapping[str, str], *, timeout: Optional[float] = PATIENCE
    ) -> m.Sent:
        """Answers the form of a message, by the `id` of its fields. It takes the place of an earlier answer."""
        return await self._act("chancery_client_answer", message, _json(dict(values)), timeout=timeout)

    async def save(self, file: m.File, folder: PathLike) -> Path:
        """Downloads a file of a message into a folder, verifies it, and returns its path.

        ``attachment-damaged``, ``attachment-gone``: there is no hope for it. ``policy-forbids``: the organisation
        does not allow it.
        """
        place, message, index = file._place
        into = _native.path(folder)
        name = "chancery_client_save_file_of_message"
        return Path(await self._session.text(name, text(place), text(message), index, into, connects=True))

    def on_progress(self, callback: Optional[Callable[[str, int, int], object]]) -> None:
        """Names who is told in the event loop how far files have come; None for nobody.

        It is called with the file's name, and how many bytes of how many have gone.
        """
        if callback is None:
            self._session.listen(_native.PROGRESS_CALLBACK())
            return
        session, tell = self._session, callback

        def post(_userdata: Any, name: Any, done: int, total: int) -> None:
            session.post(tell, utf8(name), done, total)

        session.listen(_native.PROGRESS_CALLBACK(post))

    # --- conversations ---

    async def conversations(self) -> List[m.Conversation]:
        """Lists the conversations of this device, the newest first."""
        return [_read.conversation(it) for it in await self._session.json("chancery_client_conversations")]

    async def conversation(self, place: Place) -> m.Conversation:
        """Returns one conversation."""
        return _read.conversation(await self._session.json("chancery_client_conversation", text(_kept_as(place))))

    async def readers(self, place: Place) -> List[m.Reader]:
        """Lists who can read what is written in a conversation from now on.

        The other member and this one, or the members of the group. There is nobody else: neither the relay nor the
        organisation has a copy or a key. Others who have left since may have read what was written before.
        """
        found = await self._session.json("chancery_client_readers", text(_kept_as(place)))
        return [_read.reader(it) for it in found]

    async def history(self, place: Place, *, before: Optional[int] = None) -> AsyncIterator[_read.Entry]:
        """Iterates over a conversation, the newest entry first: messages, and in groups what happened to the group.

        `before`: only what stands before this position. What is here is read; the relay is not asked.
        """
        name, with_, at = "chancery_client_history_before", text(_kept_as(place)), before
        # To the library, 0 is the end; before the first entry there is nothing.
        while at != 0:
            page = await self._session.json(name, with_, at or 0, _PAGE)
            for entry in reversed(page["entries"]):
                yield _read.entry(entry)
            if page["next"] is None:
                return
            at = page["next"]

    async def mark_read(self, place: Place, up_to: Optional[int] = None) -> int:
        """Marks a conversation as read up to a position, or wholly, and returns how many messages are unread then.

        Authors are told as far as `receipts` and the organisation let it, with whatever connects next.
        """
        if up_to is None:
            last = (await self.conversation(place)).last
            if last is None:
                return 0
            up_to = last.position
        unread = c_uint64()
        await self._session.call("chancery_client_mark_read", text(_kept_as(place)), up_to, byref(unread))
        return unread.value

    async def set_draft(self, place: Place, draft: str) -> None:
        """Keeps what was begun and not sent; an empty text forgets it. `Conversation.draft` has it."""
        await self._session.call("chancery_client_set_draft", text(_kept_as(place)), text(draft))

    async def receipts(self) -> m.Receipts:
        """Returns what others are told."""
        return _read.receipts(await self._session.json("chancery_client_receipt_settings"))

    async def set_receipts(self, receipts: m.Receipts) -> None:
        """Sets what others are told, on all devices of this member."""
        name = "chancery_client_set_receipt_settings"
        await self._session.call(name, receipts.read, receipts.delivery, receipts.typing)

    async def disappearing(self, who: Who) -> Optional[timedelta]:
        """Returns how long what is written to a member stays after it was read.

        None is for ever. `GroupPolicy` says it of groups.
        """
        found = await self._session.json("chancery_client_disappearing", text(_kept_as(who)))
        return _read.seconds(found["disappears_after_s"])

    async def set_disappearing(self, who: Who, after: Optional[timedelta]) -> None:
        """Sets how long what is written to a member from now on stays after it was read, there and here.

        A second to 366 days, or None for ever.
        """
        await self._session.call("chancery_client_set_disappearing", text(_kept_as(who)), _seconds(after) or 0)

    async def typing(self, to: Who, *, stopped: bool = False) -> None:
        """Tells a member that this one is writing, or no longer, at once or not at all.

        It holds for 15 seconds there.
        """
        await self._session.call("chancery_client_typing", text(_kept_as(to)), stopped, connects=True)

    # --- members and devices ---

    async def members(self, part: str = "") -> List[m.Member]:
        """Lists the members, in the order of their handles: all, or those with this part in handle, name or unit."""
        found: List[m.Member] = []
        after = ""
        while True:
            page = await self._session.json("chancery_client_members", text(part), text(after))
            found.extend(map(_read.member, page["entries"]))
            if not page["next"]:
                return found
            after = page["next"]

    async def member(self, who: Who) -> m.Member:
        """Returns a member. The relay is asked if nobody here is called so."""
        return _read.member(await self._session.json("chancery_client_resolve", text(_kept_as(who)), connects=True))

    async def devices(self) -> List[m.Device]:
        """Lists this member's devices, with those that wait for approval here."""
        return [_read.device(it) for it in await self._session.json("chancery_client_devices")]

    async def device_link(self) -> m.DeviceLink:
        """Makes a link with which one more device of this member asks for approval, within ten minutes."""
        return _read.device_link(await self._session.json("chancery_client_device_link"))

    async def approve_device(self, code: str, *, timeout: Optional[float] = PATIENCE) -> str:
        """Approves the device that shows this code, and returns its identifier."""
        name = "chancery_client_approve_device"
        approved: str = (await self._session.json(name, text(code), milliseconds(timeout), connects=True))["device"]
        return approved

    async def remove_device(self, device: str, *, timeout: Optional[float] = PATIENCE) -> None:
        """Removes another device of this member, given by its identifier."""
        name = "chancery_client_remove_device"
        await self._session.json(name, text(device), milliseconds(timeout), connects=True)

    async def policy(self) -> m.Policy:
        """Returns the organisation's policy, as far as this device has heard of it."""
        return _read.policy(await self._session.json("chancery_client_policy"))

    async def log_status(self) -> m.LogStatus:
        """Returns what this device knows of the organisation's log."""
        return _read.log_status(await self._session.json("chancery_client_log_status"))

    # --- groups ---

    async def _change(self, name: str, *arguments: Any, timeout: Optional[float]) -> m.GroupChange:
        return _read.group_change(await self._session.json(name, *arguments, milliseconds(timeout), connects=True))

    async def groups(self) -> List[m.Group]:
        """Lists the groups that this device is in or was in."""
        return [_read.group(it) for it in await self._session.json("chancery_group_list")]

    async def group(self, which: Which) -> m.GroupDetails:
        """Returns a group with its rules and members; ``group-ambiguous`` if several are called so."""
        return _read.group_details(await self._session.json("chancery_group_show", text(_kept_as(which))))

    async def create_group(
        self, name: str, members: Iterable[Who] = (), *, timeout: Optional[float] = PATIENCE
    ) -> m.GroupChange:
        """Founds a group with this member as owner. What is returned can be written to with `send`."""
        who = _members(members)
        return await self._change("chancery_group_create", text(name), who, len(who), timeout=timeout)

    async def add_to_group(
        self, group: Which, members: Iterable[Who], role: str = "member", *, timeout: Optional[float] = PATIENCE
    ) -> m.GroupChange:
        """Adds members as ``"owner"``, ``"admin"``, ``"member"`` or ``"reader"``."""
        name, which, who = "chancery_group_add", text(_kept_as(group)), _members(members)
        return await self._change(name, which, who, len(who), text(role), timeout=timeout)

    async def remove_from_group(
        self, group: Which, members: Iterable[Who], *, timeout: Optional[float] = PATIENCE
    ) -> m.GroupChange:
        """Removes members with all their devices. They keep what they have read."""
        name, which, who = "chancery_group_remove", text(_kept_as(group)), _members(members)
        return await self._change(name, which, who, len(who), timeout=timeout)

    async def set_role(
        self, group: Which, who: Who, role: str, *, timeout: Optional[float] = PATIENCE
    ) -> m.GroupChange:
        """Gives a member the role ``"admin"``, ``"member"`` or ``"reader"``."""
        name, which = "chancery_group_set_role", text(_kept_as(group))
        return await self._change(name, which, text(_kept_as(who)), text(role), timeout=timeout)

    async def hand_over_group(self, group: Which, who: Who, *, timeout: Optional[float] = PATIENCE) -> m.GroupChange:
        """Makes another member the owner, and this one an administrator."""
        name, which = "chancery_group_hand_over", text(_kept_as(group))
        return await self._change(name, which, text(_kept_as(who)), timeout=timeout)

    async def leave_group(self, group: Which, *, timeout: Optional[float] = PATIENCE) -> m.GroupChange:
        """Leaves a group with all own devices; ``group-refused`` if nobody would administer it."""
        return await self._change("chancery_group_leave", text(_kept_as(group)), timeout=timeout)

    async def rename_group(self, group: Which, name: str, *, timeout: Optional[float] = PATIENCE) -> m.GroupChange:
        """Gives a group another name."""
        return await self._change("chancery_group_rename", text(_kept_as(group)), text(name), timeout=timeout)

    async def set_group_policy(
        self, group: Which, policy: m.GroupPolicy, *, timeout: Optional[float] = PATIENCE
    ) -> m.GroupChange:
        """Sets the rules of a group, all but `dissolved`: ``dataclasses.replace(group.policy, posting="admins")``."""
        rules = {
            "retention_s": _seconds(policy.retention),
            "disappearing_s": _seconds(policy.disappearing),
            "posting": policy.posting,
            "history": policy.history,
            "heal_s": _seconds(policy.heal),
        }
        name, which = "chancery_group_set_policy", text(_kept_as(group))
        return await self._change(name, which, _json(rules), timeout=timeout)

    async def heal_group(self, group: Which, *, timeout: Optional[float] = PATIENCE) -> m.GroupChange:
        """Renews all keys of a group."""
        return await self._change("chancery_group_heal", text(_kept_as(group)), timeout=timeout)

    async def execute_order(self, group: Which, order: str, *, timeout: Optional[float] = PATIENCE) -> m.GroupChange:
        """Carries out an order of the organisation to a group."""
        return await self._change("chancery_group_execute", text(_kept_as(group)), text(order), timeout=timeout)

    async def dissolve_group(self, group: Which, *, timeout: Optional[float] = PATIENCE) -> m.GroupChange:
        """Ends a group for all; what was written stays."""
        return await self._change("chancery_group_dissolve", text(_kept_as(group)), timeout=timeout)


def _members(members: Iterable[Who]) -> Any:
    if isinstance(members, str):
        raise TypeError("a list of members is wanted, not one str")
    return texts([_kept_as(who) for who in members])


def _seconds(time: Optional[timedelta]) -> Optional[int]:
    """Whole seconds; what lies between becomes more, so that no time becomes none."""
    if time is None:
        return None
    if time <= timedelta():
        raise ValueError("a time must be more than 0, or None")
    return -(-time // timedelta(seconds=1))
