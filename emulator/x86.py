"""The i386 in numbers: sizes, bits of registers, and vectors with their names.

Plain integers, as importing this is a part of every start. Nobody else in `emulator` repeats one of them. `kernel_model` has its own, as it imports nothing of the emulator.

Source: Intel SDM vol. 1, 3.4.3 (EFLAGS); vol. 3A, 2.2.1 (EFER), 2.5 (CR0, CR4), 6.3 to 6.15 (vectors, error codes, double faults).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

PAGE_SIZE: Final = 4096  # bytes
WORD_SIZE: Final = 4  # bytes
WORD_MAX: Final = 0xFFFF_FFFF
"""Largest unsigned word; what an address is masked with where arithmetic wraps."""

LONGEST_INSTRUCTION: Final = 15  # bytes


class Eflags:
    """Bits of EFLAGS."""

    CF: Final = 1 << 0
    ALWAYS_SET: Final = 1 << 1
    PF: Final = 1 << 2
    AF: Final = 1 << 4
    ZF: Final = 1 << 6
    SF: Final = 1 << 7
    TF: Final = 1 << 8
    IF: Final = 1 << 9
    DF: Final = 1 << 10
    OF: Final = 1 << 11
    VM: Final = 1 << 17


class Cr0:
    """Bits of CR0."""

    PE: Final = 1 << 0
    WP: Final = 1 << 16
    PG: Final = 1 << 31


class Cr4:
    """Bits of CR4."""

    PSE: Final = 1 << 4
    PAE: Final = 1 << 5


class Efer:
    """Bits of the MSR EFER."""

    NXE: Final = 1 << 11


class Vector:
    """Vectors of exceptions."""

    DIVIDE_ERROR: Final = 0
    DEBUG: Final = 1
    NMI: Final = 2
    BREAKPOINT: Final = 3
    OVERFLOW: Final = 4
    BOUND_RANGE: Final = 5
    INVALID_OPCODE: Final = 6
    NO_FPU: Final = 7
    DOUBLE_FAULT: Final = 8
    INVALID_TSS: Final = 10
    SEGMENT_NOT_PRESENT: Final = 11
    STACK_FAULT: Final = 12
    GENERAL_PROTECTION: Final = 13
    PAGE_FAULT: Final = 14
    FPU_ERROR: Final = 16
    ALIGNMENT_CHECK: Final = 17


EXCEPTION_NAMES: Final[Mapping[int, str]] = {
    Vector.DIVIDE_ERROR: "#DE divide error",
    Vector.DEBUG: "#DB debug exception",
    Vector.NMI: "NMI",
    Vector.BREAKPOINT: "#BP breakpoint",
    Vector.OVERFLOW: "#OF overflow",
    Vector.BOUND_RANGE: "#BR bound range exceeded",
    Vector.INVALID_OPCODE: "#UD invalid opcode",
    Vector.NO_FPU: "#NM no FPU",
    Vector.DOUBLE_FAULT: "#DF double fault",
    Vector.INVALID_TSS: "#TS invalid TSS",
    Vector.SEGMENT_NOT_PRESENT: "#NP segment not present",
    Vector.STACK_FAULT: "#SS stack fault",
    Vector.GENERAL_PROTECTION: "#GP general protection",
    Vector.PAGE_FAULT: "#PF page fault",
    Vector.FPU_ERROR: "#MF FPU error",
    Vector.ALIGNMENT_CHECK: "#AC alignment check",
}
"""Names of the exceptions, by vector (table 6-1)."""
