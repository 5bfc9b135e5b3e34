"""What happens inside one process: recording, snapshots, and the models on guest RAM."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from measure import Row, Target, at_least, at_most, medians, seconds_of

from emulator.hle.kernels import find_litecore
from emulator.hle.layers import Mode, attach_layers
from emulator.inject.workers import run_campaign
from emulator.loader.builtin import resolve
from emulator.loader.image import KernelImage
from emulator.machine.address_map import MIB
from emulator.machine.machine import Machine
from emulator.machine.memory import RAM_SIZE_MAX, RamWindow
from emulator.machine.recording import RecordedFunction, record
from emulator.profile.known import matching_profile
from emulator.replay.engine import Rerun

if TYPE_CHECKING:
    from collections.abc import Callable

    from kernel_model.litecore.abi import LiteCore
    from kernel_model.litecore.memmap import Memmap

ALLOCATORS = (
    *("kmalloc", "kfree", "mem_has_space"),
    *("alloc_frame", "alloc_frames", "free_frame", "free_frames", "memmap_reserve", "memmap_free_count"),
)
RESETS = 2000
MANY_RESETS = 1_000_000
WRITTEN_PAGES = 10
RESIDENT_PAGES_MORE = 256  # of Python's own
EXHAUSTED = 125  # requests of fragile, with 4 allocations each, and 2 before
PAIRS = 5000
FRAMES = 64
LOOP = 0x00400000  # a frame that demo leaves free


def machine_of(kernel: str, command_line: str = "", ram: RamWindow | None = None) -> Machine:
    """Return a machine with a built-in kernel, not yet run."""
    image = KernelImage.read(resolve(f"firmware:{kernel}"))
    return Machine(image, command_line=command_line, ram=ram or RamWindow(MIB, 5 * MIB))


def recording_of(name: str, kernel: str, calls: tuple[str, ...], runs: int) -> Row:
    """A kernel with some of its calls in the ring, against none."""
    counts = []

    def run(*, recorded: bool) -> float:
        machine = machine_of(kernel)
        functions = [RecordedFunction(name, 4) for name in calls]
        taken = record(machine, functions) if recorded else None
        elapsed = seconds_of(machine.run)
        if taken is not None:
            counts.append(taken.event_count)
        return elapsed

    plain_s, recorded_s = medians(runs, lambda: run(recorded=False), lambda: run(recorded=True))
    ratio = recorded_s / plain_s
    return Row(
        name=name,
        what=f"{kernel} with {counts[0] / 1e6:.1f} M allocator events recorded, with call stacks",
        measured=f"{recorded_s:.2f} s",
        peer=f"not recorded {plain_s:.2f} s",
        ratio=ratio,
        target=at_most(ratio, 1.05, "ratio <= 1.05"),
    )


def recording() -> Row:
    """All allocator calls of stress in the ring, against none."""
    return recording_of("recording", "stress", ALLOCATORS, 7)


def counting() -> Row:
    """A budget that stress does not reach, against none."""

    def run(budget: int | None) -> float:
        machine = machine_of("stress")
        return seconds_of(lambda: machine.run(max_instructions=budget))

    plain_s, counted_s = medians(7, lambda: run(None), lambda: run(10**12))
    ratio = counted_s / plain_s
    return Row(
        name="counting",
        what="stress with a budget of instructions",
        measured=f"{counted_s:.2f} s",
        peer=f"without {plain_s:.2f} s",
        ratio=ratio,
        target=at_most(ratio, 1.08, "ratio <= 1.08"),
    )


def snapshot_reset() -> Row:
    """Back to the snapshot and one call of kmalloc, against a new boot."""
    machine = machine_of("demo")
    machine.run()
    snapshot = machine.snapshot()

    def resets() -> None:
        for _ in range(RESETS):
            snapshot.reset()
            machine.call("kmalloc", 64)

    reset_s, boot_s = medians(
        9, lambda: seconds_of(resets) / RESETS, lambda: seconds_of(lambda: machine_of("demo").run())
    )
    return Row(
        name="reset",
        what="reset to a snapshot + one guest call of kmalloc",
        measured=f"{reset_s * 1e6:.1f} us",
        peer=f"boot demo from scratch {boot_s * 1e3:.1f} ms",
        ratio=reset_s / boot_s,
        target=at_most(reset_s, 10e-6, "<= 10 us"),
    )


def held_of_host() -> tuple[int, int, int]:
    """Return what this process holds: resident pages, mappings, descriptors."""
    resident = int(Path("/proc/self/statm").read_text().split()[1])
    return (
        resident,
        len(Path("/proc/self/maps").read_text().splitlines()),
        len(list(Path("/proc/self/fd").iterdir())),
    )


def many_resets() -> Row:
    """A million times back to the snapshot, each time with pages written since, against the writes alone."""
    machine = machine_of("demo")
    machine.run()
    snapshot = machine.snapshot()
    store, pages = machine.memory.store_u32, range(LOOP, LOOP + WRITTEN_PAGES * 4096, 4096)

    def written(*, undone: bool) -> None:
        for page in pages:
            store(page, page)
        if undone:
            snapshot.reset()

    def times(count: int, *, undone: bool) -> float:
        def repeat() -> None:
            for _ in range(count):
                written(undone=undone)

        return seconds_of(repeat) / count

    times(RESETS, undone=True)
    before = held_of_host()
    reset_s = times(MANY_RESETS, undone=True)
    grown = [after - held for held, after in zip(before, held_of_host(), strict=True)]
    write_s = times(RESETS, undone=False)
    stays = grown[0] <= RESIDENT_PAGES_MORE and grown[1:] == [0, 0]
    return Row(
        name="resets",
        what=f"{MANY_RESETS} resets with {WRITTEN_PAGES} pages written",
        measured=f"{reset_s * 1e6:.1f} us each",
        peer=f"the writes alone {write_s * 1e6:.1f} us",
        ratio=reset_s / write_s,
        target=Target("<= 15 us, no growth", reached=at_most(reset_s, 15e-6, "").reached and stays),
        notes=(f"resets: grown by {grown[0]} resident pages, {grown[1]} mappings, {grown[2]} descriptors",),
    )


def exhausting() -> Row:
    """Every allocation of fragile fails once, on all CPUs."""
    new = partial(machine_of, "fragile", f"requests={EXHAUSTED}")
    rerun = Rerun(new, matching_profile(new().image))
    counts = []

    def run() -> float:
        started = time.perf_counter()
        counts.append(len(run_campaign(rerun, limit=1_000_000).trials))
        return time.perf_counter() - started

    whole_s, boot_s = medians(3, run, lambda: seconds_of(lambda: new().run()))
    return Row(
        name="exhaust",
        what=f"each of {counts[0]} allocations fails once, a run each",
        measured=f"{whole_s:.2f} s",
        peer=f"as many boots from scratch {boot_s * counts[0]:.2f} s",
        ratio=whole_s / (boot_s * counts[0]),
        target=at_most(whole_s * 500 / counts[0], 15, "<= 15 s for 500"),
    )


def litecore_of(machine: Machine) -> LiteCore:
    """Return the models on a machine's RAM."""
    found = find_litecore(machine)
    if found is None:
        raise RuntimeError("the kernel has no LiteCore")
    return found


