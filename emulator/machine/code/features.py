"""Which part of a CPU an instruction belongs to that not every CPU has, to name what a kernel needs and kmemu lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emulator.loader.functions.disassembler import disassembler
from emulator.x86 import LONGEST_INSTRUCTION

if TYPE_CHECKING:
    from emulator.machine.core.core_types import Registers

_OSFXSR: Final = 1 << 9  # of CR4

_BY_GROUP: Final = {
    "vm": "virtualization",
    "sse3": "SSE3",
    "ssse3": "SSSE3",
    "sse41": "SSE4.1",
    "sse42": "SSE4.2",
    "sse4a": "SSE4a",
    "aes": "AES-NI",
    "pclmul": "PCLMULQDQ",
    "sha": "SHA",
    "avx": "AVX",
    "avx2": "AVX2",
    "avx512": "AVX-512",
    "fma": "FMA",
    "f16c": "F16C",
    "bmi": "BMI1",
    "bmi2": "BMI2",
    "adx": "ADX",
    "fsgsbase": "FSGSBASE",
    "rtm": "transactional memory",
    "hle": "transactional memory",
    "xop": "XOP",
    "tbm": "TBM",
}
_BY_MNEMONIC: Final = {
    "monitor": "MONITOR/MWAIT",
    "mwait": "MONITOR/MWAIT",
    "xgetbv": "XSAVE",
    "xsetbv": "XSAVE",
    "xsave": "XSAVE",
    "xrstor": "XSAVE",
    "xsavec": "XSAVE",
    "xsaveopt": "XSAVE",
    "xsaves": "XSAVE",
    "xrstors": "XSAVE",
    "rdpid": "RDPID",
    "rdtscp": "RDTSCP",
    "rdrand": "RDRAND",
    "rdseed": "RDSEED",
    "popcnt": "POPCNT",
    "movbe": "MOVBE",
    "invpcid": "INVPCID",
    "clflush": "CLFLUSH",
    "clflushopt": "CLFLUSH",
    "clwb": "CLFLUSH",
    "rdfsbase": "FSGSBASE",
    "rdgsbase": "FSGSBASE",
    "wrfsbase": "FSGSBASE",
    "wrgsbase": "FSGSBASE",
    "clac": "SMAP",
    "stac": "SMAP",
    "skinit": "virtualization",
    "clgi": "virtualization",
    "stgi": "virtualization",
    "invept": "virtualization",
    "invvpid": "virtualization",
}

_PREFIXES: Final = b"\x26\x2e\x36\x3e\x64\x65\x66\x67\xf2\xf3"
_ESCAPE: Final = 0x0F
_SSSE3: Final = {0x38: (*range(0x0C), *range(0x1C, 0x1F)), 0x3A: (0x0F,)}


def feature_of(code: bytes, registers: Registers) -> str:
    """Return what an undefined instruction needs of a CPU, and its name; "": it is undefined everywhere, or as the CPU is set up.

    Args:
        code: The instruction's bytes (and what follows), of 32-bit code.
        registers: At the instruction.
    """
    for instruction in disassembler(detail=True).disasm(code[:LONGEST_INSTRUCTION], 0, 1):
        name = instruction.mnemonic.split()[-1]
        groups = [instruction.group_name(group) for group in instruction.groups]
        feature = _BY_MNEMONIC.get(name) or next(
            (_BY_GROUP[each] for each in groups if each in _BY_GROUP), ""
        )
        feature = feature or _by_name(name) or _by_opcode(instruction.bytes)
        is_off = (
            feature.startswith(("SSE", "SSSE")) and not registers.cr4 & _OSFXSR
        )  # by the kernel (SDM vol. 2A, 2.4)
        return f"{feature}: {name}" if feature and not is_off else ""
    return ""


def _by_name(name: str) -> str:
    if name.startswith(("vfm", "vfnm")):
        return "FMA"
    return "virtualization" if name.startswith("vm") else ""


def _by_opcode(code: bytes) -> str:
    """Return the feature of instructions that the disassembler puts into no group: those after 0F 38 and 0F 3A (SDM vol. 2D, A.3)."""
    escape, first, second = (*code.lstrip(_PREFIXES), 0, 0, 0)[:3]
    if escape != _ESCAPE or first not in _SSSE3:
        return ""
    return "SSSE3" if second in _SSSE3[first] else "SSE4.1"
