"""What README.md says of Python, as a newcomer does it:

in a folder beside the repository, with the wheel and the command; and the bot of the package's own README.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import unittest
from pathlib import Path
from typing import List, Tuple

import chancery
from support import EXAMPLES, PATIENCE, ROOT, Case, Program

#: The port that the document names. Another is used here, for others may test on this machine.
PORT = "7443"
BUILD = ".ci/python build\n"


def blocks() -> List[Tuple[str, str]]:
    """The marks and the texts of the document's blocks."""
    return re.findall(r"^```(.+?)\n(.*?)^```$", (ROOT / "README.md").read_text(), flags=re.M | re.S)


class Readme(unittest.TestCase):
    def test_the_bot_that_is_shown_is_the_example(self) -> None:
        (shown,) = [text for mark, text in blocks() if mark == "python by=python/tests/test_readme.py"]
        self.assertEqual(shown, (EXAMPLES / "echo_bot.py").read_text())

    def test_what_is_to_be_typed_works(self) -> None:
        install, *rest = [text for mark, text in blocks() if mark == "sh by=.ci/python"]
        self.assertTrue(install.startswith(BUILD), "which .ci/python has done")
        # What came before: the organisation, and Alice.
        before = [text for mark, text in blocks() if mark == "sh run"][:2]
        self.assertIn("org invite alice", before[1])
        script = [*before, "kill %1; wait\ncd ../repository\n", install[len(BUILD) :], *rest]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        folder = Path(tempfile.mkdtemp(prefix="chancery-readme-"))
        self.addCleanup(shutil.rmtree, folder)
        (folder / "repository").mkdir()
        target = Path(os.environ.get("CARGO_TARGET_DIR", "target"))
        for name, there in (("examples", EXAMPLES.parent), ("target", ROOT / target)):
            (folder / "repository" / name).symlink_to(there)
        # What was started in the background ends with the shell.
        lines = "set -euo pipefail\ntrap 'kill $(jobs -p) 2> /dev/null || true' EXIT\n" + "".join(script).replace(
            PORT, port
        )
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CHANCERY_")}
        shell = subprocess.Popen(
            ["bash", "-c", lines],
            cwd=folder / "repository",
            env=environment,
            stdout=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )
        late = threading.Timer(2 * PATIENCE, os.killpg, (shell.pid, signal.SIGKILL))
        late.start()
        printed, _ = shell.communicate()
        late.cancel()
        self.assertEqual(shell.returncode, 0, printed)
        expected = re.findall(r"# prints: (.*)", "".join(rest))
        self.assertTrue(expected)
        for text in expected:
            self.assertIn(text, printed)


class PackageReadme(Case):
    async def test_the_bot_greets_and_answers_texts_and_outlives_a_message_with_a_file_only(self) -> None:
        text = (ROOT / "python" / "README.md").read_text()
        (shown,) = re.findall(r"^```python\n(.*?)^```$", text, flags=re.M | re.S)

        async def enrolled(handle: str) -> chancery.Client:
            """A member of just this handle, in the folder of this test."""
            link = self.company.command("org", "invite", handle)
            client = await chancery.Client.enroll(link, self.folder / handle, key_file=self.folder / f"{handle}.key")
            self.addAsyncCleanup(client.close)
            return client

        alice, bot = await enrolled("alice"), await enrolled("bot")
        await bot.close()
        program = Program("-c", f"import os\nos.chdir({str(self.folder)!r})\n{shown}")
        self.addCleanup(program.kill)
        self.assertEqual((await self.first(alice, chancery.Message)).text, "I am here.")
        (self.folder / "notes.txt").write_text("Tea at four.")
        await alice.send("bot", files=[self.folder / "notes.txt"])
        await alice.send("bot", "Anybody there?")
        answer = await self.first(alice, chancery.Message)
        assert answer.reply_to is not None
        self.assertEqual((answer.text, answer.reply_to.text), ("Anybody there?", "Anybody there?"))
        self.assertIsNone(program.process.poll(), "it goes on")


if __name__ == "__main__":
    unittest.main()
