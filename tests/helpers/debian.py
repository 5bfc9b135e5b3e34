"""Files of Debian packages, downloaded once into a cache outside of the checkout. Without a network there is an error, not a skip.

apt has its own lists and state there, for i386 whatever the host is: the i386 package of a kernel holds a 32-bit one.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kmemu-tests" / "debian"
_TIMEOUT_S = 300


def package_file(package: str, path: str) -> Path:
    """Return a file of a package for i386.

    Args:
        package: Its name.
        path: In it, without a leading slash; a pattern that fits exactly one file.
    """
    folder = _CACHE / package
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / "lock").open("w") as lock:  # tests run in several processes
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _download(package, folder)
    (found,) = folder.glob(path)
    return found


def _download(package: str, folder: Path) -> None:
    apt = _CACHE / "apt"
    options = ["APT::Architecture=i386", "APT::Architectures=i386", "Dir::State::status=/dev/null"]
    options += [f"Dir::State={apt}/state", f"Dir::Cache={apt}/cache", "APT::Sandbox::User=root"]
    settings = [word for option in options for word in ("-o", option)]
    for each in (apt / "state" / "lists" / "partial", apt / "cache" / "archives" / "partial"):
        each.mkdir(parents=True, exist_ok=True)
    for old in apt.glob("*.deb"):
        old.unlink()
    if not any((apt / "state" / "lists").glob("*_Packages*")):
        _run([_program("apt-get"), *settings, "-qq", "update"], apt, check=False)
    _run([_program("apt-get"), *settings, "-qq", "download", package], apt)
    (archive,) = apt.glob("*.deb")
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    _run([_program("dpkg-deb"), "-x", str(archive), str(partial)], apt)
    partial.rename(folder)


def _program(name: str) -> str:
    found = shutil.which(name)
    assert found, f"these tests need {name}, that is a Debian host"
    return found


def _run(command: list[str], directory: Path, *, check: bool = True) -> None:
    done = subprocess.run(
        command, cwd=directory, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
    )
    assert not check or done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
