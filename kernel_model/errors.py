"""What a model raises where its C twin could not go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel_model.text import defect_text

if TYPE_CHECKING:
    from kernel_model.audit import Defect


class BrokenStructure(IndexError):
    """A model meets a word with which its C twin could not go on in a way that means anything. Nothing was written.

    Attributes:
        defect: The word, and what is wrong with it.
    """

    def __init__(self, defect: Defect) -> None:
        super().__init__(defect_text(defect))
        self.defect = defect
