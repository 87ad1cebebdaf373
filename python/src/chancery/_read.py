"""Reads the library's JSON. Fields that later versions add are passed over."""

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Callable, Dict, Optional, Tuple, Union

from . import _model as m
from ._model import Json

Entry = Union[m.Message, m.GroupAct, m.Unknown]


def time(text: str) -> datetime:
    """Reads a time such as 2026-11-22T08:30:00.125Z."""
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)
    except ValueError:
        # The senders' clocks may say anything, also a year that Python does not have.
        return datetime.max.replace(tzinfo=timezone.utc)


def _time(text: Optional[str]) -> Optional[datetime]:
    return None if text is None else time(text)


def seconds(value: Optional[float]) -> Optional[timedelta]:
    """Reads a duration."""
    if value is None:
        return None
    return timedelta(seconds=value) if value < timedelta.max.total_seconds() else timedelta.max


def _person(data: Json) -> m.Person:
    return m.Person(data["member"], data["handle"])


def _by(data: Json) -> m.Person:
    return m.Person(data["from"], data["handle"])


def _file(message: Json, index: int, data: Json) -> m.File:
    path, place = data.get("path"), (message["conversation"], message["id"], index)
    return m.File(data["name"], data["size"], data.get("media_type"), None if path is None else Path(path), place)


def _mention(text: str, data: Json) -> m.Mention:
    # The library counts bytes.
    encoded = text.encode()
    start, length = data["start"], data["length"]
    before, named = encoded[:start], encoded[start : start + length]
    return m.Mention(len(before.decode(errors="ignore")), len(named.decode(errors="ignore")), data["member"])


def _form(data: Json) -> m.Form:
    fields = (
        m.FormField(it["id"], it["label"], it["kind"], tuple(it["options"]), it["required"]) for it in data["fields"]
    )
    return m.Form(data["title"], tuple(fields))


def message(data: Json, number: int = 0) -> m.Message:
    """Reads a message."""
    text = data.get("text") or ""
    group, quote, form = data.get("group"), data.get("reply_to"), data.get("form")
    return m.Message(
        number=number,
        id=data["id"],
        sender=data["from"],
        handle=data["handle"],
        unit=data.get("unit"),
        kind=data["kind"],
        conversation=data["conversation"],
        group=m.GroupName(group["id"], group["name"]) if group else None,
        sent_at=time(data["sent_at"]),
        text=text,
        files=tuple(_file(data, index, it) for index, it in enumerate(data["files"])),
        state=data["state"],
        reply_to=m.Quote(quote["id"], quote["from"], quote["handle"], quote["text"], quote["known"]) if quote else None,
        mentions=tuple(_mention(text, it) for it in data.get("mentions", ())),
        edited_at=_time(data.get("edited_at")),
        deleted=data.get("deleted", False),
        reactions=tuple(m.Reaction(it["emoji"], _by(it)) for it in data.get("reactions", ())),
        form=_form(form) if form else None,
        answers=tuple(m.Answer(_by(it), time(it["at"]), m.frozen(it["values"])) for it in data.get("answers", ())),
        unread=data.get("unread", False),
        deliveries=tuple(
            m.Delivery(it["member"], _time(it.get("delivered_at")), _time(it.get("read_at")))
            for it in data.get("receipts", ())
        ),
        disappears_after=seconds(data.get("disappears_after_s")),
        expires_at=_time(data.get("expires_at")),
        resent_by=data.get("resent_by"),
        position=data.get("position"),
    )


def group_act(data: Json, number: int = 0) -> m.GroupAct:
    """Reads an act in a group."""
    by, error = data.get("by"), data.get("error")
    return m.GroupAct(
        number=number,
        act=data["act"],
        group=data["group"],
        name=data["name"],
        by=_person(by) if by else None,
        targets=tuple(map(_person, data["targets"])),
        role=data.get("role"),
        epoch=data["epoch"],
        at=time(data["at"]),
        count=data.get("count", 0),
        error=error["code"] if error else None,
        position=data.get("position"),
    )


# What an event is read by, after the name of its kind.
_EVENTS: Dict[str, Callable[[Json, int], m.Event]] = {
    "group-act": group_act,
    "group-gap": group_act,
    "sent": lambda it, number: m.MessageSent(number, it["id"], it["conversation"], it["to"]),
    "failed": lambda it, number: m.MessageFailed(number, it["id"], it["conversation"], it["to"], it["why"]),
    "receipt": lambda it, number: m.Receipt(
        number, it["kind"], it["id"], it["member"], it["handle"], it["conversation"]
    ),
    "typing": lambda it, number: m.Typing(number, it["member"], it["handle"], it["stopped"]),
    "device-added": lambda it, number: m.DeviceAdded(number, it["member"], it["handle"], it["device"]),
    "lost": lambda it, number: m.Lost(number, it["member"], it["handle"], it["count"]),
    "read": lambda it, number: m.ConversationRead(number, it["conversation"], it["unread"]),
    "gone": lambda it, number: m.MessagesGone(number, it["conversation"]),
    "device-request": lambda it, number: m.DeviceRequest(number, it["code"]),
    "member-left": lambda it, number: m.MemberLeft(number, it["member"], it["handle"]),
    "handle-reassigned": lambda it, number: m.HandleReassigned(number, it["handle"], it["old"], it["new"]),
}


