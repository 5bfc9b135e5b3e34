"""The CPU as a model sees it whose work is only compared, while the native code does the same in earnest."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emulator.machine.machine import Machine


class SilentCpu:
    """The guest's CPU for models in lockstep, see `kernel_model.cpu.Cpu`: what the CPU forgets is the native code's to say.

    Args:
        machine: Has the CPU.
    """

    __slots__ = ("page_directory",)

    def __init__(self, machine: Machine) -> None:
        self.page_directory = machine.cpu.page_directory

    def forget_translation(self, linear: int) -> None:
        """See `Cpu.forget_translation`; nothing happens."""

    def forget_translations(self) -> None:
        """See `Cpu.forget_translations`; nothing happens."""
