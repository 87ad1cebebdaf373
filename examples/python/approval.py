"""Has a manager approve what people ask for: asks with a form, waits for the answer, acts, and tells who has asked.

    python approval.py HOME KEY-FILE MANAGER LEDGER

Whoever writes to the bot asks for something. What the manager approves becomes a line of the file LEDGER, which stands
for whatever would be done. Nothing but the messages themselves keeps what is under way, so the bot may be killed at any
time: nothing is asked or done twice. Only what it says about that may come twice, or "I have asked" not at all.
"""

import asyncio
import sys
from pathlib import Path

import chancery

#: Seconds to wait before what failed for now is tried again.
PAUSE = 1.0
#: What the manager fills in.
FIELDS = (
    chancery.FormField("ok", "Do you approve?", "approval", required=True),
    chancery.FormField("why", "Anything to say about it?"),
)


def form(request: chancery.Message) -> chancery.Form:
    """The form about a request. The title names the request, so that it is known again."""
    return chancery.Form(f"Request {request.id[:12]}", FIELDS)


def is_question(message: chancery.Message) -> bool:
    """Whether the bot has asked this. Others may send what looks the same: only its own messages count."""
    if not message.is_mine or message.group or message.form is None:
        return False
    return message.form.fields == FIELDS and len(message.mentions) == 1


async def was_asked(client: chancery.Client, manager: chancery.Member, request: chancery.Message) -> bool:
    """Whether the bot was killed after it had asked. Then this is the last that it has asked the manager."""
    async for entry in client.history(manager):
        if isinstance(entry, chancery.Message) and entry.is_mine and entry.form:
            return entry.form.title == form(request).title
    return False


async def ask(client: chancery.Client, manager: chancery.Member, request: chancery.Message) -> None:
    """Asks the manager. Whom it is for says a mention, which is exact where a handle is not."""
    if await was_asked(client, manager, request):
        return
    who = f"@{request.handle}"
    mention = chancery.Mention(0, len(who), request.sender)
    await client.send(manager, f"{who} asks for: {request.text}", mentions=[mention], form=form(request))
    await client.reply(request, f"I have asked {manager.handle}.")


async def decide(client: chancery.Client, question: chancery.Message, answer: chancery.Answer, ledger: Path) -> None:
    """Does what was approved, once, and tells who has asked."""
    requester, what = question.mentions[0].member, question.text.partition(": ")[2]
    if answer.values["ok"] == "yes":
        done = ledger.read_text() if ledger.exists() else ""
        if question.id not in done:
            with ledger.open("a") as file:
                file.write(f"{question.id} {requester} {what!r}\n")
    word = "Approved" if answer.values["ok"] == "yes" else "Refused"
    why = answer.values.get("why")
    await client.send(requester, f"{word}: {what}" + (f" ({why})" if why else ""))


async def act(client: chancery.Client, manager: chancery.Member, event: chancery.Event, ledger: Path) -> None:
    """Does what an event asks for, if it asks for anything. Once more, it changes nothing."""
    if isinstance(event, chancery.Message):
        if not event.is_mine and not event.group and event.sender != manager.member:
            await ask(client, manager, event)
    elif isinstance(event, chancery.MessageChanged) and event.change == "answered" and is_question(event.message):
        by_manager = [it for it in event.message.answers if it.by.member == manager.member]
        if by_manager and event.by.member == manager.member:
            await decide(client, event.message, by_manager[-1], ledger)


async def main(home: str, key_file: str, name: str, ledger: str) -> None:
    """Runs until it is stopped."""
    async with chancery.Client.open(home, key_file=key_file) as client:
        manager = await client.member(name)
        print("ready", client.me.handle, flush=True)
        async for event in client.events():
            while True:
                try:
                    await act(client, manager, event, Path(ledger))
                    break
                except chancery.Error as error:
                    print(event.number, error, file=sys.stderr, flush=True)
                    if not error.retry:
                        break  # it is too long to be asked, say: the next request must not wait for that
                    await asyncio.sleep(PAUSE)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
