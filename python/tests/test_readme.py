"""What README.md says of Python, as a newcomer does it:

in a folder beside the repository, with the wheel and the command.
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

from support import EXAMPLES, PATIENCE, ROOT

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


if __name__ == "__main__":
    unittest.main()
