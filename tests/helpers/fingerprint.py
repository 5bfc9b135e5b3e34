"""Runs built-in kernels and prints what two equal runs must have in common.

Also a program, so that runs in several processes can be compared: python -m tests.helpers.fingerprint "COMMAND LINE" NAME...
"""

from __future__ import annotations

import hashlib
import json
import sys

from emulator.loader.builtin import resolve
from emulator.loader.image import KernelImage
from emulator.machine.consoles import Console
from emulator.machine.machine import Machine
from tests.helpers.recorded import WholeRecording

FUNCTIONS = ("kmalloc", "kfree", "alloc_frame", "alloc_frames", "free_frame", "free_frames", "memset")


def fingerprint(name: str, command_line: str) -> dict[str, str]:
    """Return the end of a run: outcome, registers, and digests of all calls, of all RAM and of the output."""
    machine = Machine(KernelImage.read(resolve(f"firmware:{name}")), command_line=command_line)
    recorded = WholeRecording(machine, FUNCTIONS)
    outcome = machine.run(timeout_s=60)
    return {
        "outcome": repr(outcome),
        "registers": repr(machine.cpu.registers()),
        "event count": str(recorded.recording.event_count),
        "calls": _digest(repr(recorded.with_stacks()).encode()),
        "memory": _digest(machine.memory.read(0, len(machine.memory))),
        "text": "".join(_digest(machine.output[console]) for console in Console),
    }


def _digest(data: bytes | bytearray) -> str:
    return hashlib.sha256(data).hexdigest()


if __name__ == "__main__":
    sys.stdout.write(json.dumps({name: fingerprint(name, sys.argv[1]) for name in sys.argv[2:]}))
