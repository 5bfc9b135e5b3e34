"""A made-up kernel with a model, with paging on: it changes entries of its page tables, and makes the CPU forget the old ones.

The first 4 MiB are mapped to themselves by one large page, the next 4 MiB by `window_table`: its first page to the frame `first`,
which holds `FIRST`; `second` holds `SECOND`. The 4 MiB at `LARGE` are the first 4 MiB again.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from emulator.hle import kernels
from emulator.hle.kernels import KERNELS, Kernel
from kernel_model.abi import Function
from kernel_model.audit import Location, variable
from kernel_model.cpu import NO_CPU
from tests.helpers.guest import FUNCTION, machine_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pytest

    from emulator.machine.machine import Machine
    from kernel_model.audit import Audit
    from kernel_model.cpu import Cpu
    from kernel_model.memory import Memory

WINDOW: Final = 0x0040_0000
LARGE: Final = 0x0080_0000
FIRST, SECOND = 0x1111, 0x2222
LAYER_SYMBOLS: Final = MappingProxyType({"tables": ("window_table", "directory")})
ENTRY: Final = Kernel("Paging", ("tables",), "tables", "tests.helpers.paging_kernel", "PagingModels")
_SOURCE: Final = """
        .globl  window_table, directory, entry_set, directory_set
        movl    $0x83, directory
        movl    $window_table + 7, directory + 4
        movl    $0x83, directory + 8
        movl    $first + 7, window_table
        movl    $0x1111, first
        movl    $0x2222, second
        paging  directory
        {body}
        hlt
        function entry_set              # the old entry of a page of the window
        {first}
        movl    4(%esp), %ecx
        movl    8(%esp), %edx
        movl    window_table(, %ecx, 4), %eax
        movl    %edx, window_table(, %ecx, 4)
        shll    $12, %ecx
        addl    $0x400000, %ecx
        invlpg  (%ecx)
        {extra}
        ret
        ends    entry_set
        function directory_set
        movl    4(%esp), %ecx
        movl    8(%esp), %edx
        movl    directory(, %ecx, 4), %eax
        movl    %edx, directory(, %ecx, 4)
        movl    %cr3, %ecx
        movl    %ecx, %cr3
        {extra}
        ret
        ends    directory_set
        .bss
        .balign 4096
directory:
        .skip   4096
window_table:
        .skip   4096
first:  .skip   4096
second: .skip   4096
"""


class PagingModels:
    """See `emulator.hle.kernels.Models`.

    Attributes:
        asks: Whether the models make the CPU forget what they change.
        directories: What the CPU said is in use, at each call.
    """

    asks = True
    directories: Final[list[int]] = []

    def __init__(
        self, memory: Memory, symbols: Mapping[str, int], _console: Callable[[str], None], cpu: Cpu = NO_CPU
    ) -> None:
        self._memory = memory
        self._cpu = cpu
        self._table, self._directory = symbols["window_table"], symbols["directory"]
        signature = "u32 {}(u32 index, u32 entry)"
        self.functions = {
            name: Function(name, "tables", signature.format(name), 2, "u32", call)
            for name, call in (("entry_set", self.set_entry), ("directory_set", self.set_directory))
        }

    def set_entry(self, index: int, entry: int) -> int:
        self.directories.append(self._cpu.page_directory())
        old = self._exchange(self._table + 4 * index, entry)
        if self.asks:
            self._cpu.forget_translation(WINDOW + (index << 12) + 0x123)
        return old

    def set_directory(self, index: int, entry: int) -> int:
        self.directories.append(self._cpu.page_directory())
        old = self._exchange(self._directory + 4 * index, entry)
        if self.asks:
            self._cpu.forget_translations()
        return old

    def _exchange(self, at: int, entry: int) -> int:
        old = self._memory.load_u32(at)
        self._memory.store_u32(at, entry)
        return old

    def locate(self, address: int, size: int = 1) -> Location | None:  # noqa: ARG002 - as the protocol has it
        for name, start in (("window_table", self._table), ("directory", self._directory)):
            if 0 <= address - start < 4096:
                return variable(name, start, 4096)
        return None

    def linear(self, address: int) -> int:
        return address

    def audits(self, memory_size: int) -> Sequence[Audit]:  # noqa: ARG002 - as the protocol has it
        return ()


def paging_machine(body: str, *, first: str = "", extra: str = "", **description: Any) -> Machine:  # noqa: ANN401 - the keywords of Machine
    """Return a machine with the kernel loaded.

    Args:
        body: What it does once paging is on.
        first: What `entry_set` does at its beginning, besides.
        extra: What both functions do before their `ret`, besides.
        description: Of the machine.
    """
    return machine_of(FUNCTION + _SOURCE.format(body=body, first=first, extra=extra), **description)


def register(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the registry know the kernel."""
    monkeypatch.setattr(kernels, "KERNELS", (*KERNELS, ENTRY))
    monkeypatch.setattr(PagingModels, "asks", True)
    PagingModels.directories.clear()
