"""What ``kmemu --version`` says: which kmemu this is, and what it uses."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from emulator import __version__
from emulator.errors import HostError
from emulator.machine.core.doctor import unicorn_version

if TYPE_CHECKING:
    from collections.abc import Iterator

_PACKAGES = ("capstone", "cffi", "numpy", "pyarrow", "pyelftools", "rich", "textual", "unicorn")


def version_lines() -> Iterator[str]:
    """Yield a name and a version a line, kmemu's own first; scripts read that one."""
    yield f"kmemu {__version__}"
    yield f"{platform.python_implementation()} {platform.python_version()}"
    yield f"libunicorn {_library_version()}"
    for name in _PACKAGES:
        yield f"{name} {_package_version(name)}"


def _library_version() -> str:
    try:
        return unicorn_version()
    except HostError as error:
        return f"none: {error}"


def _package_version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"
