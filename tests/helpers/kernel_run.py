"""A made-up run that looks like a kernel's: it boots, serves requests from a heap and frames, and forgets some blocks."""

from __future__ import annotations

import random
from bisect import insort
from typing import TYPE_CHECKING

from emulator.guest.symbolizer import Frame
from tests.helpers.traces import TraceBuilder

if TYPE_CHECKING:
    from pathlib import Path

HEAP_START, HEAP_SIZE, HEADER = 0x0014_0000, 0x0003_0000, 16
FIRST_FRAME, FRAMES = 0x180, 640


def _frame(address: int, function: str, file: str, line: int) -> Frame:
    return Frame(address, function, address & 0xFF, f"kernel/{file}", line)


MAIN = _frame(0x100142, "kmain", "main.c", 88)
START = Frame(0x100020, "start", 0x20)
SCHEDULE = _frame(0x101210, "schedule", "sched.c", 140)
SYSCALL = _frame(0x10164C, "syscall_dispatch", "syscall.c", 61)
OPEN = _frame(0x102A31, "vfs_open", "vfs.c", 204)
CALLERS = {
    "task": (_frame(0x1020F4, "task_create", "task.c", 47), SCHEDULE, MAIN, START),
    "inode": (_frame(0x102C18, "inode_get", "inode.c", 93), OPEN, SYSCALL, SCHEDULE, START),
    "dentry": (_frame(0x102D77, "dentry_lookup", "dcache.c", 51), OPEN, SYSCALL, SCHEDULE, START),
    "buffer": (_frame(0x103105, "buffer_read", "buffer.c", 118), _frame(0x102B90, "vfs_read", "vfs.c", 251), SYSCALL, SCHEDULE, START),
    "packet": (_frame(0x1042E0, "packet_alloc", "net/packet.c", 33), _frame(0x104511, "net_receive", "net/ip.c", 190), _frame(0x101802, "irq_handler", "irq.c", 72)),
    "timer": (_frame(0x101930, "timer_add", "timer.c", 58), _frame(0x101A08, "sleep_ms", "timer.c", 99), SYSCALL, SCHEDULE, START),
    "log": (_frame(0x10521B, "log_append", "log.c", 27), _frame(0x105302, "klog", "log.c", 44), SYSCALL, SCHEDULE, START),
    "table": (_frame(0x1061D3, "page_table_get", "paging.c", 112), _frame(0x1062C0, "map_page", "paging.c", 150), _frame(0x102188, "task_map_stack", "task.c", 81), SCHEDULE, MAIN, START),
    "boot": (_frame(0x100311, "device_register", "device.c", 39), MAIN, START),
}  # fmt: skip
SIZES = {
    "task": (512, 768), "inode": (128, 192), "dentry": (48, 96), "buffer": (512, 4096), "packet": (64, 1500),
    "timer": (32, 48), "log": (24, 200), "boot": (64, 1024),
}  # fmt: skip
FORGOTTEN = {"boot": 1, "dentry": 0.02, "log": 0.01}
LIVES = {
    "boot": 1,
    "task": 900,
    "inode": 500,
    "dentry": 700,
    "buffer": 220,
    "packet": 25,
    "timer": 60,
    "log": 1500,
}


class _Heap:
    """First fit over gaps in address order."""

    def __init__(self, start: int, size: int, unit: int, header: int) -> None:
        self.gaps = [(start, size)]
        self.unit, self.header = unit, header

    def take(self, size: int) -> int:
        room = -(-(size + self.header) // self.unit) * self.unit
        for index, (start, length) in enumerate(self.gaps):
            if length >= room:
                self.gaps[index : index + 1] = [(start + room, length - room)] if length > room else []
                return start + self.header
        return 0

    def give(self, address: int, size: int) -> None:
        room = -(-(size + self.header) // self.unit) * self.unit
        insort(self.gaps, (address - self.header, room))
        merged: list[tuple[int, int]] = []
        for start, length in self.gaps:
            if merged and sum(merged[-1]) == start:
                merged[-1] = (merged[-1][0], merged[-1][1] + length)
            else:
                merged.append((start, length))
        self.gaps = merged


class _Run:
    """The kernel while it runs."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.builder = TraceBuilder()
        self.heap = _Heap(HEAP_START, HEAP_SIZE, 16, HEADER)
        self.frames = _Heap(FIRST_FRAME, FRAMES, 1, 0)
        self.due: list[tuple[int, str, int, int]] = []  # step, what, address or frame, size

    def allocate(self, what: str, step: int) -> None:
        size = self.rng.randint(*SIZES[what])
        address = self.heap.take(size)
        self.builder.call("kmalloc", size, result=address, stack=CALLERS[what])
        if address and self.rng.random() >= FORGOTTEN.get(what, 0):
            insort(self.due, (step + 1 + int(self.rng.expovariate(1 / LIVES[what])), what, address, size))

    def allocate_frames(self, step: int) -> None:
        count = self.rng.choice([1, 1, 1, 2, 4, 8])
        frame = self.frames.take(count)
        self.builder.call("alloc_frames", count, result=frame or 0xFFFF_FFFF, stack=CALLERS["table"])
        if frame:
            insort(self.due, (step + 1 + int(self.rng.expovariate(1 / 800)), "table", frame, count))

    def give_back(self, step: int) -> None:
        while self.due and self.due[0][0] <= step:
            _, what, address, size = self.due.pop(0)
            stack = CALLERS[what][1:]
            if what == "table":
                self.frames.give(address, size)
                self.builder.call("free_frames", address, size, stack=stack)
            else:
                self.heap.give(address, size)
                self.builder.call("kfree", address, stack=stack)

    def work(self, step: int, *, busy: bool) -> None:
        count = int(self.rng.random() * (4.4 if busy else 2.2))
        for what in self.rng.choices(
            ("inode", "dentry", "buffer", "packet", "packet", "timer", "log"), k=count
        ):
            self.allocate(what, step)
        if self.rng.random() < 0.02:
            self.allocate("task", step)
        if self.rng.random() < 0.15:
            self.allocate_frames(step)


def kernel_run(path: Path, *, steps: int = 4000, seed: int = 7, complete: bool = True) -> Path:
    """Write the trace of a run of so many requests; in its second half it is busy for a while."""
    run = _Run(seed)
    for _ in range(24):
        run.allocate("boot", 0)
    for step in range(steps):
        run.give_back(step)
        run.work(step, busy=0.55 < step / steps < 0.7)
        if step == steps // 2:
            run.builder.call("kfree", HEAP_START + 8, stack=CALLERS["log"][1:])  # no block of kmalloc
    return run.builder.write(path, complete=complete)
