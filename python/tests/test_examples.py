"""The examples as people run them: programs of their own, which are stopped and killed."""

import asyncio
import random
import signal
import textwrap
import time
import unittest
from typing import List

import chancery
from chancery._session import in_thread
from support import EXAMPLES, PATIENCE, Case, Program


class Examples(Case):
    async def closed_member(self, name: str) -> str:
        """A new member that another process is, and the handle."""
        client = await self.member(name)
        await client.close()
        return client.me.handle

    def program(self, example: str, handle: str, *words: str) -> Program:
        """Starts an example with a member's home and key."""
        path = str(EXAMPLES / example)
        started = Program(path, str(self.company.home(handle)), str(self.company.key(handle)), *words)
        self.addCleanup(started.kill)
        return started

    async def test_the_echo_bot_has_15_lines_answers_and_stops_at_once(self) -> None:
        self.assertLessEqual(len((EXAMPLES / "echo_bot.py").read_text().splitlines()), 15)
        bot, alice = await self.closed_member("echo"), await self.member("alice")
        program = self.program("echo_bot.py", bot)
        await alice.send(bot, "Anybody there?")
        answer = await self.first(alice, chancery.Message)
        assert answer.reply_to is not None
        self.assertEqual((answer.handle, answer.text, answer.reply_to.text), (bot, "Anybody there?", "Anybody there?"))
        begun = time.monotonic()
        program.process.send_signal(signal.SIGINT)
        self.assertEqual(program.process.wait(PATIENCE), -signal.SIGINT)
        self.assertLess(time.monotonic() - begun, 5)

    async def test_an_alarm_bot_that_is_killed_at_any_moment_loses_and_doubles_nothing(self) -> None:
        count, chance = 20, random.Random(20261122)
        bot, ann, ben = await self.closed_member("alarm"), await self.member("ann"), await self.member("ben")
        name = self.company.handle("Crew")
        crew = await ben.create_group(name, [bot])
        # So that the bot finds the group.
        async with await self.company.open(bot) as client:
            await client.sync()

        async def raise_alarms() -> None:
            for number in range(count):
                await ann.send(bot, f"Boiler {number}")
                await asyncio.sleep(chance.random() * 0.3)

        heard: List[str] = []

        async def hear() -> None:
            async for event in ben.events():
                if isinstance(event, chancery.Message) and event.conversation == crew.id:
                    heard.append(event.text.split(" [")[0])

        raising, hearing = asyncio.ensure_future(raise_alarms()), asyncio.ensure_future(hear())
        wanted = [f"{ann.me.handle}: Boiler {number}" for number in range(count)]
        begun, kills = time.monotonic(), 0
        while len(heard) < count:
            program = self.program("alarm_bot.py", bot, name)
            # Somewhere in the work: just after something was passed on, or any time later or earlier.
            if chance.random() < 0.5:
                await asyncio.sleep(0.4 + chance.random())
            else:
                for _ in range(chance.randint(2, 4)):
                    await in_thread(program.line, 3)
                await asyncio.sleep(chance.random() * 0.02)
            program.kill()
            kills += 1
            self.assertLess(time.monotonic() - begun, 3 * PATIENCE, heard)
        await raising
        # What was killed last is finished with, and whatever is on its way arrives.
        program = self.program("alarm_bot.py", bot, name)
        done = {it.id async for it in ann.history(bot) if isinstance(it, chancery.Message) and it.reactions}
        async for event in ann.events(timeout=PATIENCE):
            if isinstance(event, chancery.MessageChanged) and event.change == "reacted":
                done.add(event.message.id)
            if len(done) == count:
                break
        await asyncio.sleep(1)
        hearing.cancel()
        self.assertEqual(heard, wanted, "each once, in their order")
        self.assertGreaterEqual(kills, 3, "that is what was tried")

    async def test_an_approval_is_asked_for_given_or_refused_and_told(self) -> None:
        bot, mary, joe = await self.closed_member("desk"), await self.member("mary"), await self.member("joe")
        ledger = self.folder / "approved"
        program = self.program("approval.py", bot, mary.me.handle, str(ledger))
        self.assertEqual(program.line(), f"ready {bot}")
        for ok, why, told in [("yes", "Enjoy", "Approved: a new chair (Enjoy)"), ("no", "", "Refused: a new chair")]:
            await joe.send(bot, "a new chair")
            self.assertIn(mary.me.handle, (await self.first(joe, chancery.Message)).text)
            question = await self.first(mary, chancery.Message)
            self.assertEqual(question.text, f"@{joe.me.handle} asks for: a new chair")
            self.assertEqual([it.member for it in question.mentions], [joe.me.member])
            assert question.form is not None
            self.assertEqual([(it.id, it.kind) for it in question.form.fields], [("ok", "approval"), ("why", "text")])
            # The bot may stop between question and answer.
            program.kill()
            program = self.program("approval.py", bot, mary.me.handle, str(ledger))
            await mary.answer(question, {"ok": ok, "why": why} if why else {"ok": ok})
            self.assertEqual((await self.first(joe, chancery.Message)).text, told)
        lines = ledger.read_text().splitlines()
        self.assertEqual(len(lines), 1)
        self.assertIn(f"{joe.me.member} 'a new chair'", lines[0])

    async def test_forms_of_others_and_others_answers_book_nothing_and_do_not_stop_the_bot(self) -> None:
        bot, mary, joe = await self.closed_member("desk"), await self.member("mary"), await self.member("joe")
        crew = await joe.create_group(self.company.handle("Crew"), [mary.me.handle, bot])
        ok = chancery.FormField("ok", "Do you approve?", "approval", required=True)
        form = chancery.Form("Request 0123456789ab", (ok, chancery.FormField("why", "Anything to say about it?")))
        who = f"@{joe.me.handle}"
        mention = chancery.Mention(0, len(who), joe.me.member)
        # Some other program of the same member asks what names nobody, and what is no approval.
        async with await self.company.open(bot) as client:
            await client.sync()
            await client.send(mary.me.handle, "Is it warm?", form=form)
            other = chancery.Form("Lunch", (chancery.FormField("ok", "What?"),))
            await client.send(mary.me.handle, f"{who} asks for: soup", mentions=[mention], form=other)
        questions = [await self.first(mary, chancery.Message) for _ in range(2)]
        ledger = self.folder / "approved"
        program = self.program("approval.py", bot, mary.me.handle, str(ledger))
        self.assertEqual(program.line(), f"ready {bot}")
        await joe.send(crew, f"{who} asks for: 1000 euro", mentions=[mention], form=form)
        questions.append(await self.first(mary, chancery.Message))
        await joe.send(crew, "Who comes to lunch?", form=form)
        questions.append(await self.first(mary, chancery.Message))
        for question in questions:
            await mary.answer(question, {"ok": "yes"})
        # Too long to be asked with what the bot adds to it.
        await joe.send(bot, "x" * 32768)
        await joe.send(bot, "a lamp")
        question = await self.first(mary, chancery.Message)
        self.assertEqual(question.text, f"{who} asks for: a lamp")
        await mary.answer(question, {"ok": "yes"})
        await self.first(joe, chancery.Message, lambda it: it.text == "Approved: a lamp")
        self.assertIsNone(program.process.poll())
        (line,) = ledger.read_text().splitlines()
        self.assertIn(f"{joe.me.member} 'a lamp'", line)


