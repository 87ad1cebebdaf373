"""End-to-end encrypted messaging that an organisation owns.

A bot that answers everybody::

    import asyncio, chancery

    async def main():
        async with chancery.Client.open("bot", key_file="bot.key") as client:
            async for event in client.events():
                if isinstance(event, chancery.Message) and not event.is_mine:
                    await client.reply(event, event.text)

    asyncio.run(main())

The folder ``bot`` is a device: ``chancery enroll LINK --home bot --key-file bot.key`` makes one of an invitation, and
so does `Client.enroll`. An event comes again until the loop asks for the next one, also after ``kill -9``.
"""

from ._client import Client, Place, Target, Which, Who
from ._model import (
    Answer,
    Attachment,
    Conversation,
    ConversationRead,
    Delivery,
    Device,
    DeviceAdded,
    DeviceLink,
    DeviceRequest,
    Event,
    File,
    Form,
    FormField,
    Group,
    GroupAct,
    GroupChange,
    GroupDetails,
    GroupName,
    GroupPolicy,
    HandleReassigned,
    LastEntry,
    LogStatus,
    Lost,
    Me,
    Member,
    MemberLeft,
    Mention,
    Message,
    MessageChanged,
    MessageFailed,
    MessageSent,
    MessagesGone,
    Participant,
    Person,
    Policy,
    Quote,
    Reaction,
    Reader,
    Receipt,
    Receipts,
    Sent,
    Typing,
    Unknown,
)
from ._native import Error
from ._native import library as _library
from ._read import Entry
from ._session import Events

__version__: str = _library.chancery_version().decode()


def live_handles() -> int:
    """Returns how many objects of the library this process has not freed: for tests, which look for 0 at their end."""
    return int(_library.chancery_live_handles())


__all__ = [
    "Answer",
    "Attachment",
    "Client",
    "Conversation",
    "ConversationRead",
    "Delivery",
    "Device",
    "DeviceAdded",
    "DeviceLink",
    "DeviceRequest",
    "Entry",
    "Error",
    "Event",
    "Events",
    "File",
    "Form",
    "FormField",
    "Group",
    "GroupAct",
    "GroupChange",
    "GroupDetails",
    "GroupName",
    "GroupPolicy",
    "HandleReassigned",
    "LastEntry",
    "LogStatus",
    "Lost",
    "Me",
    "Member",
    "MemberLeft",
    "Mention",
    "Message",
    "MessageChanged",
    "MessageFailed",
    "MessageSent",
    "MessagesGone",
    "Participant",
    "Person",
    "Place",
    "Policy",
    "Quote",
    "Reaction",
    "Reader",
    "Receipt",
    "Receipts",
    "Sent",
    "Target",
    "Typing",
    "Unknown",
    "Which",
    "Who",
    "live_handles",
]
