"""The disassembler of the guest's code. It is slow to import, so that is done at its first use."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from capstone import Cs


@cache
def disassembler(bits: int = 32, *, detail: bool = False) -> Cs:
    """Return the disassembler of code of 32 or 16 bits. A run that is stopped at many events asks often.

    Args:
        bits: 32 or 16.
        detail: It describes operands, too, which takes longer.
    """
    from capstone import CS_ARCH_X86, CS_MODE_16, CS_MODE_32, Cs

    opened = Cs(CS_ARCH_X86, CS_MODE_32 if bits == 32 else CS_MODE_16)  # noqa: PLR2004 - bits
    opened.detail = detail
    return opened
