"""Random programs of calls to the allocators in `tests/property/kernels`, correct ones and ones with one planted mistake.

A program is made of choices, each a few numbers: whatever these are, the program is correct, so that a search for the smallest failing one
can leave out any. A model follows what is live, and says at the end what a check must find.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from struct import pack
from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.check.checked_run import check_kernel
from emulator.loader.image import KernelImage
from emulator.machine.machine import Machine
from emulator.profile.known import match
from emulator.profile.reader import read_profile
from emulator.run.ending import Budget
from tests.helpers.c_kernel import compile_kernel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from emulator.check.check_report import CheckReport

KERNELS: Final = Path(__file__).parents[1] / "property" / "kernels"
SLOTS: Final = 32
MOST_OPERATIONS: Final = 400
_ROOM: Final = 360  # operations of the choices; the rest is for a mistake
_PAGE: Final = 4096
_ANY_SIZE: Final = 0xFFFF_FFFF

END, TAKE, RETAKE, GIVE, SHARE, RESET, KEEP, FETCH, DROP, BREAK, GIVE_AGAIN = range(11)
IN_PACKED, ON_STACK, IN_BLOCK, IN_SLOT = range(4)
PLACES: Final = (IN_PACKED, ON_STACK, IN_BLOCK, IN_SLOT)

BUILDS: Final = (("gcc", "-O0"), ("gcc", "-O2"), ("gcc", "-Os", "-fomit-frame-pointer"), ("clang", "-O2"))
"""Compilers with options that each kernel is built with."""

Choice = tuple[int, int, int, int]
"""What to do, with which slot, and two numbers that mean whatever that needs."""


class Taking(NamedTuple):
    """A call that takes a block.

    Attributes:
        how: Which function takes it, or from which pool.
        a: Its argument.
        size: Bytes of the block; None: there is none, because the call must fail or asks for no bytes.
        area: Of the profile.
    """

    how: int
    a: int
    size: int | None
    area: str


@dataclass
class Block:
    """A live block.

    Attributes:
        slot: In which it is, or from which it was moved.
        place: Where its pointer is.
        delta: What is added to the pointer there.
        parent: The slot of the block that holds the pointer.
    """

    slot: int
    taking: Taking
    owners: int = 1
    place: int = IN_SLOT
    delta: int = 0
    parent: int | None = None

    @property
    def size(self) -> int:
        return self.taking.size or 0


@dataclass(frozen=True)
class Kind:
    """A kind of allocator.

    Attributes:
        name: Of its files.
        take: Makes a call out of two numbers.
        give: The last argument of the call that gives a block back, for another number.
        can: What else it does: "resize", "share", "reset", "null" (free(NULL)).
        has_ends: A block is known by its end: no other begins there.
        places: Where pointers may be kept.
        mistakes: Which can be planted.
    """

    name: str
    take: Callable[[int, int], Taking]
    give: Callable[[Taking, int], int]
    mistakes: tuple[str, ...]
    can: frozenset[str] = frozenset()
    has_ends: bool = False
    places: tuple[int, ...] = PLACES


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
        return Taking(0, 300 + y % 5000, None, "frames")
    return Taking(0, 1 + y % 4, _PAGE * (1 + y % 4), "frames")


def _pools(x: int, y: int) -> Taking:
    pool, largest = x % 3, (12, 32, 100)[x % 3]
    size = 1 + y % (largest + 2)
    return Taking(pool, size, size if size <= largest else None, "pools")


def _slabs(x: int, y: int) -> Taking:
    if x % 5 == 4:
        return Taking(4, 0, _PAGE, "pages")
    size = 1 + y % (16, 24, 64, 500)[x % 5]
    return Taking(x % 5, size, size, "objects")


_HEAP: Final = ("double-free", "inner-free", "leak", "overlapping-blocks", "bad-result")
KINDS: Final = (
    Kind("first_fit", _first_fit, lambda _taking, _z: 0, _HEAP, frozenset({"resize", "null"}), has_ends=True),
    Kind(
        "classes",
        _classes,
        lambda taking, z: taking.a if z % 2 else _ANY_SIZE,
        (*_HEAP, "wrong-size-free"),
        frozenset({"resize", "null", "reset"}),
        has_ends=True,
    ),
    Kind(
        "buddies",
        _buddies,
        lambda taking, _z: taking.a,
        ("double-free", "leak", "overlapping-blocks"),
        frozenset({"share"}),
    ),
    Kind(
        "frames",
        _frames,
        lambda taking, _z: taking.a,
        ("double-free", "leak", "overlapping-blocks"),
        places=(ON_STACK, IN_SLOT),
    ),
    Kind("pools", _pools, lambda taking, _z: taking.how, (*_HEAP, "wrong-pool-free"), frozenset({"reset"})),
    Kind("slabs", _slabs, lambda taking, _z: taking.how, (*_HEAP, "wrong-pool-free")),
)


@dataclass
class Program:
    """A program while it is made, with what is live after it.

    Attributes:
        operations: Each with its four words.
        live: By slot.
    """

    kind: Kind
    operations: list[tuple[int, int, int, int]] = field(default_factory=list)
    live: dict[int, Block] = field(default_factory=dict)

    def data(self) -> bytes:
        """Return what the kernel executes."""
        return b"".join(pack("<4I", *each) for each in (*self.operations, (END, 0, 0, 0)))

    def in_areas(self) -> dict[str, tuple[int, int]]:
        """Return the blocks that are live, and their bytes, by area."""
        found: dict[str, tuple[int, int]] = {}
        for block in self.live.values():
            blocks, size = found.get(block.taking.area, (0, 0))
            found[block.taking.area] = (blocks + 1, size + block.size)
        return found

    def choose(self, choice: Choice) -> None:
        """Add the operations that a choice stands for."""
        action, where, x, y = choice
        slot, block = where % SLOTS, self.live.get(where % SLOTS)
        if len(self.operations) >= _ROOM:
            return
        if block is None:
            self.take(slot, self.kind.take(x, y))
        elif action % 8 < 3:
            self.fetch(block)
            self.give(block, self.kind.give(block.taking, x))
        elif action % 8 == 3 and "resize" in self.kind.can:
            self.resize(block, y % 500)
        elif action % 8 == 4 and "share" in self.kind.can:
            self.fetch(block)
            self.add(SHARE, slot)
            block.owners += 1
        elif action % 64 == 5 and "reset" in self.kind.can:
            self.reset(x % 3)
        elif block.place == IN_SLOT and not block.delta:
            self.keep(block, x, y)
        else:
            self.fetch(block)

    def add(self, code: int, slot: int, a: int = 0, b: int = 0) -> None:
        self.operations.append((code, slot, a, b & 0xFFFF_FFFF))

    def take(self, slot: int, taking: Taking) -> None:
        room = sum(block.taking.how == taking.how for block in self.live.values())
        if self.kind.name == "pools" and room >= 20:
            return
        self.add(TAKE, slot, taking.how, taking.a)
        if taking.size is not None:
            self.live[slot] = Block(slot, taking)

    def give(self, block: Block, a: int) -> None:
        block.owners -= 1
        self.add(GIVE_AGAIN if block.owners else GIVE, block.slot, a)
        if not block.owners:
            del self.live[block.slot]

    def resize(self, block: Block, size: int) -> None:
        self.fetch(block)
        self.add(RETAKE, block.slot, size)
        if size:
            block.taking = block.taking._replace(a=size, size=size)
        else:
            del self.live[block.slot]

    def reset(self, pool: int) -> None:
        """Forget what lies in a pool; an allocator without pools forgets nothing."""
        for block in list(self.live.values()):
            if self.kind.name == "pools" and block.taking.how == pool:
                self.fetch(block)
        self.add(RESET, 0, pool)
        for block in list(self.live.values()):
            if self.kind.name == "pools" and block.taking.how == pool:
                self.add(DROP, block.slot)
                del self.live[block.slot]

    def keep(self, block: Block, x: int, y: int) -> None:
        """Move the pointer to a block elsewhere, or let it point into the block, or to its end."""
        place = self.kind.places[x % len(self.kind.places)]
        deltas = [0] if self.kind.name == "frames" or not block.size else [0, block.size // 2, block.size - 1]
        if self.kind.has_ends and block.size:
            deltas.append(block.size)
        delta = 0 if place == IN_PACKED else deltas[y % len(deltas)]
        if any(each.parent == block.slot for each in self.live.values()):
            return
        how = place
        if place == IN_BLOCK:
            parents = [
                each.slot
                for each in self.live.values()
                if each.place == IN_SLOT
                and not each.delta
                and each is not block
                and each.size >= 4
                and all(other.parent != each.slot for other in self.live.values())
            ]
            if not parents:
                return
            block.parent = parents[y % len(parents)]
            how |= block.parent << 8
        block.place, block.delta = place, delta
        self.add(KEEP, block.slot, how, delta)

    def fetch(self, block: Block) -> None:
        """Move the pointers to a block, and to the one that it points to, back into their slots."""
        for other in list(self.live.values()):
            if other.parent == block.slot:
                self.fetch(other)
        if block.place != IN_SLOT or block.delta:
            self.add(FETCH, block.slot, block.place | (block.parent or 0) << 8, block.delta)
        block.place, block.delta, block.parent = IN_SLOT, 0, None


def correct(kind: Kind, choices: Sequence[Choice]) -> Program:
    """Return the program that some choices make."""
    program = Program(kind)
    for choice in choices:
        program.choose(choice)
    return program


def faulty(kind: Kind, choices: Sequence[Choice], mistake: str, after: int) -> Program | None:
    """Return a program with one mistake, after some of its choices; None where it cannot be made."""
    program = correct(kind, choices[:after])
    plain = [block for block in program.live.values() if block.owners == 1]
    if not _plant(
        program, [block for block in plain if block.taking.area != "pages" or kind.name == "buddies"], mistake
    ):
        return None
    if mistake not in ("overlapping-blocks", "bad-result"):  # of these an allocator does not recover
        for choice in choices[after:]:
            if choice[0] % 64 != 5:
                program.choose(choice)
    return program


def _plant(program: Program, blocks: Sequence[Block], mistake: str) -> bool:
    """Add a mistake with one of some blocks; return whether there is one for it."""
    kind = program.kind
    least = {"inner-free": 9, "overlapping-blocks": 17, "leak": 1}.get(mistake, 0)
    block = next((each for each in blocks if each.size >= least), None)
    if block is None:
        return False
    program.fetch(block)
    a = kind.give(block.taking, 0)
    if mistake == "double-free":
        program.add(GIVE_AGAIN, block.slot, a)
        program.give(block, a)
    elif mistake == "inner-free":
        program.add(GIVE_AGAIN, block.slot, a, 8)
    elif mistake == "wrong-size-free":
        program.give(block, block.size + 4)
    elif mistake == "wrong-pool-free":
        program.give(block, (a + 1) % 3)
    elif mistake == "leak":
        program.add(DROP, block.slot)
        del program.live[block.slot]
    else:
        return _break(program, block, mistake)
    return True


def _break(program: Program, block: Block, mistake: str) -> bool:
    """Let the allocator answer the next call wrongly: with the block in slot 0, or an odd address."""
    free = next((slot for slot in range(SLOTS - 1, 0, -1) if slot not in program.live), None)
    if free is None or (mistake == "overlapping-blocks" and block.slot):
        return False
    program.add(BREAK, 0, 1 if mistake == "overlapping-blocks" else 2)
    a = {"first_fit": 16, "classes": 16, "pools": 8, "slabs": 8}.get(program.kind.name, block.taking.a)
    how = block.taking.how if program.kind.name in ("pools", "slabs") else 0
    program.take(free, Taking(how, a, a, block.taking.area))
    return True


class Kernel(NamedTuple):
    """A compiled kernel."""

    kind: Kind
    data: bytes
    at: int

    def run(self, program: Program) -> CheckReport:
        """Check a program on it."""
        image = self.image(program)
        profile = match(read_profile(str(KERNELS / f"{self.kind.name}.toml")), image)
        return check_kernel(
            Machine(image), profile, Budget(10_000_000), new_machine=lambda: Machine(self.image(program))
        )

    def image(self, program: Program) -> KernelImage:
        data = program.data()
        return KernelImage(
            self.data[: self.at] + data + self.data[self.at + len(data) :], f"{self.kind.name}.elf"
        )


def compiled(kind: Kind, folder: Path, build: Sequence[str]) -> Kernel:
    """Compile the kernel of a kind of allocator.

    Args:
        kind: The kind.
        folder: Where to put files.
        build: A compiler and its options.
    """
    source = (KERNELS / f"{kind.name}.c").read_text()
    compiler, *options = build
    data = compile_kernel(folder, source, [f"-I{KERNELS}", *options], compiler=compiler).read_bytes()
    at = data.find(pack("<4I", _ANY_SIZE, 0, 0, 0) + bytes(16 * (MOST_OPERATIONS - 1)))
    assert at > 0
    return Kernel(kind, data, at)


def problems(program: Program, report: CheckReport, mistake: str = "") -> Iterator[str]:
    """Yield what a report says wrongly of a program."""
    kinds = [finding.kind.value for finding in report.findings]
    expected = ["invalid-free"] if mistake == "inner-free" else [mistake] if mistake else []
    if kinds != expected:
        yield f"{[(finding.message, *finding.details) for finding in report.findings]} instead of {expected}"
    if report.ending.exit_value != 0:
        yield f"the run ended so: {report.ending}"
    if not mistake:
        for area, (blocks, size) in program.in_areas().items():
            found = report.measures[area]
            is_exact = area != "pages" or program.kind.name == "buddies"  # slabs take pages, too
            if is_exact and (found.end_blocks, found.end_bytes) != (blocks, size):
                yield f"{area}: {found.end_blocks} blocks, {found.end_bytes} bytes; {blocks}, {size} are live"
