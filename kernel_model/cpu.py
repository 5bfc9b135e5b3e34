"""What a model asks of the CPU besides memory.

Theory. Page tables lie in memory, and a model reads and writes them there like any other structure. Two things about them do
not: which of them are in use now (CR3), and the translations that the CPU still remembers (its TLB), which has to forget one
that a model has changed, as C code makes it do with ``invlpg``. `Cpu` is both, and no more.

Source: Intel SDM volume 3, 4.10 ("Caching translation information").
"""

from __future__ import annotations

from typing import Final, Protocol


class Cpu(Protocol):
    """The CPU that runs the kernel."""

    def page_directory(self) -> int:
        """Return the physical address of the page directory in use, from CR3; 0 while paging is off."""

    def forget_translation(self, linear: int) -> None:
        """Forget the translation of the page that a linear address is in. C: ``invlpg``."""

    def forget_translations(self) -> None:
        """Forget all translations. C: a load of CR3 with what it holds."""


class NoCpu:
    """Paging is off, and nothing is remembered: for models on plain bytes, and those that only read."""

    def page_directory(self) -> int:
        """See `Cpu.page_directory`."""
        return 0

    def forget_translation(self, linear: int) -> None:
        """See `Cpu.forget_translation`."""

    def forget_translations(self) -> None:
        """See `Cpu.forget_translations`."""


NO_CPU: Final = NoCpu()
"""What a model without a CPU works with."""
