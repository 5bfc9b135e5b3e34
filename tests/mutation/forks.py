"""Processes for mutants: each is a copy of the one that has collected the tests."""

from __future__ import annotations

import os
import warnings


def fork() -> int:
    """Return 0 in the copy, else its number."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads of numpy are idle
        return os.fork()


def be_quiet() -> None:
    """Let what this process and its children print go nowhere."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (1, 2):
        os.dup2(null, descriptor)
