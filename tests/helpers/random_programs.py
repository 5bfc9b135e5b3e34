"""Random programs of calls to the allocators in `tests/property/kernels`, correct ones and ones with one planted mistake.

A program is made of choices, each a few numbers: whatever these are, the program is correct, so that a search for the smallest failing one
can leave out any. A model follows what lives; the kernel logs each call and where blocks are. What is recorded has to be that, and a check has to
find the mistake, where it was made.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from struct import Struct, pack
from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.check.checked_run import Check
from emulator.loader.image import KernelImage
from emulator.machine.machine import Machine
from emulator.profile.functions import Result
from emulator.profile.known import match
from emulator.profile.reader import read_profile
from emulator.run.ending import Budget
from emulator.trace.blocks.blocks import NEVER
from tests.helpers.c_kernel import compile_kernel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from emulator.check.check_report import CheckReport
    from emulator.check.findings import CallSite, Finding
    from emulator.profile.model import Profile
    from emulator.trace.trace import Trace

KERNELS: Final = Path(__file__).parents[1] / "property" / "kernels"
SLOTS: Final = 32
MOST_OPERATIONS: Final = 400
_ROOM: Final = 360  # operations of the choices; the rest is for a mistake
_PAGE: Final = 4096
_ANY_SIZE: Final = 0xFFFF_FFFF
_FAR: Final = 0x40_0000  # from a block: no allocator has memory there

END, TAKE, RETAKE, GIVE, SHARE, RESET, KEEP, FETCH, DROP, BREAK, GIVE_AGAIN, COPY = range(12)
TAKE_WRONGLY, RETAKE_WRONGLY, GIVE_WRONGLY = range(12, 15)
IN_PACKED, ON_STACK, IN_BLOCK, IN_SLOT = range(4)
PLACES: Final = (IN_PACKED, ON_STACK, IN_BLOCK, IN_SLOT)

BUILDS: Final = (
    ("gcc", "-O0", "-g"),
    ("gcc", "-O1", "-g"),
    ("gcc", "-O2", "-g"),
    ("gcc", "-Os", "-fomit-frame-pointer"),
    ("clang", "-O0", "-g"),
    ("clang", "-O1", "-g"),
    ("clang", "-O2", "-g"),
)
"""Compilers with options that kernels are built with."""

Choice = tuple[int, int, int, int]
"""What to do, with which slot, and two numbers that mean whatever that needs."""


class Taking(NamedTuple):
    """A call that takes a block.

    Attributes:
        how: Which function takes it, or from which pool.
        a: Its argument.
        size: Bytes of the block; None: there is none, because the call must fail or asks for no bytes.
        area: Of the profile.
        by_address: The program keeps the block's address, and not another word by which the allocator knows it.
    """

    how: int
    a: int
    size: int | None
    area: str
    by_address: bool = True


@dataclass
class Block:
    """A live block, or a part of one.

    Attributes:
        slot: In which it is, or from which it was moved.
        born: Number of the operation that took it.
        size: In bytes.
        offset: From the start of what was taken.
        place: Where its pointer is.
        delta: What is added to the pointer there.
        parent: The slot of the block that holds the pointer.
    """

    slot: int
    taking: Taking
    born: int
    size: int
    offset: int = 0
    owners: int = 1
    place: int = IN_SLOT
    delta: int = 0
    parent: int | None = None


class Life(NamedTuple):
    """A block that lived, or a page of one where blocks are runs of pages.

    Attributes:
        area: Of the profile.
        address: Of its first byte.
        size: In bytes.
        born: Number of the operation that took it.
        died: Number of the one that gave it back; None: it lives.
    """

    area: str
    address: int
    size: int
    born: int
    died: int | None


@dataclass(frozen=True)
class Kind:
    """A kind of allocator.

    Attributes:
        name: Of its files.
        area: In which mistakes are made.
        take: Makes a call out of two numbers.
        give: The last argument of the call that gives a block back, for another number; None: there is no such call.
        mistakes: Which can be planted.
        can: What else it does: "resize", and "empty" (resizing to nothing gives back), "share", "parts" (giving back parts of a run), "null"
            (`reset` gives back null pointers), "pools" (`reset` forgets the blocks of a pool).
        pools: How many there are.
        room: How many blocks one pool, or the allocator, has for certain.
        has_ends: A block is known by its end: no other begins there.
        header: A block is known by the address of its header, so many bytes before it.
        places: Where pointers may be kept.
        needs_debug: Its profile names types.
    """

    name: str
    area: str
    take: Callable[[int, int], Taking]
    give: Callable[[Taking, int], int] | None
    mistakes: tuple[str, ...]
    can: frozenset[str] = frozenset()
    pools: int = 1
    room: int = SLOTS
    has_ends: bool = False
    header: int = 0
    places: tuple[int, ...] = PLACES
    needs_debug: bool = False

    @property
    def has_pages(self) -> bool:
        """Whether mistakes are made with runs of pages."""
        return self.area in ("pages", "frames")

    @property
    def builds(self) -> tuple[tuple[str, ...], ...]:
        """The `BUILDS` in which its profile can be used."""
        return tuple(build for build in BUILDS if "-g" in build or not self.needs_debug)


def _first_fit(x: int, y: int) -> Taking:
    how = x % 6
    if how == 1:
        count, size = x // 6 % 13, y % 70
        return Taking(1, count | size << 8, count * size, "heap")
    if x % 19 == 0:
        return Taking(how, 0x100000, None, "heap")
    return Taking(how, y % 600, y % 600, "heap")


def _classes(x: int, y: int) -> Taking:
    if x % 11 == 0:
        return Taking(0, (0, 0x20000)[y % 2], None, "heap")
    return Taking(0, 1 + y % 3000, 1 + y % 3000, "heap")


def _buddies(x: int, y: int) -> Taking:
    if x % 17 == 0:
        return Taking(0, 5 + y % 40, None, "pages")
    return Taking(0, y % 4, _PAGE << y % 4, "pages")


def _frames(x: int, y: int) -> Taking:
    if x % 17 == 0:
        return Taking(0, 300 + y % 5000, None, "frames", by_address=False)
    return Taking(0, 1 + y % 4, _PAGE * (1 + y % 4), "frames", by_address=False)


def _pools(x: int, y: int) -> Taking:
    pool, largest = x % 3, (10, 30, 98)[x % 3]
    size = 1 + y % (largest + 2)
    return Taking(pool, size, size if size <= largest else None, "pools")


def _slabs(x: int, y: int) -> Taking:
    if x % 5 == 4:
        return Taking(4, 0, _PAGE, "pages")
    size = 1 + y % (14, 22, 62, 498)[x % 5]
    return Taking(x % 5, size, size, "objects")


def _seeded(x: int, _y: int) -> Taking:
    return Taking(0, 1 + x % 9, _PAGE, "pages")


def _deferred(_x: int, y: int) -> Taking:
    return Taking(0, 4 + y % 500, 4 + y % 500, "heap")


def _page_structs(x: int, y: int) -> Taking:
    order = 30 if x % 17 == 0 else y % 4
    return Taking(x % 2, order, None if order == 30 else _PAGE << order, "pages", by_address=x % 2 == 1)


def _runs(x: int, y: int) -> Taking:
    pages = 600 if x % 17 == 0 else 1 + y % 9
    return Taking(0, pages, None if pages == 600 else _PAGE * pages, "pages")


def _caches(x: int, y: int) -> Taking:
    return Taking(x % 3, y, (20, 64, 1200)[x % 3], "objects")


def _entries(_x: int, _y: int) -> Taking:
    return Taking(0, 0, _PAGE, "frames", by_address=False)


def _wrappers(x: int, y: int) -> Taking:
    size = 4 + y % (600 if x % 4 == 0 else 120)
    return Taking(x % 7, size, size, "heap")


def _headers(x: int, y: int) -> Taking:
    count, size = 1 + x % 13, 1 + y % 40
    if x % 2:
        return Taking(1, count | size << 8, count * size, "heap")
    return Taking(0, 1 + y % 500, 1 + y % 500, "heap")


def _arenas(x: int, y: int) -> Taking:
    taking = _headers(x >> 1, y)
    return Taking(x & 1 | taking.how << 1, taking.a, taking.size, "arenas")


def _counted(_x: int, _y: int) -> Taking:
    return Taking(0, 0, 44, "objects")


def _how(taking: Taking, _z: int) -> int:
    return taking.how


def _a(taking: Taking, _z: int) -> int:
    return taking.a


def _nothing(_taking: Taking, _z: int) -> int:
    return 0


_TAKEN: Final = ("leak", "overlapping-blocks")
_PAGES: Final = ("double-free", "unknown-free", *_TAKEN)
_HEAP: Final = ("inner-free", "bad-result", *_PAGES)
KINDS: Final = (
    Kind("first_fit", "heap", _first_fit, _nothing, _HEAP, frozenset({"resize", "empty"}), has_ends=True),
    Kind(
        "classes",
        "heap",
        _classes,
        lambda taking, z: taking.a if z % 2 else _ANY_SIZE,
        (*_HEAP, "wrong-size-free"),
        frozenset({"resize", "empty", "null"}),
        has_ends=True,
    ),
    Kind("buddies", "pages", _buddies, _a, _PAGES, frozenset({"share"})),
    Kind("frames", "frames", _frames, _a, _PAGES, places=(ON_STACK, IN_SLOT)),
    Kind("pools", "pools", _pools, _how, (*_HEAP, "wrong-pool-free"), frozenset({"pools"}), pools=3, room=20),
    Kind("slabs", "objects", _slabs, _how, (*_HEAP, "wrong-pool-free"), pools=3),
    Kind("seeded", "pages", _seeded, _nothing, _HEAP),
    Kind("deferred", "heap", _deferred, lambda _taking, z: z % 2, _HEAP),
    Kind(
        "page_structs",
        "pages",
        _page_structs,
        _a,
        ("double-free", *_TAKEN),
        frozenset({"share"}),
        places=(ON_STACK, IN_SLOT),
        needs_debug=True,
    ),
    Kind(
        "runs",
        "pages",
        _runs,
        lambda taking, z: 0 if taking.a == 1 and z % 2 else taking.a,
        _HEAP,
        frozenset({"parts"}),
    ),
    Kind(
        "caches",
        "objects",
        _caches,
        _how,
        (*_HEAP, "wrong-pool-free"),
        frozenset({"pools"}),
        pools=3,
        needs_debug=True,
    ),
    Kind("entries", "frames", _entries, _nothing, _PAGES, places=(ON_STACK, IN_SLOT)),
    Kind("wrappers", "heap", _wrappers, lambda taking, _z: taking.how > 2, _HEAP),
    Kind("headers", "heap", _headers, _nothing, _HEAP, header=8),
    Kind(
        "arenas",
        "arenas",
        _arenas,
        None,
        ("bad-result", "forgotten-resize", *_TAKEN),
        frozenset({"resize", "pools"}),
        pools=2,
    ),
    Kind(
        "counted",
        "objects",
        _counted,
        _nothing,
        ("double-free", "bad-result", *_TAKEN),
        frozenset({"share"}),
        needs_debug=True,
    ),
)


@dataclass
class Program:
    """A program while it is made, with what lives in it.

    Attributes:
        operations: Each with its four words.
        live: By slot.
        dead: Each with the number of the operation that gave it back.
        planted: Number of the operation that is a mistake, or takes a block that is lost.
    """

    kind: Kind
    operations: list[tuple[int, int, int, int]] = field(default_factory=list)
    live: dict[int, Block] = field(default_factory=dict)
    dead: list[tuple[Block, int]] = field(default_factory=list)
    planted: int | None = None

    @property
    def next(self) -> int:
        """Number of the next operation."""
        return len(self.operations)

    def free_slots(self) -> list[int]:
        """Return the slots without a block, those that are used last first."""
        return [slot for slot in range(SLOTS - 1, 0, -1) if slot not in self.live]

    def data(self) -> bytes:
        """Return what the kernel executes."""
        return b"".join(pack("<4I", *each) for each in (*self.operations, (END, 0, 0, 0)))

    def lives(self, answers: Sequence[int]) -> set[Life]:
        """Return all blocks that ever lived.

        Args:
            answers: By operation, where the block is that it took.
        """
        return {
            life
            for block, died in [*self.dead, *((block, None) for block in self.live.values())]
            for life in _lives(
                block.taking.area, answers[block.born] + block.offset, block.size, block.born, died
            )
        }

    def choose(self, choice: Choice) -> None:
        """Add the operations that a choice stands for."""
        action, where, x, y = choice
        slot, block, can = where % SLOTS, self.live.get(where % SLOTS), self.kind.can
        if self.next >= _ROOM:
            return
        if block is None:
            self.take(slot, self.kind.take(x, y))
        elif action % 8 < 3 and self.kind.give:
            self.fetch(block)
            self.give(block, self.kind.give(block.taking, x))
        elif action % 8 == 3 and "resize" in can:
            self.resize(block, y % 500)
        elif action % 8 == 4 and "share" in can:
            self.fetch(block)
            self.add(SHARE, slot)
            block.owners += 1
        elif action % 8 == 4 and "parts" in can:
            self.give_part(block, x, y)
        elif action % 64 == 5 and can & {"pools", "null"}:
            self.reset(x % self.kind.pools)
        elif block.place == IN_SLOT and not block.delta:
            self.keep(block, x, y)
        else:
            self.fetch(block)

    def add(self, code: int, slot: int, a: int = 0, b: int = 0) -> None:
        self.operations.append((code, slot, a & 0xFFFF_FFFF, b & 0xFFFF_FFFF))

    def plant(self, code: int, slot: int, a: int = 0, b: int = 0) -> None:
        self.planted = self.next
        self.add(code, slot, a, b)

    def take(self, slot: int, taking: Taking, *, wrongly: bool = False) -> None:
        alike = sum(block.taking.how == taking.how for block in self.live.values())
        if alike >= self.kind.room:
            return
        if taking.size is not None:
            self.live[slot] = Block(slot, taking, self.next, taking.size)
        (self.plant if wrongly else self.add)(TAKE_WRONGLY if wrongly else TAKE, slot, taking.how, taking.a)

    def give(self, block: Block, a: int) -> None:
        block.owners -= 1
        if not block.owners:
            self.end(block)
        self.add(GIVE_AGAIN if block.owners else GIVE, block.slot, a)

    def end(self, block: Block) -> None:
        """Note that the next operation gives a block back."""
        self.dead.append((block, self.next))
        del self.live[block.slot]

    def give_part(self, block: Block, x: int, y: int) -> None:
        """Give some pages of a block back; what is after them needs a slot."""
        pages = block.size // _PAGE
        first = x % pages
        count = 1 + y % (pages - first)
        after = pages - first - count
        free = self.free_slots()
        if count == pages or (after and not free):
            return
        self.fetch(block)
        if after:
            self.add(COPY, block.slot, free[0], (first + count) * _PAGE)
            self.live[free[0]] = self._part(block, free[0], first + count, after)
        self.dead.append((self._part(block, block.slot, first, count), self.next))
        one = count == 1 and x % 3 == 0
        self.add(GIVE_AGAIN, block.slot, 0 if one else count, first * _PAGE)
        if first:
            self.live[block.slot] = self._part(block, block.slot, 0, first)
        else:
            self.add(DROP, block.slot)
            del self.live[block.slot]

    @staticmethod
    def _part(block: Block, slot: int, first: int, count: int) -> Block:
        size = count * _PAGE
        taking = block.taking._replace(a=count, size=size)
        return Block(slot, taking, block.born, size, block.offset + first * _PAGE)

    def resize(self, block: Block, size: int) -> None:
        if not size and "empty" not in self.kind.can:
            return
        self.fetch(block)
        self.end(block)
        if size:
            taking = block.taking._replace(how=self._pool(block), a=size, size=size)
            self.live[block.slot] = Block(block.slot, taking, self.next, size)
        self.add(RETAKE, block.slot, block.taking.how, size)

    def reset(self, pool: int) -> None:
        """Forget what lies in a pool; an allocator without pools forgets nothing."""
        forgotten = [
            block for block in self.live.values() if "pools" in self.kind.can and self._pool(block) == pool
        ]
        for block in forgotten:
            self.fetch(block)
        for block in forgotten:
            self.end(block)
        self.add(RESET, 0, pool)
        for block in forgotten:
            self.add(DROP, block.slot)

    def _pool(self, block: Block) -> int:
        return block.taking.how % self.kind.pools

    def keep(self, block: Block, x: int, y: int) -> None:
        """Move the pointer to a block elsewhere, or let it point into the block, to its end, or its header."""
        if any(each.parent == block.slot for each in self.live.values()):
            return
        place = self.kind.places[x % len(self.kind.places)]
        parent = self._parent(block, y) if place == IN_BLOCK else None
        if place == IN_BLOCK and parent is None:
            return
        deltas = self._deltas(block)
        block.place, block.parent = place, parent
        block.delta = 0 if place == IN_PACKED else deltas[y % len(deltas)]
        self.add(KEEP, block.slot, place | (parent or 0) << 8, block.delta)

    def _deltas(self, block: Block) -> list[int]:
        """Return what may be added to the pointer to a block, so that it still holds it."""
        if not block.taking.by_address or not block.size:
            return [0]
        ends = [block.size] * self.kind.has_ends + [-self.kind.header] * (self.kind.header > 0)
        return [0, block.size // 2, block.size - 1, *ends]

    def _parent(self, block: Block, y: int) -> int | None:
        """Return the slot of a block in which the pointer to another one can be kept."""
        parents = [
            each.slot
            for each in self.live.values()
            if (each.place, each.delta) == (IN_SLOT, 0)
            and each is not block
            and each.taking.by_address
            and each.size >= 4
            and all(other.parent != each.slot for other in self.live.values())
        ]
        return parents[y % len(parents)] if parents else None

    def fetch(self, block: Block) -> None:
        """Move the pointers to a block, and to the one that it points to, back into their slots."""
        for other in list(self.live.values()):
            if other.parent == block.slot:
                self.fetch(other)
        if block.place != IN_SLOT or block.delta:
            self.add(FETCH, block.slot, block.place | (block.parent or 0) << 8, block.delta)
        block.place, block.delta, block.parent = IN_SLOT, 0, None


def _lives(area: str, address: int, size: int, born: int, died: int | None) -> Iterator[Life]:
    """Yield the life of a block, or of each of its pages."""
    if area not in ("pages", "frames"):
        yield Life(area, address, size, born, died)
        return
    for at in range(0, size, _PAGE):
        yield Life(area, address + at, _PAGE, born, died)


def correct(kind: Kind, choices: Sequence[Choice]) -> Program:
    """Return the program that some choices make."""
    program = Program(kind)
    for choice in choices:
        program.choose(choice)
    return program


def faulty(kind: Kind, choices: Sequence[Choice], mistake: str, after: int) -> Program | None:
    """Return a program with one mistake, after some of its choices; None where it cannot be made."""
    program = correct(kind, choices[:after])
    if not _plant(program, mistake, after):
        return None
    if mistake not in ("overlapping-blocks", "bad-result"):  # of these an allocator does not recover
        for choice in choices[after:]:
            if choice[0] % 64 != 5:
                program.choose(choice)
        if free := program.free_slots():  # which is when an allocator takes what it has put aside
            program.take(free[0], kind.take(1, 1))
    return program


def _plant(program: Program, mistake: str, z: int) -> bool:
    """Add a mistake; return whether there is a place for it."""
    least = {"inner-free": 9, "overlapping-blocks": 17, "leak": 1}.get(mistake, 0)
    block = next(
        (
            each
            for each in program.live.values()
            if each.owners == 1
            and each.taking.area == program.kind.area
            and each.size >= least
            and not (each.slot and mistake == "overlapping-blocks")
        ),
        None,
    )
    if block is None:
        return False
    program.fetch(block)
    if mistake in ("leak", "overlapping-blocks", "bad-result"):
        free = program.free_slots()
        return bool(free) and _take_wrongly(program, block, free[0], mistake)
    if mistake == "forgotten-resize":
        _resize_forgotten(program, block)
    else:
        _give_wrongly(program, block, mistake, z)
    return True


def _give_wrongly(program: Program, block: Block, mistake: str, z: int) -> None:
    kind, slot = program.kind, block.slot
    assert kind.give
    a = kind.give(block.taking, z)
    wrong, offset = kind.give(block.taking, z >> 1), 0
    if mistake == "double-free":
        program.add(GIVE_AGAIN, slot, a)
    elif mistake == "unknown-free":
        offset = _FAR
    elif mistake == "inner-free":
        offset, wrong = 8, kind.give(block.taking._replace(how=0), 0)
    elif mistake == "wrong-size-free":
        wrong = block.size + 4
    elif mistake == "wrong-pool-free":
        wrong = (a + 1) % kind.pools
    if mistake in ("unknown-free", "inner-free") and not (mistake == "inner-free" and kind.has_pages):
        program.plant(GIVE_WRONGLY, slot, wrong, offset)
        return
    program.end(block)
    program.plant(GIVE_WRONGLY, slot, wrong, offset)
    program.add(DROP, slot)


def _resize_forgotten(program: Program, block: Block) -> None:
    """Empty the pool of a block, but still resize it."""
    others = [each for each in program.live.values() if each is not block]
    pool = block.taking.how % program.kind.pools
    for other in others:
        program.fetch(other)
    program.reset(pool)
    last = program.operations.pop()
    while last[0] == DROP:
        last = program.operations.pop()
    program.operations.append(last)
    for other in others:
        if other.slot not in program.live:
            program.add(DROP, other.slot)
    taking = block.taking._replace(a=40, size=40)
    program.live[block.slot] = Block(block.slot, taking, program.next, 40)
    program.plant(RETAKE_WRONGLY, block.slot, block.taking.how, 40)


def _take_wrongly(program: Program, block: Block, free: int, mistake: str) -> bool:
    """Lose a block, or let the allocator answer wrongly: with the block in slot 0, or an odd address."""
    if mistake != "leak":
        program.add(BREAK, 0, 1 if mistake == "overlapping-blocks" else 2)
    program.take(free, block.taking, wrongly=True)
    if program.planted is None:
        return False
    if mistake == "leak":
        program.add(DROP, free)
        del program.live[free]
    return True


class LoggedCall(NamedTuple):
    """A call as the kernel has logged it.

    Attributes:
        operation: Number of the operation in which it was made.
        function: Its name.
        arguments: Four words; those that it does not have are 0.
        result: None: it returns nothing, or what another call in it, the last one, returns.
    """

    operation: int
    function: str
    arguments: tuple[int, ...]
    result: int | None


class Run(NamedTuple):
    """What a kernel did in a program, and what was found.

    Attributes:
        report: Of the check.
        trace: All recorded calls.
        logged: All calls that the kernel logged.
        answers: By operation, where the block is that it took.
    """

    report: CheckReport
    trace: Trace
    logged: list[LoggedCall]
    answers: tuple[int, ...]


_LOGGED: Final = Struct("<8I")
_NO_PROGRAM: Final = pack("<4I", _ANY_SIZE, 0, 0, 0) + bytes(16 * (MOST_OPERATIONS - 1))
"""What is in a kernel in place of a program."""


class Kernel(NamedTuple):
    """A compiled kernel.

    Attributes:
        kind: Of its allocator.
        build: What it was compiled with.
        data: The kernel's file.
        profile: What is recorded in it.
    """

    kind: Kind
    build: tuple[str, ...]
    data: bytes
    profile: Profile

    def run(self, program: Program) -> Run:
        """Check a program on it."""
        image = KernelImage(self.data, f"{self.kind.name}.elf")
        machine = machine_with(image, program)
        check = Check(machine, self.profile, lambda: machine_with(image, program))
        ending, trace = check.record(Budget(10_000_000), lambda _recording: None)
        report = check.report(trace, ending)
        return Run(report, trace, _logged(machine), _words(machine, "answers", MOST_OPERATIONS))

    def file(self, program: Program) -> bytes:
        """Return the kernel's file with a program in it."""
        data, start = program.data(), self.data.index(_NO_PROGRAM)
        return self.data[:start] + data + self.data[start + len(data) :]