def direct_pairs() -> Row:
    """The model's kmalloc and kfree called from Python, against the guest's called from Python."""
    machine = machine_of("demo")
    machine.run()
    heap = litecore_of(machine).heap

    def modelled() -> None:
        for _ in range(PAIRS):
            heap.kfree(heap.kmalloc(64))

    def native() -> None:
        for _ in range(PAIRS):
            machine.call("kfree", machine.call("kmalloc", 64))

    modelled_s, native_s = medians(9, lambda: seconds_of(modelled), lambda: seconds_of(native))
    rate = PAIRS / modelled_s
    return Row(
        name="pairs",
        what="kmalloc+kfree pairs of the model, called from Python",
        measured=f"{rate / 1e3:.0f} k/s",
        peer=f"machine.call of the guest's own {PAIRS / native_s / 1e3:.0f} k/s",
        ratio=modelled_s / native_s,
        target=at_least(rate, 60_000, ">= 60 k/s"),
    )


def pair_loop(machine: Machine, address: int) -> bytes:
    """Return machine code for *address*: PAIRS times kfree(kmalloc(64)), then hlt."""
    head = b"\xb9" + PAIRS.to_bytes(4, "little")  # mov ecx, PAIRS
    steps: list[bytes | str] = [
        b"\x51\x6a\x40",  # loop: push ecx; push 64
        "kmalloc",
        b"\x89\x04\x24",  # mov [esp], eax
        "kfree",
        b"\x58\x59\x49",  # pop eax; pop ecx; dec ecx
    ]
    code = head
    for step in steps:
        if isinstance(step, str):
            distance = machine.address_of(step) - (address + len(code) + 5)
            step = b"\xe8" + distance.to_bytes(4, "little", signed=True)  # noqa: PLW2901 - call
        code += step
    back = len(head) - (len(code) + 2)
    return code + b"\x75" + back.to_bytes(1, "little", signed=True) + b"\xf4"  # jnz loop; hlt


