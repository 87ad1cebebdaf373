"""Passes alarms on to a group: each once, through a relay that is down and through `kill -9`.

    python alarm_bot.py HOME KEY-FILE GROUP

Whoever writes to the bot raises an alarm, and sees by a reaction that it was passed on. The bot has to be in the group.

An alarm that was not acknowledged when the bot was killed comes again, so none is lost. `send` stores a message before it sends it, so
one look into the history says whether the alarm that comes again was passed on already: none is doubled.
"""

import asyncio
import sys

import chancery

#: Seconds to wait before what failed for now is tried again.
PAUSE = 1.0


def mark(alarm: chancery.Message) -> str:
    """What the bot knows an alarm by in the group."""
    return f"[{alarm.id[:12]}]"


async def was_passed_on(client: chancery.Client, group: chancery.Group, alarm: chancery.Message) -> bool:
    """Whether the bot was killed after it had passed this alarm on.

    It works on one after the other and writes nothing else to the group, so then it is the last that the bot has written there.
    """
    async for entry in client.history(group):
        if isinstance(entry, chancery.Message) and entry.is_mine:
            return mark(alarm) in entry.text
    return False


async def pass_on(client: chancery.Client, group: chancery.Group, alarm: chancery.Message) -> None:
    """Passes an alarm on if that was not done, and says so."""
    if not await was_passed_on(client, group, alarm):
        await client.send(group, f"{alarm.handle}: {alarm.text} {mark(alarm)}")
        print("passed on", alarm.id, flush=True)
    # The same reaction once more changes nothing.
    await client.react(alarm, "✅")


async def main(home: str, key_file: str, name: str) -> None:
    """Runs until it is stopped."""
    async with chancery.Client.open(home, key_file=key_file) as client:
        group = await client.group(name)
        print("ready", client.me.handle, flush=True)
        async for event in client.events():
            if not isinstance(event, chancery.Message) or event.is_mine or event.group or not event.text:
                continue
            while True:
                try:
                    await pass_on(client, group, event)
                    break
                except chancery.Error as error:
                    print(event.id, error, file=sys.stderr, flush=True)
                    if not error.retry:
                        break  # the sender has left, or the bot is not in the group: the next alarm must not wait for that
                    await asyncio.sleep(PAUSE)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
