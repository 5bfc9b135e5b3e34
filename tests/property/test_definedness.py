"""Random instructions: what counts as defined is the same whatever the bytes hold that nobody has written."""

from __future__ import annotations

import random
from typing import Final

import pytest

from emulator.machine.machine import Machine
from emulator.machine.recording import record
from tests.helpers.guest import assemble, symbol
from tests.unit.machine.core.test_checked_accesses import BLOCK, FUNCTIONS, GUEST, ROLES

CONTENTS: Final = 6
INSTRUCTIONS: Final = 24
OUT: Final = 32  # bytes: the registers, and what is left of the block's
_REGISTERS: Final = {
    4: ("%eax", "%ecx", "%edx", "%esi"),
    2: ("%ax", "%cx", "%dx", "%si"),
    1: ("%al", "%cl", "%dl", "%ah"),
}
_SUFFIXES: Final = {4: "l", 2: "w", 1: "b"}
_CONDITIONS: Final = ("o", "no", "b", "ae", "e", "ne", "be", "a", "s", "ns", "p", "np", "l", "ge", "le", "g")
_TWO: Final = ("add", "sub", "and", "or", "xor", "mov", "cmp", "test")
_ONE: Final = ("inc", "dec", "neg", "not")
_SHIFTS: Final = ("shl", "shr", "sar", "rol", "ror")


class Random:
    """Writes instructions."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def _pick(self, among: tuple[str, ...]) -> str:
        return self._random.choice(among)

    def _register(self, size: int) -> str:
        return self._pick(_REGISTERS[size])

    def _immediate(self, size: int) -> str:
        few = (0, 1, 3, 0x80, 0x7F, 0xFF, 0x5500, 0x01010101, 0x80808080, 0xFFFFFFFF)
        return f"${self._random.choice(few) & ((1 << 8 * size) - 1)}"

    def _operand(self, size: int) -> str:
        return self._random.choice((self._register(size), f"{self._random.randrange(17)}(%ebx)"))

    def _sets_flags(self) -> str:
        size = self._random.choice((1, 2, 4, 4))
        name = self._pick(("add", "sub", "cmp", "test", "and", "or", "xor"))
        return f"{name}{_SUFFIXES[size]} {self._random.choice((self._register(size), self._immediate(size)))}, {self._register(size)}"

    def _uses_flags(self) -> str:
        size = self._random.choice((2, 4))
        condition = self._pick(_CONDITIONS)
        return self._random.choice((
            f"set{condition} {self._operand(1)}",
            f"cmov{condition} {self._operand(size)}, {self._register(size)}",
            f"{self._pick(('adc', 'sbb'))}l {self._register(4)}, {self._register(4)}",
            f"{self._pick(('rcl', 'rcr'))}{_SUFFIXES[size]} ${self._random.randrange(1, 9)}, {self._register(size)}",
            "sbbl %eax, %eax",
            f"pushf; popf; set{condition} %al",
        ))  # fmt: skip

    def instruction(self) -> str:
        """Return one, or two of which one uses the flags of the other."""
        pick, choose = self._pick, self._random.choice
        size = choose((1, 2, 4, 4))
        suffix, register = _SUFFIXES[size], self._register(size)
        wide = choose((2, 4))
        count = choose((f"${self._random.randrange(32)}", "%cl"))
        return choose((
            f"{pick(_TWO)}{suffix} {choose((register, self._immediate(size)))}, {self._operand(size)}",
            f"{pick(_TWO)}{suffix} {self._operand(size)}, {register}",
            f"{pick(_ONE)}{suffix} {self._operand(size)}",
            f"{pick(_SHIFTS)}{suffix} {count}, {self._operand(size)}",
            f"{pick(('shld', 'shrd'))}l {count}, {self._register(4)}, {self._register(4)}",
            f"imul{_SUFFIXES[wide]} {self._operand(wide)}, {self._register(wide)}",
            f"imull {self._immediate(4)}, {self._register(4)}, {self._register(4)}",
            f"{pick(('mul', 'imul'))}{suffix} {self._register(size)}",
            f"{pick(('movz', 'movs'))}{choose(('b', 'w'))}l {choose(('(%ebx)', '4(%ebx)', '9(%ebx)'))}, {self._register(4)}",
            f"bswap {self._register(4)}",
            f"xchg{suffix} {register}, {self._operand(size)}",
            f"xadd{suffix} {register}, {self._operand(size)}",
            f"{pick(('bts', 'btr', 'btc'))}l {choose((f'${self._random.randrange(32)}', self._register(4)))}, {self._register(4)}",
            f"btl {choose((f'${self._random.randrange(32)}', self._register(4)))}, {self._register(4)}; setb %al",
            f"{pick(('bsf', 'bsr'))}l {self._register(4)}, {self._register(4)}; setz %al",
            f"leal {choose(('4', '-1', '0'))}({self._register(4)},{self._register(4)},{choose((1, 2, 4, 8))}), {self._register(4)}",
            pick(("cbw", "cwtl", "cwtd", "cltd")),
            f"push {self._register(4)}; pop {self._register(4)}",
            f"{self._sets_flags()}; {self._uses_flags()}",
            f"{self._sets_flags()}; {self._uses_flags()}",
        ))  # fmt: skip

    def contents(self) -> bytes:
        return self._random.randbytes(21)


def program(seed: int) -> str:
    write = Random(seed)
    body = "; ".join(write.instruction() for _ in range(INSTRUCTIONS))
    return f"""
        movw    $0x1234, 4(%ebx)
        movb    $0x80, 11(%ebx)
        movl    $0x01020304, 12(%ebx)
        movl    (%ebx), %eax
        movl    4(%ebx), %ecx
        movl    $0x00ff00f0, %edx
        movl    8(%ebx), %esi
        {body}
        movl    %eax, out
        movl    %ecx, out + 4
        movl    %edx, out + 8
        movl    %esi, out + 12
        movl    (%ebx), %eax
        movl    %eax, out + 16
        movl    8(%ebx), %eax
        movl    %eax, out + 20
        movl    16(%ebx), %eax
        movl    %eax, out + 24
    """


@pytest.mark.parametrize("seed", range(40))
def test_what_counts_as_defined_depends_on_nothing_else(seed: int) -> None:
    image = assemble(
        GUEST.format(body=program(seed), block=BLOCK) + ".data\n.globl out\nout: .skip 32\n.text\n"
    )
    fill = Random(seed)
    results = []
    for _ in range(CONTENTS):
        machine = Machine(image)
        record(machine, FUNCTIONS)
        with machine.observers.check_accesses(ROLES, uninitialised=True) as checked:
            machine.memory.buffer[BLOCK : BLOCK + 21] = fill.contents()
            machine.run(timeout_s=60)
            out = symbol(machine, "out")
            results.append((machine.memory.read(out, OUT), checked.shadow(out, OUT)))
    for at in range(OUT):
        if any(not shadow[at] for _, shadow in results):
            assert len({memory[at] for memory, _ in results}) == 1, f"byte {at}"
    assert any(any(shadow) for _, shadow in results)
