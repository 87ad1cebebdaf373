"""Has a manager approve what people ask for: asks with a form, waits for the answer, acts, and tells who has asked.

    python approval.py HOME KEY-FILE MANAGER LEDGER

Whoever writes to the bot asks for something. What the manager approves becomes a line of the file LEDGER, which stands for whatever
would be done. Nothing but the messages themselves keeps what is under way, so the bot may stop at any time: killed after it
has asked and before that was acknowledged, it asks once more; nothing is done twice.
"""

import asyncio
import sys
from pathlib import Path

import chancery

FORM = chancery.Form(
    "Approval",
    (
        chancery.FormField("ok", "Do you approve?", "approval", required=True),
        chancery.FormField("why", "Anything to say about it?"),
    ),
)


async def ask(client: chancery.Client, manager: chancery.Member, request: chancery.Message) -> None:
    """Asks the manager. Whom it is for says a mention, which is exact where a handle is not."""
    who = f"@{request.handle}"
    mention = chancery.Mention(0, len(who), request.sender)
    await client.send(manager, f"{who} asks for: {request.text}", mentions=[mention], form=FORM)
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


async def main(home: str, key_file: str, name: str, ledger: str) -> None:
    """Runs until it is stopped."""
    async with chancery.Client.open(home, key_file=key_file) as client:
        manager = await client.member(name)
        print("ready", client.me.handle, flush=True)
        async for event in client.events():
            if isinstance(event, chancery.Message):
                if not event.is_mine and not event.group and event.sender != manager.member:
                    await ask(client, manager, event)
            elif isinstance(event, chancery.MessageChanged) and event.change == "answered":
                by_manager = [it for it in event.message.answers if it.by.member == manager.member]
                if by_manager and event.by.member == manager.member:
                    await decide(client, event.message, by_manager[-1], Path(ledger))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
