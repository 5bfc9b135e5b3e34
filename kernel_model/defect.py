"""A broken rule of a structure in the guest's memory."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Defect:
    """One broken rule.

    Attributes:
        address: Physical address of the word that breaks the rule.
        field: What that word is, such as ``size`` or ``heap_end``; "" where the problem says it all.
        value: The word found there.
        problem: The rule, in words.
    """

    address: int
    field: str
    value: int
    problem: str

    def __str__(self) -> str:
        """One line, such as ``0x0010a000 size = 0x00000007: not a multiple of 8``."""
        if not self.field:
            return self.problem
        return f"0x{self.address:08x} {self.field} = 0x{self.value:08x}: {self.problem}"


class BrokenStructure(IndexError):
    """A model meets a word with which its C twin could not go on in a way that means anything. Nothing was written.

    Attributes:
        defect: The word, and what is wrong with it.
    """

    def __init__(self, defect: Defect) -> None:
        super().__init__(str(defect))
        self.defect = defect