def guest_pairs() -> Row:
    """The model instead of the guest's functions, called by a loop in the guest, against the functions themselves."""
    machines = []
    for mode in (Mode.MODEL, Mode.NATIVE):
        machine = machine_of("demo")
        machine.run()
        attach_layers(machine, {"heap": mode})
        machine.memory.write(LOOP, pair_loop(machine, LOOP))
        machines.append(machine)

    def run(machine: Machine) -> float:
        machine.cpu.set_registers(machine.cpu.registers()._replace(eip=LOOP))
        return seconds_of(machine.run)

    modelled_s, native_s = medians(9, *(partial(run, machine) for machine in machines))
    rate = PAIRS / modelled_s
    return Row(
        name="guest-pairs",
        what="the same, called by the guest (heap=model)",
        measured=f"{rate / 1e3:.0f} k/s",
        peer=f"heap=native {PAIRS / native_s / 1e3:.0f} k/s",
        ratio=modelled_s / native_s,
        target=at_least(rate, 60_000, ">= 60 k/s"),
    )


def frames_of(memmap: Memmap) -> Callable[[], float]:
    """Return what times one alloc_frame; the frames are given back in between, untimed."""

    def measure() -> float:
        taken: list[int | None] = []
        elapsed = seconds_of(lambda: taken.extend(memmap.alloc_frame() for _ in range(FRAMES)))
        for frame in taken:
            if frame is None:
                raise RuntimeError("no frame is left")
            memmap.free_frames(frame, 1)
        return elapsed / FRAMES

    return measure


def large_window() -> Row:
    """alloc_frame of the model in a window of 3 GiB, nearly full against empty."""
    ram = RamWindow(MIB, MIB + RAM_SIZE_MAX)
    models = []
    for full in (False, True):
        machine = machine_of("demo", "ram=all", ram)
        machine.run()
        memmap = litecore_of(machine).memmap
        if full:
            memmap.reserve(ram.start, ram.end - FRAMES * 4096)
        models.append((machine, memmap))
    empty_s, full_s = medians(25, *(frames_of(memmap) for _machine, memmap in models))
    ratio = full_s / empty_s
    return Row(
        name="window",
        what="alloc_frame of the model, 3 GiB window nearly full",
        measured=f"{full_s * 1e6:.1f} us",
        peer=f"empty window {empty_s * 1e6:.1f} us",
        ratio=ratio,
        target=at_most(ratio, 3, "ratio <= 3"),
    )
