"""Models on structures that something has written over, in lockstep with the C code: both do the same, or the model refuses.

What is allowed: the call comes back and both agree, or `ModelStopped` says which word the model does not go on with. What is
not: a difference, any other exception, or native code that dies where the model has returned.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator import Mode, attach_layers, boot
from emulator.errors import ModelStopped
from tests.helpers.guest import symbol

if TYPE_CHECKING:
    from emulator.machine.core.snapshots import Snapshot
    from emulator.machine.machine import Machine

KERNEL = 0x80000000
PACKET, OUT = 0x60000, 0x60100  # physical, free for arguments
TASK = 80  # bytes of a tcb
SPACE = 196

NUMBERS = (
    *(0, 1, 2, 3, 7, 8, 16, 33, 100, 101, 512, 4096, 40960, 65536),
    *(0x7FFFFFF8, 0x7FFFFFFD, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFF8, 0xFFFFFFFF),
    *(0x46524545, 0x4D504C01, 0x4D504602, 0x4D504CFF),  # tags
)
DELTAS = (1, -1, 2, 4, -4, 8, -8, 16, 4096, -4096)


@dataclass(frozen=True)
class Scene:
    """A kernel in the middle of its life.

    Attributes:
        start: To come back to.
        words: Physical addresses of what is written over.
        pointers: Values that point somewhere.
        calls: Functions, and for each argument what kind it is: a letter, a key of `kinds`.
        kinds: Values of arguments.
    """

    machine: Machine
    start: Snapshot
    words: tuple[int, ...]
    pointers: tuple[int, ...]
    calls: tuple[tuple[str, str], ...]
    kinds: dict[str, tuple[int, ...]]


def litecore(structure: str) -> Scene:
    machine = boot("firmware:demo")
    machine.run(timeout_s=20)
    machine.call("memory_init")
    blocks = tuple(machine.call("kmalloc", size) for size in (8, 100, 24, 500, 8))
    for block in blocks[1::2]:
        machine.call("kfree", block)
    machine.call("alloc_frames", 5)
    attach_layers(machine, {"memmap": Mode.LOCKSTEP, "heap": Mode.LOCKSTEP})
    memmap, bitmap = (
        symbol(machine, "memmap"),
        machine.memory.load_u32(symbol(machine, "memmap") + 16),
    )
    heap = machine.memory.load_u32(symbol(machine, "heap_start"))
    globals_ = [symbol(machine, name) for name in ("heap_start", "heap_end", "heap_free_list")]
    words, calls = {
        "memmap": (
            [memmap + 4 * i for i in range(5)] * 4 + [bitmap + 4 * i for i in range(32)],
            (
                "alloc_frame: alloc_frames:n free_frame:f free_frames:fn memmap_reserve:aa memmap_free_count: "
                "memmap_init:aa mem_has_space:tn"
            ),
        ),
        "heap": (
            globals_ * 8 + [heap + 4 * i for i in range(180)],
            "kmalloc:n kfree:p mem_has_space:tn mem_init:aa",
        ),
    }[structure]
    pointers = (*blocks, *(each - 8 for each in blocks), heap, bitmap, memmap, 0xA0000, 0xC0000, 0x500000)
    kinds = {
        "f": (*range(0xF0, 0x510, 7), *NUMBERS),
        "a": (*range(0x100000, 0x500000, 0x4321), *NUMBERS),
        "t": (0, 1, 2),
    }
    return scene(machine, words, pointers, calls, kinds)


def btron(structure: str) -> Scene:
    machine = boot("firmware:btron_demo")
    machine.run(timeout_s=20)
    memory = machine.memory
    at = {
        name: each.address - KERNEL for name, each in machine.image.symbols.items() if each.address >= KERNEL
    }
    mpl, mpf, tcb = at["mpl_table"] + 32, at["mpf_table"] + 2 * 40, at["tcb_table"]
    memory.store_words(PACKET, (7, 1, 200))
    assert machine.call("mpl_create", 1, KERNEL + PACKET) == 0
    memory.store_words(PACKET, (7, 1, 5, 20))
    assert machine.call("mpf_create", 2, KERNEL + PACKET) == 0
    blocks: list[int] = []
    for _ in range(3):
        machine.call("mpl_get", KERNEL + OUT, 1, 20, 0)
        machine.call("mpf_get", KERNEL + OUT + 4, 2, 0)
        blocks += memory.load_words(OUT, 2)
    machine.call("mpl_release", 1, blocks[2])
    machine.call("mpf_release", 2, blocks[3])
    areas = [machine.call("kmem_alloc", size) for size in (8, 100, 24, 48)]
    machine.call("kmem_free", areas[1], 100)
    pages = [machine.call("pmem_alloc", size) for size in (4096, 8192, 4096)]
    machine.call("pmem_free", pages[1], 8192)
    waiting(memory, tcb, 5, mpl + 24, kind=2, pool=1)
    waiting(memory, tcb, 8, mpf + 28, kind=3, pool=2)
    memory.store_words(tcb + 7 * TASK, (0, 7, 2, 5))
    for name in ("ready_head", "ready_tail"):
        memory.store_u32(at[name] + 20, 7)
    memory.store_u32(at["current_task"], 7)
    memory.store_u32(at["sys_dispatch_disabled"], 0)
    attach_layers(machine, dict.fromkeys(("pmem", "kmem", "pools"), Mode.LOCKSTEP))
    table = memory.load_u32(at["pmem_table"]) - KERNEL

    def around(addresses: list[int]) -> list[int]:
        return [each - KERNEL + offset for each in addresses for offset in range(-8, 16, 4)]

    queues = [at[name] + 4 * i for name in ("ready_head", "ready_tail") for i in range(8)]
    words, calls = {
        # Not `pmem_table`: a table over the kernel's own code and tables is written there by both, but only one runs there.
        "pmem": (
            [at["pmem_pages"], at["boot_range_count"], at["boot_reserved_count"]] * 3
            + [at[name] + 4 * i for name in ("boot_ranges", "boot_reserved") for i in range(8)]
            + [table + 8 * ((each - KERNEL) >> 12) + offset for each in pages for offset in (0, 4, 8, 12)],
            "pmem_init: pmem_alloc:n pmem_free:pn pmem_share:pn pmem_free_pages:",
        ),
        "kmem": (
            [at["kmem_free_list"], at["kmem_extent_count"]] * 4
            + [at["kmem_extents"] + 4 * i for i in range(6)] * 2
            + around(areas),
            "kmem_init: kmem_alloc:n kmem_free:pn",
        ),
        "mpl": (
            [mpl + 4 * i for i in range(8)] * 4 + around(blocks[::2]),
            "mpl_create:lk mpl_delete:l mpl_get:olnt mpl_release:lp mpl_refer:ol wait_cancel:we",
        ),
        "mpf": (
            [mpf + 4 * i for i in range(10)] * 4 + around(blocks[1::2]),
            "mpf_create:mk mpf_delete:m mpf_get:omt mpf_release:mp mpf_refer:om wait_cancel:we",
        ),
        "tasks": (
            [tcb + TASK * n + 4 * i for n in range(5, 10) for i in range(14)]
            + queues
            + [at[name] for name in ("current_task", "sys_dispatch_disabled", "need_dispatch")],
            "mpl_delete:l mpl_get:olnt mpl_release:lp mpf_delete:m mpf_get:omt mpf_release:mp wait_cancel:we",
        ),
    }[structure]
    bodies = (*blocks, *areas, *pages, *(each - 8 for each in blocks))
    tables = tuple(KERNEL + each for each in (mpl, mpf, tcb, table, OUT, 0xA0000, 0xC0000, 0x500000))
    kinds = {
        "l": (1, 1, 1, 4, 0, 101, 0xFFFFFFFC),
        "m": (2, 2, 2, 3, 0, 101),
        "k": (KERNEL + PACKET,),
        "o": (KERNEL + OUT, KERNEL + OUT + 2, 0),
        "t": (0, 0xFFFFFFFF, 10, 0x7FFFFFFF, 0xFFFFFFFE),
        "w": (5, 6, 7, 8, 9, 0, 33),
        "e": (0xFFFFFFAB,),
    }
    return scene(machine, words, (*bodies, *tables), calls, kinds)


def spaces() -> Scene:
    """Return two tasks with spaces, pages in them, and one region that both have."""
    machine = boot("firmware:btron_demo")
    machine.run(timeout_s=20)
    space_table, tcb = symbol(machine, "space_table") - KERNEL, symbol(machine, "tcb_table") - KERNEL
    user, data, stack = 0x003FE000, 0x10003, 0x30003
    for task in (8, 9):
        machine.memory.store_u32(tcb + TASK * task + 8, 1)
        assert machine.call("space_create", task) == 0
        for start, permission in ((user + 0x1000 * 8 * (task - 8), data), (0x7FFF8000, stack)):
            assert machine.call("vcre_reg", task, start, 1, 0x8000, permission, 0) == 0
            assert machine.call("vmap_reg", task, start, 0x3000, 3) == 0
    assert machine.call("vshr_reg", 8, 9, user) == 0
    attach_layers(machine, {"regions": Mode.LOCKSTEP})
    at = [space_table + SPACE * task for task in (8, 9)]
    directories = [machine.memory.load_u32(each) for each in at]
    named = [(directory, slot) for directory in directories for slot in (0, 1, 511)]
    tables = [machine.memory.load_u32(directory + 4 * slot) & -4096 for directory, slot in named]
    words = [each + 4 * i for each in at for i in range(25)] * 2
    words += [directory + 4 * slot for directory, slot in named] * 4
    words += [table + 4 * i for table in tables for i in (0, 1, 2, 3, 1016, 1022, 1023)]
    pages = (*directories, *tables, *(machine.memory.load_u32(table) & -4096 for table in tables))
    entries = tuple(
        page | 7 for page in (*pages, 0, 0xA0000, 0xF0000, 0x100000, 0x500000, 0x7FFFF000, 0xFFFFF000)
    )
    kinds = {
        "s": (8, 8, 8, 9, 9, 0, 7, 33),
        "u": (user, user + 0x2000, user + 0x1FFF, 0x7FFF8000, 0x7FFFF000, user + 0x8000, 0, KERNEL),
        "z": (1, 0x1000, 0x2000, 0x3001, 0x8000, 0),
        "v": (1, 3, 5, 0x10003, 0x30003, 0),
        "h": (0,),
        "o": (KERNEL + OUT, KERNEL + PACKET, 0),
    }
    calls = (
        "space_create:s space_clear:s space_delete:s space_directory:s space_check:suzv space_entry:su region_grow:su "
        "vcre_reg:suzzvh vdel_reg:su vmap_reg:suzv vunm_reg:suz vshr_reg:ssu vprt_reg:suv vget_reg:suzo vput_reg:suzo "
        "vsts_reg:suo"
    )
    return scene(machine, words, (*pages, *entries), calls, kinds)


def waiting(memory: object, tcb: int, first: int, head: int, *, kind: int, pool: int) -> None:
    """Let the tasks *first* and the one after it wait for a pool."""
    for number, following, before, priority, size in (
        (first, first + 1, 0, 3, 40),
        (first + 1, 0, first, 4, 16),
    ):
        words = (0, number, 4, priority, following, before, kind, pool, size, KERNEL + OUT + 8 * number)
        memory.store_words(tcb + TASK * number, words)  # type: ignore[attr-defined]
    memory.store_u32(head, first)  # type: ignore[attr-defined]


def scene(
    machine: Machine,
    words: list[int],
    pointers: tuple[int, ...],
    calls: str,
    kinds: dict[str, tuple[int, ...]],
) -> Scene:
    functions = tuple((name, letters) for name, _, letters in (each.partition(":") for each in calls.split()))
    kinds = {"n": (*range(0, 600, 7), *NUMBERS), "p": pointers, **kinds}
    return Scene(machine, machine.snapshot(), tuple(words), pointers, functions, kinds)


@cache
def scene_of(structure: str) -> Scene:
    if structure == "spaces":
        return spaces()
    return litecore(structure) if structure in ("memmap", "heap") else btron(structure)


def values(old: int, pointers: tuple[int, ...]) -> st.SearchStrategy[int]:
    """What a word may hold by mistake where it held *old*."""
    return st.one_of(
        st.sampled_from(NUMBERS),
        st.sampled_from(pointers),
        st.sampled_from(DELTAS).map(lambda delta: old + delta & 0xFFFFFFFF),
        st.integers(0, 31).map(lambda bit: old ^ 1 << bit),
        st.integers(0, 0xFFFFFFFF),
    )


@pytest.mark.parametrize("structure", ["memmap", "heap", "pmem", "kmem", "mpl", "mpf", "tasks", "spaces"])
@settings(max_examples=250, deadline=None)
@given(data=st.data())
def test_a_damaged_structure_makes_no_difference(structure: str, data: st.DataObject) -> None:
    scene = scene_of(structure)
    machine, memory = scene.machine, scene.machine.memory
    scene.start.reset()
    for _ in range(data.draw(st.integers(1, 3), "words written over")):
        address = data.draw(st.sampled_from(scene.words), "address")
        old = memory.load_u32(address)
        value = data.draw(values(old, scene.pointers), "value")
        memory.store_u32(address, value)
    for _ in range(data.draw(st.integers(1, 2), "calls")):
        name, letters = data.draw(st.sampled_from(scene.calls), "function")
        arguments = [data.draw(st.sampled_from(scene.kinds[letter]), "argument") for letter in letters]
        try:
            machine.call(name, *arguments, max_instructions=100_000_000)
        except ModelStopped:
            return  # says why; what is there cannot be worked with
