"""What the conformance suite of BTRON/386 runs on, and how its tests talk to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from kernel_model.btron.abi import Btron
from kernel_model.btron.symbols import LAYER_SYMBOLS
from kernel_model.btron.tcb import TaskState
from kernel_model.memory import ByteMemory
from kernel_model.structs import (
    BOOT_RANGE,
    KMEM_EXTENT,
    PMEM_ENTRY,
    POOL_MPF,
    POOL_MPL,
    REGION,
    SPACE_BYTES,
    SPACE_REGIONS,
    TCB,
    WORD,
)
from tests.helpers.strict_call import strict_call

if TYPE_CHECKING:
    from collections.abc import Mapping

    from emulator.machine.machine import Machine
    from kernel_model.memory import Memory

SIZES: Final[Mapping[str, int]] = dict.fromkeys(LAYER_SYMBOLS["pools"], 4) | {
    "boot_ranges": 16 * BOOT_RANGE.size,
    "boot_reserved": 16 * BOOT_RANGE.size,
    "kmem_extents": 64 * KMEM_EXTENT.size,
    "mpl_table": 101 * POOL_MPL.size,
    "mpf_table": 101 * POOL_MPF.size,
    "tcb_table": 33 * TCB.size,
    "space_table": 33 * SPACE_BYTES,
    "ready_head": 4 * 32,
    "ready_tail": 4 * 32,
}
"""Bytes of each global."""

KERNEL: Final = 0x8000_0000
PAGE: Final = 4096

WINDOW: Final = 0x0030_0000
"""RAM that the tests let the kernel manage begins here: above image and page table, below `RAM_END`."""

RAM_END: Final = 0x0050_0000
PIC_MASK: Final = 0x21
SCRATCH: Final = 0x8005_0000
"""A page in conventional memory, for packets and results."""


class Subject(Protocol):
    """A kernel whose functions can be called. RAM ends at 0x00500000; the page table is in its place."""

    @property
    def memory(self) -> Memory:
        """Its physical memory."""

    @property
    def symbols(self) -> Mapping[str, int]:
        """Addresses of the C names, as they are linked."""

    def call(self, name: str, *arguments: int) -> int:
        """Call a C function with 32-bit arguments and return EAX, unsigned."""


class ModelSubject:
    """The models on plain bytes, laid out as the linker and the boot code do."""

    FIRST_GLOBAL: Final = 0x8011_0000
    TABLE: Final = 0x8012_0000
    PAGE_DIRECTORY: Final = 0x8013_0000

    def __init__(self) -> None:
        self.symbols: Mapping[str, int] = {}
        address = self.FIRST_GLOBAL
        for name, size in SIZES.items():
            self.symbols |= {name: address}
            address += size
        self.symbols |= {"page_directory": self.PAGE_DIRECTORY}
        self.memory: Memory = ByteMemory(0, RAM_END)
        self.btron = Btron(self.memory, self.symbols, lambda _text: None)
        self.memory.store_u32(self.symbols["pmem_table"] - KERNEL, self.TABLE)
        self.memory.store_u32(self.symbols["pmem_pages"] - KERNEL, RAM_END // PAGE)
        for index in range(512, 1024):
            self.memory.store_u32(self.PAGE_DIRECTORY - KERNEL + 4 * index, (index - 512) << 22 | 0x83)

    def call(self, name: str, *arguments: int) -> int:
        return self.btron.functions[name].call(*arguments)


class FirmwareSubject:
    """The C code, called in the emulator on a kernel that has run to its end, with interrupts on and all of them masked."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._machine.interrupts.pic.write_port(PIC_MASK, 1, 0xFF)
        self.memory: Memory = machine.memory
        self.symbols: Mapping[str, int] = {
            name: symbol.address for name, symbol in machine.image.symbols.items()
        }

    def call(self, name: str, *arguments: int) -> int:
        return strict_call(self._machine, name, *arguments)