def machine_with(image: KernelImage, program: Program) -> Machine:
    """Return a machine with a compiled kernel and a program for it."""
    machine = Machine(image)
    machine.memory.write(image.symbols["program"].address, program.data())
    return machine


def compiled(kind: Kind, folder: Path, build: Sequence[str]) -> Kernel:
    """Compile the kernel of a kind of allocator.

    Args:
        kind: The kind.
        folder: Where to put files.
        build: A compiler and its options.
    """
    source = (KERNELS / f"{kind.name}.c").read_text()
    compiler, *options = build
    options += [f"-I{KERNELS}", f"-ffile-prefix-map={folder}=."]  # the same file, wherever it is compiled
    data = compile_kernel(folder, source, options, compiler=compiler).read_bytes()
    profile = match(read_profile(KERNELS / f"{kind.name}.toml"), KernelImage(data, f"{kind.name}.elf"))
    return Kernel(kind, tuple(build), data, profile)


def _words(machine: Machine, variable: str, count: int) -> tuple[int, ...]:
    """Return the words of a variable that holds complements."""
    words = machine.memory.load_words(machine.image.symbols[variable].address, count)
    return tuple(word ^ 0xFFFF_FFFF for word in words)


def _logged(machine: Machine) -> list[LoggedCall]:
    symbols = machine.image.symbols
    names = {symbol.address: name for name, symbol in symbols.items()}
    (count,) = machine.memory.load_words(symbols["call_count"].address, 1)
    log = bytes(machine.memory.read(symbols["calls"].address, count * _LOGGED.size))
    calls = []
    for operation, function, is_finished, result, *arguments in _LOGGED.iter_unpack(log):
        words = tuple(each ^ 0xFFFF_FFFF for each in (operation, function, result, *arguments))
        calls.append(LoggedCall(words[0], names[words[1]], words[3:], words[2] if is_finished else None))
    return calls