def event(data: Json, number: int) -> m.Event:
    """Reads an event; what this version does not know, or not so, is `Unknown`."""
    kind = data.get("event")
    try:
        if kind == "message":
            return message(data, number)
        if kind == "message-changed":
            return m.MessageChanged(number, message(data), data["change"], _person(data["by"]))
        if kind in _EVENTS:
            return _EVENTS[kind](data, number)
    except (LookupError, TypeError, AttributeError):
        pass
    return m.Unknown(number, kind, m.frozen(data))


def entry(data: Json) -> Entry:
    """Reads an entry of a history."""
    found = event(data, 0)
    if isinstance(found, (m.Message, m.GroupAct)):
        return found
    return m.Unknown(0, data.get("event"), m.frozen(data))


def me(data: Json) -> m.Me:
    """Reads who this device is."""
    return m.Me(
        data["member"],
        data["device"],
        data["handle"],
        data["name"],
        data["organisation"],
        data["org_id"],
        data["fingerprint"],
        data["kind"],
        time(data["expires"]),
    )


def member(data: Json) -> m.Member:
    """Reads a member."""
    return m.Member(
        data["member"],
        data["handle"],
        data.get("name"),
        data.get("unit"),
        data.get("kind"),
        tuple(data["devices"]),
        tuple(data.get("reach", ())),
    )


def reader(data: Json) -> m.Reader:
    """Reads who can read a conversation."""
    return m.Reader(data["member"], data["handle"], data["name"], data["kind"], tuple(data["devices"]))


def conversation(data: Json) -> m.Conversation:
    """Reads a conversation."""
    last = data.get("last")
    return m.Conversation(
        data["conversation"],
        data["kind"],
        data["title"],
        data.get("handle") or "",
        data.get("name") or "",
        data["unread"],
        _last(last) if last else None,
        data.get("draft"),
    )


def _last(data: Json) -> m.LastEntry:
    act = data.get("act")
    return m.LastEntry(
        data["position"],
        time(data["at"]),
        data.get("from"),
        data.get("handle"),
        data.get("summary"),
        group_act(act) if act else None,
    )


def _group(data: Json) -> Tuple[str, str, str, Optional[str], int, int, int]:
    return (
        data["group"],
        data["name"],
        data["phase"],
        data.get("role"),
        data["devices"],
        data["epoch"],
        data["waiting"],
    )


def group(data: Json) -> m.Group:
    """Reads a group as a list of groups has it."""
    return m.Group(*_group(data))


def group_details(data: Json) -> m.GroupDetails:
    """Reads a group with its rules and members."""
    policy = data.get("policy")
    members = (m.Participant(it["member"], it["handle"], it["role"], tuple(it["devices"])) for it in data["members"])
    return m.GroupDetails(*_group(data), _group_policy(policy) if policy else None, data["fingerprint"], tuple(members))


def _group_policy(data: Json) -> m.GroupPolicy:
    return m.GroupPolicy(
        seconds(data["retention_s"]),
        seconds(data["disappearing_s"]),
        data["posting"],
        data["history"],
        seconds(data["heal_s"]),
        data["dissolved"],
    )


def group_change(data: Json) -> m.GroupChange:
    """Reads what became of a wish about a group."""
    return m.GroupChange(
        data["group"],
        data["state"],
        data.get("name"),
        data.get("phase"),
        data.get("epoch"),
        data.get("devices"),
        _waiting(data),
    )


def sent(data: Json, conversation: str) -> m.Sent:
    """Reads what became of something that was sent."""
    return m.Sent(data["id"], data["state"], conversation, _waiting(data))


def _waiting(data: Json) -> Optional[str]:
    waiting = data.get("waiting")
    return waiting.get("cause") if waiting else None


def device(data: Json) -> m.Device:
    """Reads a device of one's own."""
    return m.Device(data.get("device"), data["this"], data["state"], data.get("code"))


def device_link(data: Json) -> m.DeviceLink:
    """Reads a link for one more device."""
    return m.DeviceLink(data["link"], time(data["expires"]))


def policy(data: Json) -> m.Policy:
    """Reads the organisation's policy."""
    return m.Policy(
        timedelta(seconds=data["freshness_s"]),
        seconds(data["retention_s"]),
        seconds(data["disappearing_s"]),
        seconds(data["max_offline_s"]),
        data["export"],
        data["saving_attachments"],
        data["device_limit"],
        m.frozen(data),
    )


def log_status(data: Json) -> m.LogStatus:
    """Reads what is known of the organisation's log."""
    return m.LogStatus(data["size"], data["root"], time(data["time"]), data["state"], policy(data["policy"]))


def receipts(data: Json) -> m.Receipts:
    """Reads what others are told."""
    return m.Receipts(data["read_receipts"], data["delivery_receipts"], data["typing"])
