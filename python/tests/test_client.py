"""The package as bots and applications use it, against a real relay."""

import asyncio
import dataclasses
import random
import threading
import time
import unittest
from datetime import datetime, timedelta, timezone
from typing import Any, Awaitable, Callable, List, Set, TypeVar, cast

import chancery
from chancery import _session
from support import PATIENCE, Case

T = TypeVar("T")


class Conversations(Case):
    """What people do with each other."""

    async def test_two_people_write_answer_and_act_on_messages(self) -> None:
        alice, bob = await self.member("alice"), await self.member("bob")
        notes = self.folder / "notes.txt"
        notes.write_text("Tea at four.")
        text = f"Καλημέρα 👋 @{bob.me.handle}"
        mention = chancery.Mention(text.index("@"), len(bob.me.handle) + 1, bob.me.member)
        attachment = chancery.Attachment(notes, media_type="text/x-notes", preview=b"small")
        sent = await alice.send(bob.me.handle, text, files=[attachment], mentions=[mention])
        self.assertEqual((sent.state, sent.waiting), ("sent", None))

        message = await self.first(bob, chancery.Message)
        self.assertEqual((message.id, message.text, message.handle), (sent.id, text, alice.me.handle))
        self.assertEqual(message.mentions, (mention,), "in characters, not in bytes")
        self.assertFalse(message.is_mine)
        self.assertIsNotNone(message.sent_at.tzinfo)
        self.assertEqual(
            [(it.name, it.size, it.media_type) for it in message.files], [("notes.txt", 12, "text/x-notes")]
        )
        told: List[Any] = []
        bob.on_progress(lambda *progress: told.append((threading.get_ident(), *progress)))
        saved = await bob.save(message.files[0], self.folder / "saved")
        self.assertEqual(saved.read_text(), "Tea at four.")
        thread, name, done, total = told[-1]
        self.assertEqual((thread, name, done), (threading.get_ident(), "notes.txt", total), "in the loop's thread")
        bob.on_progress(None)

        await bob.reply(message, "Thank you!")
        reply = await self.first(alice, chancery.Message)
        assert reply.reply_to is not None
        self.assertEqual((reply.text, reply.reply_to.id, reply.reply_to.text), ("Thank you!", sent.id, text))
        await bob.react(message, "👍")
        changed = await self.first(alice, chancery.MessageChanged)
        self.assertEqual((changed.change, changed.by.handle), ("reacted", bob.me.handle))
        self.assertEqual([it.emoji for it in changed.message.reactions], ["👍"])
        await bob.react(message, "👍", remove=True)
        changed = await self.first(alice, chancery.MessageChanged)
        self.assertEqual(changed.message.reactions, ())
        await alice.edit(sent, "Tea at five")
        changed = await self.first(bob, chancery.MessageChanged)
        self.assertEqual((changed.change, changed.message.text), ("edited", "Tea at five"))
        self.assertIsNotNone(changed.message.edited_at)
        with self.assertRaises(chancery.Error) as refused:
            await bob.edit(message, "Nonsense")
        self.assertEqual(refused.exception.code, "not-your-message")
        await alice.delete(sent)
        changed = await self.first(bob, chancery.MessageChanged)
        self.assertTrue(changed.message.deleted)
        self.assertEqual(changed.message.text, "")

    async def test_forms_are_answered_and_the_answer_is_an_event(self) -> None:
        alice, bob = await self.member("alice"), await self.member("bob")
        form = chancery.Form(
            "Lunch",
            (
                chancery.FormField("what", "What?", "choice", ("soup", "pie"), required=True),
                chancery.FormField("when", "When?"),
            ),
        )
        await alice.send(bob.me.handle, "Hungry?", form=form)
        message = await self.first(bob, chancery.Message)
        self.assertEqual(message.form, form)
        with self.assertRaises(chancery.Error) as refused:
            await bob.answer(message, {"what": "cake"})
        self.assertEqual(refused.exception.code, "act-invalid")
        await bob.answer(message, {"what": "pie"})
        changed = await self.first(alice, chancery.MessageChanged)
        self.assertEqual(changed.change, "answered")
        self.assertEqual(
            [(it.by.handle, dict(it.values)) for it in changed.message.answers], [(bob.me.handle, {"what": "pie"})]
        )

    async def test_conversations_are_listed_read_marked_and_drafted(self) -> None:
        alice, bob = await self.member("alice"), await self.member("bob")
        for number in range(70):
            await alice.send(bob.me.member, str(number))
        await bob.sync()
        (conversation,) = await bob.conversations()
        self.assertEqual((conversation.kind, conversation.handle, conversation.unread), ("direct", alice.me.handle, 70))
        assert conversation.last is not None
        self.assertEqual((conversation.last.summary, conversation.last.handle), ("69", alice.me.handle))
        texts = [it.text async for it in bob.history(conversation) if isinstance(it, chancery.Message)]
        self.assertEqual(texts, [str(number) for number in reversed(range(70))], "over a page's end")
        middle = [
            it async for it in bob.history(alice.me.handle) if isinstance(it, chancery.Message) and it.text == "10"
        ]
        older = [it async for it in bob.history(alice.me.handle, before=middle[0].position)]
        self.assertEqual(len(older), 10)
        self.assertEqual([it async for it in bob.history(alice.me.handle, before=0)], [])
        self.assertEqual(await bob.mark_read(conversation, middle[0].position), 59)
        self.assertEqual(await bob.mark_read(middle[0]), 0)
        await bob.sync()
        read = await self.first(alice, chancery.Receipt, lambda it: it.kind == "read")
        self.assertEqual(read.handle, bob.me.handle)
        readers = await bob.readers(conversation)
        self.assertEqual(
            {(it.handle, it.kind, it.devices) for it in readers},
            {(it.me.handle, "member", (it.me.device,)) for it in (alice, bob)},
        )
        await bob.set_draft(alice.me.handle, "Dear")
        self.assertEqual((await bob.conversation(alice.me.handle)).draft, "Dear")

    async def test_receipts_typing_and_disappearing_are_set(self) -> None:
        alice, bob = await self.member("alice"), await self.member("bob")
        none = chancery.Receipts(read=False, delivery=True, typing=True)
        await bob.set_receipts(none)
        self.assertEqual(await bob.receipts(), none)
        self.assertIsNone(await bob.disappearing(alice.me.handle))
        await bob.set_disappearing(alice.me.handle, timedelta(minutes=1))
        self.assertEqual(await bob.disappearing(alice.me.handle), timedelta(minutes=1))
        await bob.send(alice.me.handle, "Soon gone")
        message = await self.first(alice, chancery.Message)
        self.assertEqual((message.disappears_after, message.expires_at), (timedelta(minutes=1), None))
        await alice.mark_read(message)
        (shown,) = [it async for it in alice.history(message) if isinstance(it, chancery.Message)]
        assert shown.expires_at is not None
        self.assertGreater(shown.expires_at, datetime.now(timezone.utc))
        await bob.set_disappearing(alice.me.handle, None)
        self.assertIsNone(await bob.disappearing(alice.me.handle))
        with self.assertRaises(ValueError):
            await bob.set_disappearing(alice.me.handle, timedelta(0))
        await alice.reply(message, "Yes?")
        await self.first(bob, chancery.Message)
        hears = asyncio.ensure_future(self.first(alice, chancery.Typing))
        while not hears.done():
            await bob.typing(alice.me.handle)
            await asyncio.wait([hears], timeout=1)
        typing = hears.result()
        self.assertEqual((typing.handle, typing.stopped, typing.number), (bob.me.handle, False, 0))

    async def test_groups_are_founded_changed_and_written_to(self) -> None:
        alice, bob, carol = await self.member("alice"), await self.member("bob"), await self.member("carol")
        name = self.company.handle("Crew")
        crew = await alice.create_group(name, [bob.me.handle])
        self.assertEqual(crew.state, "done")
        act = await self.first(bob, chancery.GroupAct)
        self.assertEqual((act.act, act.name), ("joined", name))
        sent = await alice.send(crew, "Lunch at noon?")
        self.assertEqual((sent.state, sent.conversation), ("sent", crew.id))
        message = await self.first(bob, chancery.Message)
        assert message.group is not None
        self.assertEqual((message.group.name, message.text), (name, "Lunch at noon?"))
        await bob.reply(message, "Yes")
        await bob.react(message, "🥣")
        answer = await self.first(alice, chancery.Message)
        self.assertEqual(answer.group, message.group)

        await alice.add_to_group(name, [await alice.member(carol.me.handle)], "reader")
        details = await alice.group(crew)
        self.assertEqual(
            {it.handle: it.role for it in details.members},
            {alice.me.handle: "owner", bob.me.handle: "member", carol.me.handle: "reader"},
        )
        assert details.policy is not None
        changed = dataclasses.replace(details.policy, posting="admins", retention=timedelta(days=7))
        await alice.set_group_policy(crew, changed)
        self.assertEqual((await alice.group(crew)).policy, changed)
        await self.first(bob, chancery.GroupAct, lambda it: it.act == "policy")
        with self.assertRaises(chancery.Error) as refused:
            await bob.send(await bob.group(name), "May I?")
        self.assertEqual(refused.exception.code, "group-not-allowed")
        await alice.set_role(crew, bob.me.handle, "admin")
        await alice.rename_group(crew, name + "-two")
        await alice.heal_group(crew)
        await alice.remove_from_group(crew, [carol.me.handle])
        await alice.hand_over_group(crew, bob.me.handle)
        await bob.sync()
        await bob.dissolve_group(crew)
        self.assertEqual([it.phase for it in await bob.groups()], ["dissolved"])
        acts = [it.act async for it in bob.history(crew) if isinstance(it, chancery.GroupAct)]
        self.assertIn("renamed", acts)
        self.assertEqual(acts[0], "dissolved")

    async def test_members_devices_and_the_organisations_rules_are_known(self) -> None:
        alice, bob = await self.member("alice"), await self.member("bob")
        found = await alice.member(bob.me.handle)
        self.assertEqual((found.member, found.devices), (bob.me.member, (bob.me.device,)))
        self.assertEqual((found.reach, bob.me.kind), ((), "member"))
        self.assertGreater(bob.me.expires, datetime.now(timezone.utc))
        await alice.sync()
        self.assertIn(found, await alice.members())
        self.assertEqual([it.handle for it in await alice.members(bob.me.handle.upper())], [bob.me.handle])
        self.assertEqual([(it.id, it.this) for it in await alice.devices()], [(alice.me.device, True)])
        self.assertGreater((await alice.policy()).device_limit, 0)
        self.assertIn((await alice.log_status()).state, ("current", "unconfirmed"))

        link = await alice.device_link()
        self.assertNotIn(link.link, repr(link))
        codes: "asyncio.Queue[str]" = asyncio.Queue()
        loop, home = asyncio.get_running_loop(), self.folder / "second"

        def show(code: str) -> None:
            loop.call_soon_threadsafe(codes.put_nowait, code)

        opening = chancery.Client.enroll(link.link, home, key_file=self.folder / "second.key", show_code=show)
        enrolling = asyncio.ensure_future(_awaited(opening))
        code = await asyncio.wait_for(codes.get(), PATIENCE)
        while True:
            try:
                approved = await alice.approve_device(code)
                break
            except chancery.Error as error:
                self.assertEqual(error.code, "device-request-unknown")
                await alice.sync()
        async with await enrolling as second:
            self.assertEqual((second.me.device, second.me.member), (approved, alice.me.member))
            self.assertEqual(len(await alice.devices()), 2)
            await alice.remove_device(approved)