def problems(program: Program, run: Run, build: Sequence[str], mistake: str = "") -> Iterator[str]:
    """Yield what a run says wrongly of a program."""
    report = run.report
    kinds = [finding.kind.value for finding in report.findings]
    expected = {
        "inner-free": "invalid-free",
        "unknown-free": "invalid-free",
        "forgotten-resize": "invalid-free",
    }
    if kinds != ([expected.get(mistake, mistake)] if mistake else []):
        yield f"{[(finding.message, *finding.details) for finding in report.findings]} instead of {mistake or 'nothing'}"
    elif mistake:
        yield from _misplaced(program, run, report.findings[0], has_lines="-g" in build)
    if report.ending.exit_value != 0:
        yield f"the run ended so: {report.ending}"
    yield from _wrong_calls(run)
    if not mistake:
        yield from _wrong_lives(program, run)


def _misplaced(program: Program, run: Run, finding: Finding, *, has_lines: bool) -> Iterator[str]:
    """Yield what a finding says wrongly of where the mistake was made."""
    call_site = finding.call_site or (finding.block.allocated if finding.block else None)
    if call_site is None or run.logged[call_site.call - 1].operation != program.planted:
        yield f"{finding.message}: in {call_site}, not in operation {program.planted}"
    elif not _is_planted(call_site, has_lines=has_lines):
        yield f"{finding.message}: the mistake is not in {call_site.backtrace}"


