"""Bind models to a machine: the symbols, arguments and call sites of the guest functions that they stand in for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from emulator.errors import GuestStopped, missing_symbols
from emulator.hle.kernels import addresses
from emulator.wording import code_location
from emulator.x86 import PAGE_SIZE, WORD_SIZE
from kernel_model.memory import WORD_STRUCTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.hle.kernels import Kernel, Models
    from emulator.loader.elf.symbols import Symbol
    from emulator.machine.machine import Machine
    from kernel_model.abi import Function
    from kernel_model.cpu import Cpu
    from kernel_model.memory import Memory


@dataclass(frozen=True)
class Bound:
    """A machine, and the kernel with models that it runs."""

    machine: Machine
    kernel: Kernel

    def models(
        self, memory: Memory, console: Callable[[str], None] | None = None, cpu: Cpu | None = None
    ) -> Models:
        """Return the models on *memory*. What they print goes to *console*, by default the guest's, and *cpu* is the machine's."""
        machine = self.machine
        console = console or machine.consoles.print_for_guest
        return self.kernel.models(memory, self._symbols, console, cpu or machine.cpu)

    @cached_property
    def _symbols(self) -> dict[str, int]:
        return addresses(self.machine)

    def symbol(self, name: str) -> Symbol:
        """Return the symbol of a function.

        Raises:
            KernelMismatch: The kernel has none.
        """
        symbol = self.machine.image.symbol(name)
        if symbol is None:
            raise missing_symbols(self.machine.image.path, [name], f"kernel {self.kernel.name}")
        return symbol

    @cached_property
    def own_functions(self) -> frozenset[str]:
        """Names of the functions of the kernel's memory management, which make calls on behalf of others."""
        from emulator.profile.known import KNOWN_PROFILES, known_profile  # only for errors

        profiles = [known_profile(name) for name in KNOWN_PROFILES]
        public = [each.name for one in profiles if one.name == self.kernel.name for each in one.functions]
        return frozenset([*self.models(self.machine.memory).functions, *public])

    @cached_property
    def own_files(self) -> frozenset[str]:
        """The source files in which these functions are, as far as they are known."""
        image = self.machine.image
        symbols = [symbol for name in self.own_functions if (symbol := image.symbol(name)) is not None]
        return frozenset(image.location(symbol.address).file for symbol in symbols) - {""}


def stack_words(machine: Machine, esp: int, count: int) -> tuple[int, ...]:
    """Return *count* words from ESP upwards: at a function's entry the return address, then its arguments.

    Raises:
        GuestStopped: The stack is not in memory.
    """
    size = WORD_SIZE * count
    if (esp & PAGE_SIZE - 1) + size <= PAGE_SIZE:
        physical = machine.translate(esp)
        if physical is not None and physical + size <= len(machine.memory):
            return machine.memory.load_words(physical, count)
    data = machine.read_linear(esp, size)
    if len(data) < size:
        eip = machine.registers().eip
        raise GuestStopped(
            f"the stack at 0x{esp:08x} is not in memory", eip, code_location(*machine.image.location(eip))
        )
    return WORD_STRUCTS[count].unpack(data)


def call_text(function: Function, arguments: tuple[int, ...]) -> str:
    """Return a call as text, such as ``kmalloc(0x00000040)``."""
    return f"{function.name}({', '.join(f'0x{word:08x}' for word in arguments)})"


def caller_of(bound: Bound, esp: int, ebp: int) -> str:
    """Return where a call comes from, as text: the first call site outside the kernel's memory management.

    What lies between two functions of memory management, in a source file of theirs, is a part of it.

    Args:
        bound: The machine is in the call.
        esp: Where the return address lies.
        ebp: What EBP was at the function's entry.
    """
    from emulator.machine.call_stack import callers_of_call  # only for errors

    image, outside = bound.machine.image, 0
    call_sites = [
        image.call_site(address) for address in callers_of_call(bound.machine, esp, ebp).return_addresses
    ]
    for level, call_site in enumerate(call_sites, 1):
        if call_site.function in bound.own_functions:
            outside = level
        elif call_site.file not in bound.own_files:
            break
    return code_location(*call_sites[min(outside, len(call_sites) - 1)]) if call_sites else ""
