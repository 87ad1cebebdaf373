"""Puts the library that CHANCERY_LIBRARY names into the wheel, and tells from it what the wheel runs on."""

import os
import platform
import re
from pathlib import Path
from typing import Any, Dict

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


def platform_tag(library: bytes) -> str:
    """The tag by PEP 600: the newest glibc of which the library needs a symbol. It needs nothing else that a Linux may lack."""
    versions = [(int(major), int(minor)) for major, minor in re.findall(rb"GLIBC_(\d+)\.(\d+)\0", library)]
    if not versions:
        raise ValueError("the library needs no glibc: is it one for Linux?")
    major, minor = max(versions)
    return f"manylinux_{major}_{minor}_{platform.machine()}"


class LibraryHook(BuildHookInterface):
    """Called by hatchling before it builds the wheel."""

    def initialize(self, version: str, build_data: Dict[str, Any]) -> None:
        """Adds the library. No part depends on a version of Python, as nothing is compiled against it."""
        library = os.environ.get("CHANCERY_LIBRARY")
        if not library:
            raise ValueError("set CHANCERY_LIBRARY to libchancery.so, or run .ci/python")
        build_data["force_include"][library] = "chancery/libchancery.so"
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform_tag(Path(library).read_bytes())}"