def _is_planted(call_site: CallSite, *, has_lines: bool) -> bool:
    """Return whether a call was made where the kernel makes mistakes."""
    lines = (KERNELS / "program.h").read_text().splitlines()
    return any(
        (frame.function or "").endswith("_wrongly")
        and (not has_lines or "/* planted */" in lines[(frame.line or 1) - 1])
        for frame in call_site.backtrace
    )


def _wrong_calls(run: Run) -> Iterator[str]:
    """Yield how the recorded calls differ from the log."""
    functions = {function.name: function for function in run.trace.functions}
    for call, logged in zip(run.trace, run.logged, strict=False):
        function = functions[call.function]
        recorded = call.arguments[: function.argument_count]
        words = zip(function.parameters, recorded, logged.arguments, strict=False)
        wrong = [name for name, word, truth in words if word != truth and name not in function.unknown]
        if function.result is not Result.NONE and logged.result not in (None, call.result):
            wrong.append("result")
        if wrong or call.function != logged.function:
            yield f"{wrong} of {call}, but the log has {logged}"
            return
    if len(run.trace) != len(run.logged):
        yield f"{len(run.trace)} calls were recorded, and {len(run.logged)} logged"


def _wrong_lives(program: Program, run: Run) -> Iterator[str]:
    """Yield how the lives of blocks differ from what the program does; those of blocks that an allocator takes for itself are its own."""
    truth = program.lives(run.answers)
    parents = run.trace.calls.parent
    found: set[Life] = set()
    for area in run.trace.profile.block_areas:
        blocks = run.trace.blocks(area)
        rows = zip(
            *(
                each.tolist()
                for each in (blocks.address, blocks.size, blocks.born_call, blocks.died, blocks.died_call)
            ),
            strict=True,
        )
        for address, size, born, died, died_call in rows:
            if not parents[born - 1]:
                ended = None if died == NEVER else run.logged[died_call - 1].operation if died_call else -1
                found.update(_lives(area, address, size, run.logged[born - 1].operation, ended))
    if found != truth:
        yield f"blocks {sorted(map(repr, found - truth))[:3]} instead of {sorted(map(repr, truth - found))[:3]}"