async def _awaited(what: "Awaitable[T]") -> T:
    return await what


class Events(Case):
    """At least once, in order, and never in a busy loop."""

    async def sent(self, count: int) -> chancery.Client:
        """A member to whom so many messages were sent: "0", "1", …"""
        alice, bob = await self.member("alice"), await self.member("bob")
        for number in range(count):
            await alice.send(bob.me.handle, str(number))
        await alice.close()
        await bob.sync()
        return bob

    async def texts(self, client: chancery.Client, stop: int = 100) -> List[str]:
        """What the events of a loop that is left after so many say."""
        found: List[str] = []
        async for event in client.events(follow=False, timeout=0):
            if isinstance(event, chancery.Message):
                found.append(event.text)
            if len(found) == stop:
                break
        return found

    async def test_what_a_loop_has_not_finished_with_comes_again(self) -> None:
        bob = await self.sent(4)
        with self.assertRaises(ZeroDivisionError):
            async for event in bob.events(follow=False, timeout=0):
                if isinstance(event, chancery.Message) and event.text == "1":
                    _ = 1 // 0
        self.assertEqual(await self.texts(bob, 1), ["1"], "after a handler that has died")
        self.assertEqual(await self.texts(bob, 2), ["1", "2"], "after break")
        bob = await self.again(bob)
        self.assertEqual(await self.texts(bob, 1), ["2"], "after it was opened again")
        async for event in bob.events(follow=False, timeout=0):
            await bob.acknowledge(event)
            break
        bob = await self.again(bob)
        self.assertEqual(await self.texts(bob), ["3"], "what was acknowledged does not come")
        self.assertEqual(await self.texts(bob), [], "nor what a loop has finished with")

    async def test_one_loop_reads_at_a_time_and_a_newer_one_takes_over(self) -> None:
        bob = await self.sent(2)
        older, newer = bob.events(follow=False), bob.events(follow=False)
        first = await older.__anext__()
        self.assertEqual(await newer.__anext__(), first)
        with self.assertRaises(RuntimeError):
            await older.__anext__()
        await newer.__anext__()
        waits = asyncio.ensure_future(_next(newer))
        await asyncio.sleep(0.1)
        with self.assertRaises(RuntimeError):
            await bob.events(follow=False).__anext__()
        waits.cancel()

    async def test_cancelling_loses_no_event_and_keeps_their_order(self) -> None:
        count, chance = 40, random.Random(7)
        alice, bob = await self.member("alice"), await self.member("bob")

        async def write() -> None:
            for number in range(count):
                await alice.send(bob.me.handle, str(number))

        writing = asyncio.ensure_future(write())
        seen: List[str] = []

        async def read() -> None:
            async for event in bob.events():
                if isinstance(event, chancery.Message):
                    seen.append(event.text)

        rounds = 0
        while len(set(seen)) < count:
            reading = asyncio.ensure_future(read())
            await asyncio.wait([reading], timeout=chance.random() * 0.05)
            reading.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await reading
            rounds += 1
            self.assertLess(rounds, 5000)
        await writing
        without_repeats = [text for at, text in enumerate(seen) if text not in seen[:at]]
        self.assertEqual(without_repeats, [str(number) for number in range(count)])
        self.assertGreater(rounds, 5, "that is what was tried")

    async def test_a_send_that_is_cancelled_leaves_the_client_in_order(self) -> None:
        alice, bob = await self.member("alice"), await self.member("bob")
        sending = [asyncio.ensure_future(alice.send(bob.me.handle, str(number))) for number in range(20)]
        await asyncio.sleep(0.02)
        for task in sending[::2]:
            task.cancel()
        done = await asyncio.gather(*sending, return_exceptions=True)
        whole = {str(number) for number, result in enumerate(done) if isinstance(result, chancery.Sent)}
        self.assertLessEqual({str(number) for number in range(1, 20, 2)}, whole)
        await alice.send(bob.me.handle, "last")
        texts: List[str] = []
        await self.first(bob, chancery.Message, lambda it: texts.append(it.text) or it.text == "last")  # type: ignore[func-returns-value]
        self.assertLessEqual(whole, set(texts))
        self.assertEqual(len(texts), len(set(texts)), "none twice")

    async def test_events_come_while_several_tasks_send_with_two_clients(self) -> None:
        alice, bob = await self.member("alice"), await self.member("bob")

        async def talk(own: chancery.Client, other: chancery.Client) -> Set[str]:
            await asyncio.gather(*(own.send(other.me.handle, str(number)) for number in range(30)))
            return set()

        async def listen(own: chancery.Client) -> Set[str]:
            found: List[str] = []
            async for event in own.events():
                if isinstance(event, chancery.Message) and not event.is_mine:
                    found.append(event.text)
                if len(found) == 30:
                    self.assertEqual(len(set(found)), 30)
                    return set(found)
            raise AssertionError

        work = [talk(alice, bob), talk(bob, alice), listen(alice), listen(bob)]
        results = await asyncio.wait_for(asyncio.gather(*work), PATIENCE)
        self.assertEqual(results[2], {str(number) for number in range(30)})
        self.assertEqual(results[3], results[2])

    async def test_close_wakes_whoever_waits(self) -> None:
        bob = await self.sent(1)

        async def read() -> List[chancery.Event]:
            return [event async for event in bob.events()]

        reading = asyncio.ensure_future(read())
        await asyncio.sleep(0.5)
        begun = time.monotonic()
        await bob.close()
        found = await asyncio.wait_for(reading, 5)
        self.assertLess(time.monotonic() - begun, 2)
        self.assertTrue(any(isinstance(event, chancery.Message) for event in found))

    async def test_waiting_takes_no_time_of_the_processor(self) -> None:
        bob = await self.sent(0)
        await self.texts(bob)
        begun = time.process_time()
        self.assertEqual([event async for event in bob.events(timeout=3)], [])
        self.assertLess(time.process_time() - begun, 0.6)

    async def test_an_event_is_there_within_a_moment(self) -> None:
        alice, bob = await self.member("alice"), await self.member("bob")
        await alice.send(bob.me.handle, "first")
        await self.first(bob, chancery.Message)
        waiting = asyncio.ensure_future(self.first(bob, chancery.Message))
        await asyncio.sleep(0.5)
        await alice.send(bob.me.handle, "second")
        begun = time.monotonic()
        await waiting
        self.assertLess(time.monotonic() - begun, 3)


