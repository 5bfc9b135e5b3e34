"""Guests that do their worst end as they do without checked accesses, and on all memories; what is kept of them is bounded."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import pytest

from emulator.machine.core.observed import BlockFunction, BlockResult, BlockRole
from emulator.machine.execution import Returned
from emulator.machine.recording import RecordedFunction, record
from tests.helpers.guest import FUNCTION
from tests.helpers.three_memories import MEMORIES, OF_THE_CORE, prepared, run, state_of

if TYPE_CHECKING:
    from emulator.machine.core.handle import Mmu
    from emulator.machine.core.observed import BadAccesses

# From 2 to 6 MiB an allocator has all memory, and hands out what `take` is asked for: an address. `code` lies in what was freed.
START: Final = (
    FUNCTION
    + """
        pushl   $0x5f0000
        pushl   $0x200000
        call    seed
        movl    $stack, %esp
        jmp     started
        function seed
        ret
        ends    seed
        function take
        movl    4(%esp), %eax
        ret
        ends    take
        function give
        ret
        ends    give
        .macro  block address
        pushl   $\\address
        call    take
        addl    $4, %esp
        .endm
        .macro  free address
        pushl   $\\address
        call    give
        addl    $4, %esp
        .endm
        .macro  identity directory, table
        movl    $\\table, %edi
        movl    $3, %eax
        movl    $2048, %ecx
        cld
1:      stosl
        addl    $0x1000, %eax
        loop    1b
        movl    $\\table + 3, \\directory
        movl    $\\table + 0x1003, \\directory + 4
        .endm
        .macro  page_with directory
        movl    $\\directory, %eax
        movl    %eax, %cr3
        movl    %cr0, %eax
        orl     $0x80010000, %eax
        movl    %eax, %cr0
        jmp     1f
1:
        .endm
started:
"""
)
FUNCTIONS: Final = [RecordedFunction("seed", 2), RecordedFunction("take", 1), RecordedFunction("give", 1)]
ROLES: Final = [
    BlockFunction(BlockRole.SEED, BlockResult.OTHER, 0, False, False, False, {"start": 0, "end": 1}),  # noqa: FBT003
    BlockFunction(BlockRole.ALLOC, BlockResult.POINTER, 0, False, False, True, {"ptr": 0}),  # noqa: FBT003
    BlockFunction(BlockRole.FREE, BlockResult.OTHER, 0, False, False, False, {"ptr": 0}),  # noqa: FBT003
]

GUESTS: Final = {
    "page tables that loop": """
        identity 0x200000, 0x201000
        movl    $0x200003, 0x200ffc                 # the directory is the last table, too
        movl    $0x203003, 0x200ff8                 # a table whose entries are itself
        movl    $0x203000, %edi
        movl    $0x203003, %eax
        movl    $1024, %ecx
        rep     stosl
        faults
        page_with 0x200000
        movl    $0xffc00000, %esi
1:      attempt movl (%esi), %eax
        attempt movl %eax, (%esi)
        addl    $0x1000, %esi
        jnz     1b
        movl    $0xff800000, %esi
2:      attempt movl (%esi), %eax
        attempt movl %eax, 4(%esi)
        addl    $0x3000, %esi
        cmpl    $0xffc00000, %esi
        jb      2b
        movl    $0xfffff000, %eax
        attempt movl $0x200003, 8(%eax)             # an entry of the directory, through itself
        reload_cr3
        attempt movl 0x800ffc, %eax
        movl    %cr3, %eax
        log     eax
""",
    "memory over itself a thousand times": """
        identity 0x200000, 0x201000
        movl    $0x200008, %edi
        movl    $0x201003, %eax
        movl    $1022, %ecx
        rep     stosl
        page_with 0x200000
        movl    $3, %edx
1:      movl    $0x00300000, %esi
2:      movl    %esi, (%esi)                        # 24 pages, of 1,023 aliases each
        addl    $0x1000, %esi
        movl    %esi, %eax
        andl    $0x3fffff, %eax
        cmpl    $0x318000, %eax
        jb      2b
        addl    $0x3e8000, %esi
        cmpl    $0x300000, %esi
        ja      2b
        decl    %edx
        jnz     1b
        movl    0x300000, %eax
        log     eax
