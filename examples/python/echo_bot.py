"""Answers every message with its own text: python echo_bot.py HOME KEY-FILE"""
import asyncio
import sys

import chancery


async def main(home: str, key_file: str) -> None:
    async with chancery.Client.open(home, key_file=key_file) as client:
        async for event in client.events():
            if isinstance(event, chancery.Message) and not event.is_mine and event.text:
                await client.reply(event, event.text)


asyncio.run(main(*sys.argv[1:]))
