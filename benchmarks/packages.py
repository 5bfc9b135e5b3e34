"""Kernels that nobody here wrote, of Debian's packages: GNU Mach up to the prompt of its debugger, and a game that polls."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, cast

from measure import Row, at_least, at_most, cpu_seconds, kmemu, least, qemu_command, seconds_of

from emulator.errors import BudgetUsedUp
from emulator.loader.image import KernelImage
from emulator.machine.board.interrupts import INSTRUCTION_NS
from emulator.machine.machine import Machine

ROOT = Path(__file__).parents[1]
MACH = ("gnumach-image-1.8-486-dbg", "boot/gnumach-*.gz")
INVADERS = ("grub-invaders", "boot/invaders.exec")
PLAYED = 100_000_000  # instructions
PROMPT = "db> "
RAM = "127M"  # above 1 MiB: QEMU's 128
RUNS = 5
LOOK_S = 0.01
SCREEN = b"xp /1000wx 0xb8000\n"  # the command that shows the cells of the screen
READY = b"(qemu) "
WORD = re.compile(rb" 0x[0-9a-f]{2}([0-9a-f]{2})[0-9a-f]{2}([0-9a-f]{2})")  # characters are bytes 2 and 0


def mach() -> Row:
    """Boot it, against QEMU, which is asked for its screen every 10 ms; CPU time of both processes."""
    with TemporaryDirectory() as folder:
        kernel = Path(folder) / "gnumach"
        kernel.write_bytes(gzip.decompress(package_file(*MACH).read_bytes()))
        command = kmemu("boot", str(kernel), "--ram", RAM, "--until", PROMPT)
        ours_s, qemu_s = least(RUNS, lambda: cpu_seconds(command, 0), lambda: qemu_seconds(kernel))
    return Row(
        name="mach",
        what="whole process: boot GNU Mach to its prompt",
        measured=f"{ours_s:.2f} s",
        peer=f"QEMU TCG {qemu_s:.2f} s",
        ratio=ours_s / qemu_s,
        target=at_most(ours_s / qemu_s, 0.85, "ratio <= 0.85"),
    )


def invaders() -> Row:
    """Play invaders, which reads the interval timer all the time, against what a CPU of 100 MHz does."""

    def play() -> float:
        machine = Machine(KernelImage.read(package_file(*INVADERS)))

        def run() -> None:
            with suppress(BudgetUsedUp):
                machine.run(max_instructions=PLAYED)

        return seconds_of(run)

    (seconds,) = least(RUNS, play)
    virtual_s = PLAYED * INSTRUCTION_NS / 1e9
    rate = PLAYED / seconds
    return Row(
        name="invaders",
        what=f"{PLAYED / 1e6:.0f} M instructions of grub-invaders",
        measured=f"{rate / 1e6:.0f} M/s",
        peer=f"{virtual_s:.0f} s of virtual time",
        ratio=seconds / virtual_s,
        target=at_least(rate, 50e6, ">= 50 M/s"),
    )


def package_file(package: str, path: str) -> Path:
    """Return a kernel, which the tests download."""
    sys.path.append(str(ROOT))
    from tests.helpers.debian import package_file as downloaded

    return downloaded(package, path)


def qemu_seconds(kernel: Path) -> float:
    """Return the CPU time that QEMU takes until the prompt is on the screen."""
    command = [*qemu_command(kernel, serial="null"), "-m", "128", "-monitor", "stdio"]
    process = subprocess.Popen(
        command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    with cast("IO[bytes]", process.stdin) as commands, cast("IO[bytes]", process.stdout) as answers:
        answer(answers)
        while PROMPT.encode() not in screen(commands, answers):
            time.sleep(LOOK_S)
        commands.write(b"quit\n")
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime


def screen(commands: IO[bytes], answers: IO[bytes]) -> bytes:
    """Return the characters on the screen."""
    commands.write(SCREEN)
    return b"".join(
        bytes.fromhex(low.decode() + high.decode()) for high, low in WORD.findall(answer(answers))
    )


def answer(answers: IO[bytes]) -> bytes:
    """Return what the monitor says up to its prompt.

    Raises:
        RuntimeError: QEMU has ended.
    """
    said = b""
    while not said.endswith(READY):
        more = answers.read(1 << 16)
        if not more:
            raise RuntimeError("QEMU has ended")
        said += more
    return said
