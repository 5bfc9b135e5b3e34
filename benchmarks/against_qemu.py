"""Whole processes and pure emulation, against QEMU."""

from __future__ import annotations

from pathlib import Path

from measure import Row, at_most, cpu_seconds, kmemu_command, least, medians, process_seconds, qemu_command

from emulator.loader.builtin import resolve
from emulator.loader.image import KernelImage
from emulator.machine.machine import Machine

QEMU_EXIT, KMEMU_EXIT = 1, 0  # of a kernel that reports success
LONG, NOTHING = "calls=2500000", "calls=0"
LONG_INSTRUCTIONS = 1_000_000_000


def whole_process() -> Row:
    """Boot the demo, from the start of the process to its end."""
    ours, theirs = kmemu_command("demo"), qemu_command(Path(resolve("firmware:demo")))
    kmemu_s, qemu_s = medians(
        15, lambda: process_seconds(ours, KMEMU_EXIT), lambda: process_seconds(theirs, QEMU_EXIT)
    )
    ratio = kmemu_s / qemu_s
    return Row(
        name="process",
        what="whole process: boot demo",
        measured=f"{kmemu_s * 1e3:.0f} ms",
        peer=f"qemu-system-i386 {qemu_s * 1e3:.0f} ms",
        ratio=ratio,
        target=at_most(ratio, 0.9, "ratio <= 0.9"),
    )


def emulation_time() -> Row:
    """Run more than 1 G instructions, in CPU time.

    Start-up is taken off on both sides: it is what the same kernel takes with nothing to do.
    """
    kernel = Path(resolve("firmware:stress"))
    qemu_long, ours_long, qemu_nothing, ours_nothing = least(
        7,
        lambda: cpu_seconds(qemu_command(kernel, LONG), QEMU_EXIT),
        lambda: cpu_seconds(kmemu_command("stress", LONG), KMEMU_EXIT),
        lambda: cpu_seconds(qemu_command(kernel, NOTHING), QEMU_EXIT),
        lambda: cpu_seconds(kmemu_command("stress", NOTHING), KMEMU_EXIT),
    )
    ours, qemu = ours_long - ours_nothing, qemu_long - qemu_nothing
    instructions = instructions_of("stress", LONG) - instructions_of("stress", NOTHING)
    if instructions < LONG_INSTRUCTIONS:
        raise RuntimeError(
            f"stress executes {instructions} instructions only: not the long kernel that is asked for"
        )
    ratio = ours / qemu
    return Row(
        name="emulation",
        what=f"emulation of {instructions / 1e9:.2f} G instructions (stress)",
        measured=f"{ours:.2f} s, {instructions / ours / 1e6:.0f} M/s",
        peer=f"QEMU TCG {qemu:.2f} s",
        ratio=ratio,
        target=at_most(ratio, 0.7, "ratio <= 0.7"),
        notes=(f"both without start-up: the whole process of stress minus the one with {NOTHING}",),
    )


def interrupted() -> Row:
    """Run btron_stress, which its timer interrupts, from the start of the process to its end; in CPU time."""
    kernel = Path(resolve("firmware:btron_stress"))
    ours_s, qemu_s = least(
        7,
        lambda: cpu_seconds(kmemu_command("btron_stress"), KMEMU_EXIT),
        lambda: cpu_seconds(qemu_command(kernel), QEMU_EXIT),
    )
    ratio = ours_s / qemu_s
    return Row(
        name="interrupted",
        what="whole process: boot btron_stress, tasks and ticks",
        measured=f"{ours_s:.2f} s",
        peer=f"QEMU TCG {qemu_s:.2f} s",
        ratio=ratio,
        target=at_most(ratio, 0.8, "ratio <= 0.8"),
    )


def instructions_of(kernel: str, command_line: str) -> int:
    """Count the instructions of a run, in a run of its own."""
    machine = Machine(KernelImage.read(resolve(f"firmware:{kernel}")), command_line=command_line)
    return machine.run(max_instructions=1 << 50).instructions