class Guest:
    """A subject, with what tests need to prepare it and to inspect it. Addresses are kernel addresses.

    The window of RAM is filled with junk, so that nobody counts on cleared memory.
    """

    def __init__(self, subject: Subject) -> None:
        self.memory = subject.memory
        self.symbols = {name: address & 0x7FFFFFFF for name, address in subject.symbols.items()}
        self._call = subject.call
        for name in SIZES:
            if name not in {"pmem_table", "pmem_pages"}:
                self.memory.write(self.symbols[name], bytes(SIZES[name]))
        self.memory.write(WINDOW, b"\xee" * (RAM_END - WINDOW))
        self.memory.write(SCRATCH - KERNEL, b"\xee" * PAGE)

    def call(self, name: str, *arguments: int) -> int:
        """Call a function that answers a pointer or a count."""
        return self._call(name, *(argument & 0xFFFFFFFF for argument in arguments))

    def er(self, name: str, *arguments: int) -> int:
        """Call a function that answers an ``ER``."""
        word = self.call(name, *arguments)
        return word - (word >> 31 << 32)

    def boot(self, pages: int = 64) -> None:
        """Let the kernel manage *pages* pages from `WINDOW` on, and bring up pages and bytes."""
        self.boot_map([(WINDOW, WINDOW + PAGE * pages)], [(0, 0x0010_0000)])
        assert self.er("pmem_init") == 0
        assert self.er("kmem_init") == 0

    def take_all_but(self, pages: int) -> None:
        """Leave so many pages free, the lowest ones."""
        free = self.call("pmem_free_pages")
        kept = [self.call("pmem_alloc", 1) for _ in range(pages)]
        for _ in range(free - pages):
            assert self.call("pmem_alloc", 1)
        for page in kept:
            assert self.er("pmem_free", page, PAGE) == 0

    def boot_map(self, ranges: list[tuple[int, int]], reserved: list[tuple[int, int]]) -> None:
        """Put down what a boot loader would."""
        for name, count, spans in (
            ("boot_ranges", "boot_range_count", ranges),
            ("boot_reserved", "boot_reserved_count", reserved),
        ):
            for index, span in enumerate(spans):
                self.memory.store_words(self.symbols[name] + 8 * index, span)
            self.set(count, len(spans))

    def get(self, name: str, index: int = 0) -> int:
        """Return a word of a global."""
        return self.memory.load_u32(self.symbols[name] + 4 * index)

    def set(self, name: str, value: int, index: int = 0) -> None:
        """Write a word of a global."""
        self.memory.store_u32(self.symbols[name] + 4 * index, value)

    def words(self, address: int, count: int) -> tuple[int, ...]:
        """Return words at a kernel address."""
        return self.memory.load_words(address & 0x7FFFFFFF, count)

    def words_of_page(self, physical: int) -> list[int]:
        """Return the words of the page at a physical address."""
        return self.memory.view(physical, PAGE).cast("I").tolist()

    def poke(self, address: int, *values: int) -> None:
        """Write words at a kernel address."""
        self.memory.store_words(address & 0x7FFFFFFF, [value & 0xFFFFFFFF for value in values])

    def page(self, number: int) -> tuple[int, ...]:
        """Return flag and refcount of a physical page."""
        return self.words(self.get("pmem_table") + PMEM_ENTRY.size * number, 2)

    def pages(self) -> bytes:
        """Return the whole page table."""
        size = PMEM_ENTRY.size * self.get("pmem_pages")
        return self.memory.read(self.get("pmem_table") & 0x7FFFFFFF, size)

    def state(self) -> list[bytes]:
        """Return every byte that the kernel may change."""
        names = [self.memory.read(self.symbols[name], size) for name, size in SIZES.items()]
        window = self.memory.read(WINDOW, RAM_END - WINDOW)
        return [*names, self.pages(), window, self.memory.read(SCRATCH - KERNEL, PAGE)]

    def packet(self, *values: int) -> int:
        """Put down a packet and return its address."""
        self.poke(SCRATCH, *values)
        return SCRATCH

    def free_list(self) -> list[tuple[int, int]]:
        """Return start and size of the byte layer's free areas."""
        areas = []
        entry = self.get("kmem_free_list")
        while entry:
            following, size = self.words(entry, 2)
            areas.append((entry, size))
            entry = following
        return areas

    def extents(self) -> list[tuple[int, ...]]:
        """Return start and size of what the byte layer owns."""
        start = self.symbols["kmem_extents"]
        return [self.words(start + 8 * index, 2) for index in range(self.get("kmem_extent_count"))]

    # Tasks.

    def add_task(self, number: int, priority: int = 10) -> None:
        """Make a task that is ready, at the end of its ready queue."""
        last = self.get("ready_tail", priority)
        self.set_tcb(number, "tskid", number)
        self.set_tcb(number, "state", TaskState.READY)
        self.set_tcb(number, "priority", priority)
        self.set_tcb(number, "prev", last)
        if last:
            self.set_tcb(last, "next", number)
        else:
            self.set("ready_head", number, priority)
        self.set("ready_tail", number, priority)

    def run(self, number: int) -> None:
        """Dispatch to a task, as the native code would."""
        self.set("current_task", number)
        self.set("need_dispatch", 0)

    def tcb(self, number: int, field: str) -> int:
        """Return a word of a task control block."""
        return self.memory.load_u32(self.symbols["tcb_table"] + TCB.size * number + TCB.offset(field))

    def set_tcb(self, number: int, field: str, value: int) -> None:
        """Write a word of a task control block."""
        self.memory.store_u32(self.symbols["tcb_table"] + TCB.size * number + TCB.offset(field), value)

    def wercd(self, number: int) -> int:
        """Return the code that ended a task's wait."""
        word = self.tcb(number, "wercd")
        return word - (word >> 31 << 32)

    def queue(self, head: int) -> list[int]:
        """Return the ids of the tasks in a queue, whose links must be right in both directions."""
        tasks: list[int] = []
        number = head
        while number:
            assert self.tcb(number, "prev") == (tasks[-1] if tasks else 0)
            assert number not in tasks
            tasks.append(number)
            number = self.tcb(number, "next")
        return tasks

    def ready(self, priority: int) -> list[int]:
        """Return the ids of the ready tasks of a priority."""
        tasks = self.queue(self.get("ready_head", priority))
        assert self.get("ready_tail", priority) == (tasks[-1] if tasks else 0)
        return tasks

    # Spaces.

    def space(self, number: int) -> dict[str, int]:
        """Return the address space of a task: ``directory``, and for each region in use its members, as ``start0``."""
        space = self.symbols["space_table"] + SPACE_BYTES * number
        members = {"directory": self.memory.load_u32(space)}
        for slot in range(SPACE_REGIONS):
            words = self.memory.load_words(space + WORD + REGION.size * slot, len(REGION.fields))
            region = dict(zip(REGION.fields, words, strict=True))
            if region["max_size"]:
                members |= {f"{field}{slot}": value for field, value in region.items()}
        return members

    def entry_of(self, number: int, address: int) -> int:
        """Return the kernel address of the entry that maps an address of a task's user space."""
        table = self.memory.load_u32(self.space(number)["directory"] + 4 * (address >> 22)) & -PAGE
        return KERNEL + table + 4 * (address >> 12 & 0x3FF)

    # Pools.

    def pool(self, table: str, number: int) -> dict[str, int]:
        """Return the members of ``mpl_table[number]`` or ``mpf_table[number]``."""
        layout = POOL_MPL if table == "mpl_table" else POOL_MPF
        words = self.words(self.symbols[table] + layout.size * number, len(layout.fields))
        return dict(zip(layout.fields, words, strict=True))

    def waiters(self, table: str, number: int) -> list[int]:
        """Return the ids of the tasks that wait for a pool."""
        return self.queue(self.pool(table, number)["first_waiter"])

    def out(self, slot: int = 0) -> int:
        """Return the address of a word for a block's address."""
        return SCRATCH + 0x100 + 4 * slot

    def block(self, slot: int = 0) -> int:
        """Return what was written to `out`."""
        return self.words(self.out(slot), 1)[0]