class Endings(Case):
    """A program ends when it is told to, whatever the library does."""

    async def asyncSetUp(self) -> None:
        await super().asyncSetUp()
        client = await self.member("ends")
        await client.close()
        self.handle = client.me.handle

    async def ends(self, code: str) -> int:
        """Runs a program with an open `client` and returns its exit code."""
        handle = self.handle
        lines = [
            "import asyncio, os, signal, sys, threading, time, chancery",
            "async def main():",
            f"    client = await chancery.Client.open({str(self.company.home(handle))!r}, "
            f"key_file={str(self.company.key(handle))!r})",
            *(f"    {line}" for line in code.splitlines()),
            "asyncio.run(main())",
        ]
        program = Program("-c", "\n".join(lines))
        self.addCleanup(program.kill)
        begun = time.monotonic()
        ended = program.process.wait(PATIENCE)
        self.assertLess(time.monotonic() - begun, 10, code)
        return ended

    async def test_a_program_that_forgets_to_close_ends(self) -> None:
        self.assertEqual(await self.ends("await client.sync()"), 0)
        self.assertEqual(await self.ends("client.on_progress(print)\nclient.events()\nsys.client = client"), 0)

    async def test_a_program_ends_while_calls_wait_in_threads(self) -> None:
        code = "waits = asyncio.ensure_future(client.sync(timeout=None))\nawait asyncio.sleep(0.5)"
        code += "\nassert not waits.done()"
        with self.company.silence():
            self.assertEqual(await self.ends(code), 0)
            self.assertEqual(await self.ends(code + "\nsys.client = client"), 0)

    async def test_a_keyboard_interrupt_ends_a_loop_over_events(self) -> None:
        code = "threading.Timer(1, os.kill, (os.getpid(), signal.SIGINT)).start()\nasync for _ in client.events(): pass"
        self.assertEqual(await self.ends(code), -signal.SIGINT)

    async def test_a_forked_process_ends_without_the_library(self) -> None:
        code = "if os.fork() == 0:\n    del client\n    os._exit(0)\nawait client.close()\nsys.exit(os.wait()[1])"
        self.assertEqual(await self.ends(code), 0)

    async def test_a_forked_process_that_closes_the_client_leaves_it_to_its_parent(self) -> None:
        other = await self.member("other")
        await other.close()
        home, key = str(self.company.home(other.me.handle)), str(self.company.key(other.me.handle))
        code = f"""\
            async def hear():
                async for event in client.events():
                    if isinstance(event, chancery.Message):
                        return event.text
            hears = asyncio.ensure_future(hear())
            await asyncio.sleep(1)
            if os.fork() == 0:
                async with client:
                    pass
                os._exit(0)
            assert os.wait()[1] == 0
            begun = time.process_time()
            await asyncio.sleep(1)
            assert time.process_time() - begun < 0.3, "it spins"
            async with chancery.Client.open({home!r}, key_file={key!r}) as other:
                await other.send({self.handle!r}, "Still here?")
            assert await asyncio.wait_for(hears, 5) == "Still here?"
            await client.close()"""
        self.assertEqual(await self.ends(textwrap.dedent(code)), 0)


if __name__ == "__main__":
    unittest.main()
