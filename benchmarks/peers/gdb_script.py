"""What one writes for gdb to see a kernel's allocator calls; runs inside gdb, which has its own Python.

The job is JSON in the environment variable JOB: {"functions": [[name, words of arguments]...], "exits": [address...],
"qemu": [command...]}. Prints JSON: calls, results, frames.
"""

from __future__ import annotations

import json
import os
import shlex
import struct
import sys
from typing import Any

import gdb

calls: list[tuple[Any, ...]] = []
open_calls: dict[int, int] = {}
results: dict[int, int] = {}


def register(name: str) -> int:
    """Return a register, unsigned."""
    return int(gdb.newest_frame().read_register(name)) & 0xFFFFFFFF


class Entry(gdb.Breakpoint):  # type: ignore[misc]
    """At a function's first instruction."""

    def __init__(self, name: str, words: int) -> None:
        super().__init__(f"*{name}", internal=True)
        self.name, self.words = name, words

    def stop(self) -> bool:
        """Keep arguments and stack; go on."""
        esp = register("esp")
        memory = gdb.selected_inferior().read_memory(esp + 4, 4 * self.words) if self.words else b""
        frames = []
        frame = gdb.newest_frame().older()
        while frame is not None:
            frames.append((frame.pc(), frame.name()))
            frame = frame.older()
        open_calls[esp] = len(calls)
        calls.append((self.name, struct.unpack(f"<{self.words}I", memory), frames))
        return False


class Exit(gdb.Breakpoint):  # type: ignore[misc]
    """At a `ret`."""

    def stop(self) -> bool:
        """Keep the result; go on."""
        call = open_calls.pop(register("esp"), None)
        if call is not None:
            results[call] = register("eax")
        return False


job = json.loads(os.environ["JOB"])
gdb.execute("set pagination off")
gdb.execute("set confirm off")
gdb.execute("set breakpoint always-inserted on")
gdb.execute(f"target remote | exec {shlex.join(job['qemu'])}", to_string=True)
for function in job["functions"]:
    Entry(*function)
for address in job["exits"]:
    Exit(f"*{address:#x}", internal=True)
try:
    gdb.execute("continue", to_string=True)
except gdb.error as error:
    if "connection closed" not in str(error):  # what QEMU's exit looks like from here
        raise
facts = {"calls": len(calls), "results": len(results), "frames": sum(len(call[-1]) for call in calls)}
print(json.dumps(facts), file=sys.stdout, flush=True)
