"""Cases and their results, as bytes that the kernel in ``runner.S`` takes and leaves.

A case is an instruction, perhaps with some that load its operands, and the state in which it starts. The window is the
memory that it may use: pages that can be written, read-only ones, some of ring 0, with absent ones between them.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

WINDOW = 0x0050_0000
RESULTS = 0x0060_0000
CASES_MAX = 10_000
CODE, DATA, READ_ONLY, RING_0, STACK, READ_ONLY_RING_0 = (
    WINDOW + page * 4096 for page in (1, 3, 6, 7, 9, 11)
)
DATA_MIDDLE = DATA + 4096
"""Where the two pages of data meet; 32 bytes of operands lie before it and 32 after it."""
STACK_MIDDLE = STACK + 0x800
END = b"\xcd\x80"
"""What stands after the code of each case."""

_CONDITIONS_AND_TOP, _SSE_EXCEPTIONS = 0x7F00, 0x3F
_CASE = struct.Struct("<48s8IIIIIIIIII8xI64s64s")
_RESULT = struct.Struct("<7I8I4III4x8I12I32s16s16s8x64s64s16x")
_REGISTERS = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi")
assert (_CASE.size, _RESULT.size) == (256, 384)


class Case(NamedTuple):
    """An instruction and the state in which it starts.

    Attributes:
        kind: What the generator calls it.
        code: At most 48 bytes.
        registers: EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI.
        segments: ES, FS, GS, DS.
        cr0: Bits to change in CR0, in which WP, TS and EM are clear, and NE and MP are set.
        data: 64 bytes around `DATA_MIDDLE`.
        stack: 64 bytes from `STACK_MIDDLE` up.
    """

    kind: str
    code: bytes
    registers: tuple[int, ...]
    eflags: int
    eip: int
    ring: int
    segments: tuple[int, int, int, int]
    cr0: int
    fpu_control: int
    mxcsr: int
    data: bytes
    stack: bytes

    def pack(self) -> bytes:
        """Return the case as the runner takes it."""
        es, fs, gs, ds = self.segments
        return _CASE.pack(
            (self.code + END * 24)[:48],
            *self.registers,
            self.eflags,
            self.eip,
            0x1B if self.ring else 0x08,
            es,
            fs,
            gs,
            self.cr0,
            self.fpu_control,
            self.mxcsr,
            ds,
            self.data,
            self.stack,
        )

    def __str__(self) -> str:
        words = [f"{name} {value:08x}" for name, value in zip(_REGISTERS, self.registers, strict=True)]
        words += [f"eflags {self.eflags:x}", f"eip {self.eip:08x}", f"ring {self.ring}"]
        words += [
            f"{name} {value:x}" for name, value in zip(("es", "fs", "gs", "ds"), self.segments, strict=True)
        ]
        words += [f"cr0^{self.cr0:x} fcw {self.fpu_control:x} mxcsr {self.mxcsr:x}"]
        words += [f"data {self.data[:32].hex()} {self.data[32:].hex()} stack {self.stack[:16].hex()}"]
        return (
            f"{self.kind}: {disassembled(self.code, self.eip)}\n    {self.code.hex()}\n    {' '.join(words)}"
        )


def result_of(data: bytes) -> dict[str, int | bytes]:
    """Return what the runner left of a case, by name."""
    values = _RESULT.unpack(data)
    names = ["vector", "error", "eip", "cs", "eflags", "esp", "ss"]
    names += [
        "edi",
        "esi",
        "ebp",
        "handler_esp",
        "ebx",
        "edx",
        "ecx",
        "eax",
        "gs",
        "fs",
        "es",
        "ds",
        "cr2",
        "cr0",
    ]
    names += [
        f"sum_{name}" for name in ("code", "data", "data_2", "read_only", "ring_0", "stack", "gdt", "fpu")
    ]
    names += [f"page_{page}" for page in range(12)]
    names += ["fx", "st0", "xmm0", "data", "stack"]
    result: dict[str, int | bytes] = dict(zip(names, values, strict=True))
    fx = result.pop("fx")
    assert isinstance(fx, bytes)
    # SDM vol. 1, table 10-2; FIP and FDP are left out
    control, status, tags = struct.unpack_from("<HHB", fx)
    mxcsr = struct.unpack_from("<I", fx, 24)[0]
    result |= {"fpu_control": control, "fpu_status": status & _CONDITIONS_AND_TOP, "fpu_tags": tags}
    result |= {"fpu_exceptions": status & ~_CONDITIONS_AND_TOP}
    result |= {"mxcsr": mxcsr & ~_SSE_EXCEPTIONS, "sse_exceptions": mxcsr & _SSE_EXCEPTIONS}
    return result


RESULT_SIZE = _RESULT.size


def disassembled(code: bytes, address: int) -> str:
    """Return instructions as text, separated by semicolons."""
    import capstone

    lines = [
        f"{each.mnemonic} {each.op_str}".strip()
        for each in capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_32).disasm(code, address)
    ]
    return "; ".join(lines) or "no instruction"


def is_whole(code: bytes) -> bool:
    """Return whether there is nothing in *code* but instructions."""
    import capstone

    decoder = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_32)
    return int(sum(size for _, size, _, _ in decoder.disasm_lite(code, 0))) == len(code)


def first_size(code: bytes) -> int:
    """Return the bytes of the first instruction in *code*; 1 if it is none."""
    import capstone

    decoder = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_32)
    return next((size for _, size, _, _ in decoder.disasm_lite(code, 0, 1)), 1)


def goes_back(code: bytes) -> bool:
    """Tell whether a jump in *code* goes to itself or back: it may go on for ever."""
    import capstone

    decoder = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_32)
    return any(
        name.startswith(("j", "loop")) and operand[:1] == "0" and int(operand, 16) <= address
        for address, _, name, operand in decoder.disasm_lite(code, 0)
    )