async def _next(events: chancery.Events) -> chancery.Event:
    return await events.__anext__()


class Misuse(Case):
    """What is wrong is an error with a code, or Python's own, and does no harm."""

    async def test_wrong_types_and_values_are_python_errors(self) -> None:
        bob = await self.member("bob")
        me: Any = bob.me.handle
        wrong: List[Callable[[], Awaitable[Any]]] = [
            lambda: bob.send(cast(str, 5), "x"),
            lambda: bob.send(me, cast(str, 5)),
            lambda: bob.send(me, cast(str, b"bytes")),
            lambda: bob.send(me, cast(str, None)),
            lambda: bob.send(me, "x", files=cast(Any, [5])),
            lambda: bob.send(me, "x", files="notes.txt"),
            lambda: bob.create_group("x", "bob"),
            lambda: bob.create_group("x", cast(Any, [5])),
            lambda: bob.answer(cast(Any, me), {}),
        ]
        for call in wrong:
            with self.assertRaises((TypeError, AttributeError)):
                await call()
        for seconds in (-1.0, float("nan")):
            with self.assertRaises(ValueError):
                await bob.send(me, "x", timeout=seconds)
        with self.assertRaises(TypeError):
            chancery.Client()
        with self.assertRaises(TypeError):
            chancery.Client.open("x")
        with self.assertRaises(TypeError):
            chancery.Client.open("x", key_file="k", passphrase="p")
        self.assertEqual(await bob.conversations(), [])

    async def test_errors_have_codes_and_say_whether_to_try_again(self) -> None:
        bob = await self.member("bob")
        with self.assertRaises(chancery.Error) as raised:
            await bob.send("nobody", "x")
        error = raised.exception
        self.assertEqual((error.code, error.number, error.retry), ("unknown-recipient", 400, False))
        self.assertIn("nobody", str(error))
        self.assertEqual(repr(error), "chancery.Error('unknown-recipient', 'nobody')")
        self.assertTrue(chancery.Error(300).retry)
        for home, key, code in [
            (self.folder / "none", self.folder / "none.key", "file-not-found"),
            (self.folder / "none", self.company.key(bob.me.handle), "store-not-found"),
        ]:
            with self.assertRaises(chancery.Error) as raised:
                await chancery.Client.open(home, key_file=key)
            self.assertEqual(raised.exception.code, code)
        with self.assertRaises(chancery.Error) as raised:
            await chancery.Client.open(self.company.home(bob.me.handle), passphrase="wrong")
        self.assertEqual(raised.exception.code, "wrong-passphrase")
        with self.assertRaises(chancery.Error) as raised:
            await chancery.Client.enroll("chancery:nonsense", self.folder / "new", key_file=self.folder / "new.key")
        self.assertEqual(raised.exception.code, "invitation-damaged")

    async def test_text_that_is_no_unicode_or_too_long_is_refused(self) -> None:
        alice, bob = await self.member("alice"), await self.member("bob")
        wrong: List[Callable[[], Awaitable[Any]]] = [
            lambda: alice.send(bob.me.handle, "a\ud800"),
            lambda: alice.send("\udfff", "a"),
            lambda: alice.send(bob.me.handle, "a", files=["no\udc80such"]),
            lambda: alice.conversation("\ud800"),
        ]
        for call in wrong:
            with self.assertRaises(chancery.Error) as raised:
                await call()
            self.assertEqual(raised.exception.code, "not-utf-8")
        with self.assertRaises(chancery.Error) as raised:
            await alice.send(bob.me.handle, "x" * (1 << 20))
        self.assertEqual(raised.exception.code, "message-too-large")
        for text in ["nul \0 within", '"quotes" \\ and\nlines', "x" * 32768, "\U0001f469‍\U0001f680"]:
            await alice.send(bob.me.handle, text)
            self.assertEqual((await self.first(bob, chancery.Message)).text, text)

    async def test_a_closed_client_says_so(self) -> None:
        bob = await self.member("bob")
        waiting = asyncio.ensure_future(bob.history(bob.me.handle).__anext__())
        await bob.close()
        await bob.close()
        with self.assertRaises((chancery.Error, StopAsyncIteration)):
            await waiting
        calls: List[Callable[[], Any]] = [
            lambda: bob.send("x", "y"),
            lambda: bob.conversations(),
            lambda: bob.sync(),
            lambda: bob.policy(),
        ]
        for call in calls:
            with self.assertRaises(chancery.Error) as raised:
                await call()
            self.assertEqual(raised.exception.code, "handle-closed")
        with self.assertRaises(chancery.Error):
            bob.events()
        with self.assertRaises(chancery.Error):
            bob.on_progress(None)

    async def test_a_call_that_waits_ends_when_the_client_is_closed(self) -> None:
        alice, bob = await self.member("alice"), await self.member("bob")
        await alice.sync()
        with self.company.silence():
            queued = await alice.send(bob.me.handle, "later", timeout=0.2)
            self.assertEqual((queued.state, queued.waiting), ("queued", "timed-out"))
            calls: List[Awaitable[Any]] = [alice.send(bob.me.handle, "never answered", timeout=None) for _ in range(20)]
            calls.append(alice.sync(timeout=None))
            waiting = [asyncio.ensure_future(_awaited(call)) for call in calls]
            await asyncio.sleep(0.5)
            self.assertFalse(any(call.done() for call in waiting))
            self.assertEqual(len(await alice.conversations()), 1, "what does not connect need not wait for them")
            begun = time.monotonic()
            await alice.close()
            for outcome in await asyncio.gather(*waiting, return_exceptions=True):
                assert isinstance(outcome, chancery.Error)
                self.assertEqual(outcome.code, "handle-closed")
            self.assertLess(time.monotonic() - begun, 3)
        alice = await self.again(alice)
        await alice.sync()
        self.assertEqual((await self.first(bob, chancery.Message)).id, queued.id)

    async def test_a_client_that_was_forgotten_is_freed(self) -> None:
        bob = await self.member("bob")
        await bob.close()
        opened = await self.company.open(bob.me.handle)
        self.assertEqual(opened.me, bob.me)
        # Until then, the loop holds what it was opened by.
        await asyncio.sleep(0)
        del opened

    async def test_a_client_stays_in_its_event_loop_and_process(self) -> None:
        bob = await self.member("bob")
        raised: List[BaseException] = []

        def elsewhere() -> None:
            try:
                asyncio.run(bob.conversations())
            except BaseException as error:
                raised.append(error)

        await _session.in_thread(elsewhere)
        self.assertIsInstance(raised[0], RuntimeError)
        bob._session._process += 1
        with self.assertRaises(chancery.Error):
            await bob.conversations()
        bob._session._process -= 1

    async def test_who_has_left_is_told(self) -> None:
        alice, bob = await self.member("alice"), await self.member("bob")
        await alice.send(bob.me.handle, "Farewell")

        async def read() -> None:
            async for _ in bob.events():
                pass

        reading = asyncio.ensure_future(read())
        await asyncio.sleep(1)
        await _session.in_thread(self.company.command, "org", "offboard", bob.me.handle)
        with self.assertRaises(chancery.Error) as raised:
            await asyncio.wait_for(reading, PATIENCE)
        self.assertEqual(raised.exception.code, "revoked")
        self.assertFalse(raised.exception.retry)
        with self.assertRaises(chancery.Error):
            await bob.send(alice.me.handle, "Am I still here?")
        left = await self.first(alice, chancery.MemberLeft)
        self.assertEqual(left.handle, bob.me.handle)


if __name__ == "__main__":
    unittest.main()
