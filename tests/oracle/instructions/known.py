"""In what instructions differ that cannot be mended here, each with an example; docs/differences.md has the same list."""

from __future__ import annotations

import struct
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from tests.oracle.instructions.cases import disassembled
from tests.oracle.instructions.encodings import State

if TYPE_CHECKING:
    from tests.oracle.instructions.cases import Case
    from tests.oracle.instructions.machines import Difference


class Known(NamedTuple):
    """A difference.

    Attributes:
        name: Its heading in docs/differences.md.
        example: Code in hex that shows it.
        fields: In what it shows.
        mnemonics: Of which instructions; empty: any. None: random cases have none of them.
        ring: In which the example runs.
    """

    name: str
    example: str
    fields: frozenset[str]
    mnemonics: frozenset[str] | None = None
    ring: int = 0

    def explains(self, difference: Difference) -> set[str]:
        """Return the fields that differ for this reason."""
        if self.mnemonics is None:
            return set()
        names = {each.split()[0] for each in disassembled(difference.case.code, 0).split("; ")}
        return difference.causes & self.fields if not self.mnemonics or names & self.mnemonics else set()

    def case(self) -> Case:
        """Return a case of the example."""
        state = State(Random(1), (self.ring,))
        state.registers[:4] = [0x1234_0001, 0, 0x0050_4001, 0x5555_5555]
        state.registers[5] = 0x1234_5678
        state.eflags, state.segments, state.cr0 = 2, [0x23] * 4, 0
        state.data[:] = b"\x9c\x75\0\x88\x3c\xe4\x37\x7e" * 2 + b"\x7f" + bytes(15) + b"\xff" * 16 + _FLUSHED
        return state.case(self.name, bytes.fromhex(self.example))


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_FPU = _words("st0 sum_fpu data sum_data sum_data_2 sum_ring_0")
_STRING_PORT = _words("vector error eip cr2 data sum_data sum_data_2") | {
    f"page_{page}" for page in range(12)
}
_FLUSHED = struct.pack("<Iffi", 0x9F80, 1.2e-38, 0.5, -1)  # MXCSR with FTZ, and factors of a denormal

KNOWN = (
    Known("Exception flags of the FPU", "dd05e03f5000df1d00405000", _words("fpu_exceptions"), _words("")),
    Known("Exception flags of SSE", "0f1005e03f50000f51c0", _words("sse_exceptions"), _words("")),
    Known("Flush to zero", "0fae1510405000f30f100514405000f30f590518405000", _words("xmm0")),
    Known("Constants of the FPU", "d92d00405000d9ed", _FPU, _words("fldl2t fldl2e fldpi fldlg2 fldln2")),
    Known("Packed decimals", "dd05e03f5000df3500405000", _FPU, _words("fbld fbstp")),
    Known("FISTTP", "dd05e03f5000dd0d00405000", _FPU, _words("fisttp")),
    Known(
        "Functions that approximate", "dd05e03f5000d9f0", _FPU | {"fpu_exceptions", "fpu_status", "fpu_tags"}
    ),
    Known("Precision of loads", "d92df03f5000dd05e03f5000", _FPU),
    Known("Operands of SSE that are not aligned", "0f560501405000", _words("vector")),
    Known("OF after SHLD and SHRD", "0facd802", _words("eflags"), _words("shld shrd")),
    Known(
        "INS and OUTS without permission",
        "be004050006e",
        _STRING_PORT,
        _words("insb insw insd outsb outsw outsd rep"),
        3,
    ),
    Known("ENTER with 16-bit operands", "66c8640000", _words("ebp"), _words("enter")),
    Known("Flags after LOCK NEG", "f0f71d00405000", _words("eflags"), _words("lock")),
    Known("SMSW", "0f01e0", _words("eax"), _words("smsw")),
    Known("LOCK where it is not allowed", "f089c8", _words("vector")),
    Known("Invalid encodings", "c6c801", _words("vector")),
)


def unexplained(differences: list[Difference]) -> list[Difference]:
    """Return those that no known one explains whole."""
    return [
        each for each in differences if each.causes - set().union(*(known.explains(each) for known in KNOWN))
    ]
