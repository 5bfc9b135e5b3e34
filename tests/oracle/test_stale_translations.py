"""Stale translations are found where they are used, nowhere else, and the run is what it is without: as on QEMU."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import pytest

from emulator.machine.core.observed import Rights
from emulator.machine.machine import Machine
from tests.helpers.guest import symbol
from tests.oracle.test_translations import FAULTS, STEPS, WORDS, image_of, on_qemu

if TYPE_CHECKING:
    from emulator.machine.core.observed import StaleUse
    from emulator.machine.execution import Outcome

PAGE = 0x8000_0000
RW, RO = 7, 5
LARGE = """
        movl    $0x10, %eax
        movl    %eax, %cr4
        movl    $0x87, directory + 0x800
        movl    %cr3, %eax
        movl    %eax, %cr3
        movl    $page_1, %ecx
        look    0x80000000(%ecx)
"""
# Each is one stale use; `use` is the instruction that does it, `change` the one that makes it stale.
STALE: dict[str, str] = {
    "another frame": "look\nchange: movl $page_2 + 7, table\nuse: look",
    "no frame": "look\nchange: movl $0, table\nuse: look",
    "no write any more": "movl $7, 0x80000000\nchange: movl $page_1 + 5, table\nlook\nuse: movl $8, 0x80000000\nlook",
    "another table": "look\nchange: movl $table + 0x1007, directory + 0x800\nuse: look",
    "no table": "look\nchange: movl $0, directory + 0x800\nuse: look",
    "no write by the directory": "movl $7, 0x80000000\nchange: movl $table + 5, directory + 0x800\nlook\n"
    "use: movl $8, 0x80000000\nlook",
    "a large page": LARGE + "change: movl $0x400087, directory + 0x800\nuse: look 0x80000000(%ecx)",
    "a table in place of a large page": LARGE
    + "change: movl $table + 7, directory + 0x800\nuse: look 0x80000000(%ecx)",
    "changed by an alias": "look\nmovl $table + 7, identity + 0x900\ninvlpg 0x240000\n"
    "change: movl $page_2 + 7, 0x240000\nuse: look",
    "changed back and again": "look\nmovl $0, table\nmovl $page_1 + 7, table\nlook\nchange: movl $page_2 + 7, table\nuse: look",
    "the first of two changes": "look\nchange: movl $0, table\nmovl $page_2 + 7, table\nuse: look",
    "exchanged": "look\nmovl $page_2 + 7, %eax\nchange: xchgl %eax, table\nuse: look",
    "locked": "look\nchange: lock btrl $0, table\nuse: look",
    "a string": "look\nxorl %eax, %eax\nmovl $table, %edi\nmovl $4, %ecx\ncld\nchange: rep stosl\nuse: look",
    "bytes of an entry": "look\nmovl $page_2 + 7, %eax\nchange: movb %ah, table + 1\nuse: look",
    "code": "run\nchange: movl $code_2 + 7, table + 4\nmovl $0x80001000, %eax\ncall *%eax\nput eax",
    "in a read and a write": "look\nchange: movl $page_2 + 7, table\nuse: addl $1, 0x80000000\nlook",
    "the table's own page": "movl $table + 7, table + 8\nlook 0x80002000\nchange: movl $page_2 + 7, 0x80002008\nuse: look 0x80002008",
    "a table that became data": "look\nchange: movl $0, directory + 0x800\nmovl $table, %edi\nmovl $1024, %ecx\n"
    "movl $0xabababab, %eax\ncld\nrep stosl\nuse: look",
    "global pages": "movl $page_1 + 0x107, table\nlook\nchange: movl $page_2 + 0x107, table\nuse: look",
    "a user's": "after over\nin_ring_3\nlook\nchange: movl $page_1 + 3, table\nuse: look\nhlt\nover:",
    "a user's, changed by the kernel": "after here\nin_ring_3\nlook\nhlt\nhere: look\nchange: movl $page_1 + 3, table\nlook\n"
    "after over\nin_ring_3\nuse: look\nhlt\nover:",
}
RIGHT: dict[str, str] = {
    "forgotten in time": "look\nmovl $page_2 + 7, table\ninvlpg 0x80000000\nlook",
    "CR3 in time": "look\nmovl $0, table\nmovl $page_2 + 7, table\nreload\nlook",
    "not used": "look\nmovl $0, table\nput eax",
    "the same again": "look\nmovl $page_1 + 7, table\nlook",
    "back in time": "look\nmovl $page_2 + 7, table\nmovl $page_1 + 7, table\nlook",
    "A and D": "movl $1, 0x80000000\nandl $~0x60, table\nlook\nmovl $2, 0x80000000\nlook\nmovl table, %ebx\nput ebx",
    "bits for the kernel": "look\norl $0xe00, table\nlook",
    "from absent": "movl $0, table\nreload\nmovl $page_2 + 7, table\nlook",
    "from read only": "movl $page_1 + 5, table\nreload\nlook\nmovl $page_1 + 7, table\nmovl $3, 0x80000000\nlook",
    "read where only reading is left": "movl $7, 0x80000000\nmovl $page_1 + 5, table\nlook",
    "another entry": "look\nmovl $page_2 + 7, table + 12\nlook 0x80003000\nlook",
    "a table that became data": "look\nmovl $0, directory + 0x800\nreload\nmovl $0x55, table\nmovl table, %ebx\nput ebx",
    "another space": "look\nspace directory + 0x1000\nmovl $page_2 + 7, table\nlook\nspace directory\nlook",
    "large pages": LARGE
    + "movl $0x400087, directory + 0x800\ninvlpg 0x80123000\nmovl $0x87, directory\nreload\nput ecx",
}


class Run(NamedTuple):
    """A run, and all it left."""

    outcome: Outcome
    registers: object
    memory: bytes
    uses: tuple[StaleUse, ...]


def run(steps: str, *, seek: bool) -> Run:
    machine = Machine(image_of(steps))
    found = machine.observers.seek_stale() if seek else None
    outcome = machine.run(timeout_s=20)
    uses = found.uses() if found else ()
    return Run(outcome, machine.cpu.registers(), bytes(machine.memory.buffer), uses)


@cache
def sought(steps: str) -> Run:
    return run(steps, seek=True)


def results(steps: str) -> list[int]:
    machine = Machine(image_of(steps))
    start = symbol(machine, "results")
    return [
        int.from_bytes(sought(steps).memory[at : at + 4], "little")
        for at in range(start, start + 4 * WORDS, 4)
    ]


ALL = {f"stale: {name}": steps for name, steps in STALE.items()} | {
    f"right: {name}": steps for name, steps in RIGHT.items()
}
OTHERS = STEPS | {
    name: f"after over\n{steps}\n over:\n movl %cr2, %ebx\n put ebx\n" for name, steps in FAULTS.items()
}


@pytest.mark.parametrize("name", [*ALL, *OTHERS])
def test_the_run_is_the_same(name: str) -> None:
    steps = (ALL | OTHERS)[name]
    plain, found = run(steps, seek=False), sought(steps)
    assert plain.outcome == found.outcome
    assert plain.registers == found.registers
    assert plain.memory == found.memory


@pytest.mark.parametrize("name", ALL)
def test_what_is_seen_is_what_qemu_sees(name: str) -> None:
    assert results(ALL[name]) == on_qemu(ALL[name])


@pytest.mark.parametrize("name", STALE)
def test_a_use_is_found(name: str) -> None:
    machine = Machine(image_of(STALE[name]))
    (use,) = sought(STALE[name]).uses
    assert use.change is not None
    assert use.change.eip == machine.address_of("change")
    if name == "code":
        assert (use.access, use.eip, use.linear) == ("fetch", PAGE + 0x1000, PAGE + 0x1000)
    else:
        at = machine.address_of("use")
        assert at <= use.eip < at + 16
        assert use.linear & ~0xFFF in {PAGE, PAGE + 0x2000, PAGE + (machine.address_of("page_1") & ~0xFFF)}


@pytest.mark.parametrize("name", [*RIGHT, *OTHERS])
def test_no_use_is_found(name: str) -> None:
    assert sought(RIGHT.get(name) or OTHERS[name]).uses == ()


def test_a_use_says_what_was_and_what_is() -> None:
    steps = STALE["no write any more"]
    machine = Machine(image_of(steps))
    (use,) = sought(steps).uses
    page, table = machine.address_of("page_1"), machine.address_of("table")
    everything = Rights.PRESENT | Rights.WRITABLE | Rights.FOR_USERS
    assert (use.linear, use.access) == (PAGE, "write")
    assert (use.held, use.held_rights) == (page, everything)
    assert (use.now, use.now_rights) == (page, Rights.PRESENT | Rights.FOR_USERS)
    assert use.entry == table
    assert use.change is not None
    assert (use.change.before & ~0x60, use.change.after & ~0x60) == (page + RW, page + RO)


def test_a_page_that_is_gone_has_no_rights() -> None:
    (use,) = sought(STALE["no frame"]).uses
    assert (use.now, use.now_rights) == (0, Rights(0))
