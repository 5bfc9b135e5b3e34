"""A made-up kernel with a model: an allocator that counts how many of its four slots are taken.

`ENTRY` is all that the registry needs to know of it; this module has its parts.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from emulator.guest.memory_map.memory_map import MemoryMap
from emulator.hle.kernels import Kernel
from emulator.profile.functions import Result, Role, TracedFunction
from emulator.profile.model import Profile
from kernel_model.abi import Function
from kernel_model.audit import Audit, Defect, Invariant, Location, variable
from kernel_model.cpu import NO_CPU

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from emulator.guest.memory_map.regions import Region
    from emulator.machine.machine import Machine
    from kernel_model.cpu import Cpu
    from kernel_model.memory import Memory

SLOTS: Final = 4
FULL: Final = 0xFFFF_FFFF
LAYER_SYMBOLS: Final = MappingProxyType({"slots": ("slot_count",)})
ERROR_NAMES: Final = MappingProxyType({FULL: "E_FULL"})
PROFILE: Final = Profile(
    "Slots", (TracedFunction("slot_take", "slots", Role.OTHER, ("unused",), Result.ERROR),)
)
ENTRY: Final = Kernel(
    "Slots",
    ("slots",),
    "slots",
    "tests.helpers.slot_kernel",
    "SlotModels",
    error_numbers="tests.helpers.slot_kernel:ERROR_NAMES",
    memory_map="tests.helpers.slot_kernel:read_map",
)
SOURCE: Final = """
        .globl  slot_take, slot_count
        pushl   $0
        call    slot_take
        BREAK
        call    slot_take
        exit    0
        function slot_take
        incl    slot_count
        movl    $0, %eax
        ret
        ends    slot_take
        .data
        .type   slot_count, @object
        .size   slot_count, 4
slot_count: .long 0
        .text
"""

_COUNT: Final = Invariant("slot-count", "there are 4 slots")


class SlotModels:
    """See `emulator.hle.kernels.Models`."""

    def __init__(
        self, memory: Memory, symbols: Mapping[str, int], _console: Callable[[str], None], _cpu: Cpu = NO_CPU
    ) -> None:
        self._memory = memory
        self.address = symbols["slot_count"]
        take = Function("slot_take", "slots", "int slot_take(int unused)", 1, "int", self.take, ERROR_NAMES)
        self.functions = {"slot_take": take}

    def take(self, _unused: int) -> int:
        count = self._memory.load_u32(self.address)
        if count == SLOTS:
            return FULL
        self._memory.store_u32(self.address, count + 1)
        return 0

    def locate(self, address: int, size: int = 1) -> Location | None:  # noqa: ARG002 - as the protocol has it
        return variable("slot_count", self.address) if 0 <= address - self.address < 4 else None

    def linear(self, address: int) -> int:
        return address

    def audits(self, memory_size: int) -> Sequence[Audit]:  # noqa: ARG002 - as the protocol has it
        return (Audit("slots", ("slots",), self._defects),)

    def _defects(self) -> list[Defect]:
        count = self._memory.load_u32(self.address)
        if count <= SLOTS:
            return []
        return [Defect(_COUNT, "slots", variable("slot_count", self.address), count)]


def read_map(machine: Machine, models: SlotModels, image: list[Region], modules: list[Region]) -> MemoryMap:
    ram = (machine.ram.start, machine.ram.end)
    return MemoryMap(ram, (*image, *modules), notes=(f"slot_count lies at 0x{models.address:08x}",))