""",
    "code in freed memory": """
        block   0x300000
        movl    $0x00003fb8, 0x300000               # mov $63, %eax; ret
        movl    $0x0000c300, 0x300004
        free    0x300000
        movl    $500, %ecx
1:      movl    $0x300000, %eax
        call    *%eax
        addl    %eax, %edx
        incb    0x300001
        loop    1b
        log     edx
""",
    "writes over the running instruction": """
        movl    $0x300000, %edi
        movl    $9f, %esi
        movl    $8f - 9f, %ecx
        rep     movsb
        movl    $300, %ecx
        movl    $0x300000, %eax
        call    *%eax
        log     edx
        jmp     8f
9:      movb    %cl, 0x300000 + 7f - 9b - 4         # an operand of the next instruction
        addl    $0x11111111, %edx
7:      movb    $0x90, 0x300000 + 7b - 9b           # itself, which is a nop from the second time on
        movb    $0xc6, 0x300000 + 7b - 9b
        decl    %ecx
        jnz     9b
        ret
8:      nop
""",
    "everything the CPU needs in freed memory": """
        identity 0x200000, 0x201000
        faults
        movl    $0x300000, %edi
        movl    $idt, %esi
        movl    $64, %ecx
        rep     movsl
        movw    $0xff, 0x300400
        movl    $0x300000, 0x300402
        lidt    0x300400
        page_with 0x200000
        movl    $0x310000, %esp
        movl    $200, %ecx
1:      pushal
        attempt movl 0x40000000, %eax
        popal
        loop    1b
        movl    $stack, %esp
""",
    "more mistakes than are kept": """
        movl    $0x300000, %ebx
        .rept   700
        movl    %ebx, (%ebx)
        .endr
""",
    "call stacks without an end": """
        movl    $20000, %ecx
        movl    $0x12345, %edx
1:      imull   $0x41c64e6d, %edx
        addl    $0x3039, %edx
        movl    %edx, %esi
        call    descend_0
        loop    1b
        jmp     2f
        .macro  descend number
        function descend_\\number
        pushl   %ebp
        movl    %esp, %ebp
        movl    %esi, 0x300000 + 4 * \\number
        shrl    $1, %esi
        jz      3f
        jc      4f
        call    descend_0
3:      popl    %ebp
        ret
4:      call    descend_1
        popl    %ebp
        ret
        ends    descend_\\number
        .endm
        descend 0
        descend 1
2:      nop
""",
}


class End(NamedTuple):
    """What became of a guest: how its run ended, its state, what was found, and how many bytes the process has grown by."""

    ending: object
    state: dict[str, object]
    found: BadAccesses | None
    grown: int


def end_of(name: str, mmu: Mmu, *, checked: bool) -> End:
    """Run a guest."""
    machine = prepared(START + GUESTS[name] + "cli; hlt\n", mmu)
    found = None
    before = resident()
    with ExitStack() as stack:
        if checked:
            machine.stacks.set_functions(machine.image.function_extents, machine.image.entry)
            record(machine, FUNCTIONS)
            checks = stack.enter_context(machine.observers.check_accesses(ROLES))
        outcome = run(machine)
        if checked:
            found = checks.seen()
        grown = resident() - before
    return End(outcome[0], state_of(machine), found, grown)


def resident() -> int:
    """Return how many bytes of memory this process has."""
    with Path("/proc/self/status").open(encoding="ascii") as status:
        line = next(line for line in status if line.startswith("RssAnon:"))
    return int(line.split()[1]) << 10


@pytest.mark.parametrize("name", GUESTS)
def test_a_guest_ends_as_without_checks(name: str) -> None:
    plain, *others = (end_of(name, mmu, checked=False) for mmu in MEMORIES)
    fast, ordinary = (end_of(name, mmu, checked=True) for mmu in OF_THE_CORE)
    assert plain.ending is Returned.HALTED
    for each in (*others, fast, ordinary):
        assert each.ending is plain.ending
        for what, value in each.state.items():
            assert value == plain.state[what], what
    assert fast.found is not None
    assert ordinary.found is not None
    assert fast.found.accesses
    assert fast.found._replace(has_returns=False) == ordinary.found
    assert fast.grown < 64 << 20


def test_what_has_no_room_is_not_remembered() -> None:
    end = end_of("call stacks without an end", "fast", checked=True)
    assert end.found is not None
    assert end.found.missed
    assert len(end.found.accesses) == 512
    assert end.grown < 20 << 20
