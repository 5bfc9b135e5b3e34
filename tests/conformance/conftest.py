"""The subjects of the conformance suite: every contract of LiteCore is tested on the model and on the firmware."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import pytest

from kernel_model.litecore.abi import LiteCore
from kernel_model.litecore.boot import BootSettings
from kernel_model.memory import ByteMemory
from tests.helpers.strict_call import strict_call

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from emulator.testing import Kernel
    from kernel_model.memory import Memory

RESULT_MASKS: Final = {"void": 0, "bool": 0xFF, "int": 0xFFFFFFFF, "u32": 0xFFFFFFFF, "pointer": 0xFFFFFFFF}
LOCKS: Final = ("memmap_lock", "heap_lock", "paging_lock", "vspace_lock")


class Subject(Protocol):
    """A kernel right after ``memory_init()`` with the default settings, whose functions can be called."""

    @property
    def memory(self) -> Memory:
        """Its memory: the first 640 KiB and 0x00100000 up to at least 0x00500000."""

    @property
    def symbols(self) -> Mapping[str, int]:
        """Addresses of the C names: globals, ``__end`` and, on the firmware, functions."""

    @property
    def console(self) -> str:
        """Everything printed since then."""

    def call(self, name: str, *arguments: int) -> int:
        """Call a C function with 32-bit arguments and return EAX, unsigned (0 for void)."""


class ModelSubject:
    """The models on plain bytes, laid out as the linker and the boot code of the firmware do."""

    GLOBALS: Final = (
        "memory_window_start",
        "memory_window_end",
        "heap_bytes",
        "vspace_start",
        "vspace_end",
        "vspace_ranges",
        "vspace_error_count",
        "vspace_lock",
        "page_directory",
        "paging_lock",
        "heap_lock",
        "heap_error_count",
        "heap_free_list",
        "heap_end",
        "heap_start",
        "memmap_lock",
        "memmap",
    )
    FIRST_GLOBAL: Final = 0x0010_A2E4
    VSPACE: Final = (0xC000_0000, 0xE000_0000)
    IMAGE_END: Final = 0x0010_A35D  # not aligned, so that the bitmap's rounding shows

    def __init__(self) -> None:
        self.symbols: Mapping[str, int] = {
            name: self.FIRST_GLOBAL + 4 * index for index, name in enumerate(self.GLOBALS)
        } | {"__end": self.IMAGE_END}
        self._lines: list[str] = []
        self.memory: Memory = ByteMemory(0, 0x0050_0000)
        self._litecore = LiteCore(self.memory, self.symbols, self._lines.append)
        for name, value in BootSettings()._asdict().items():
            self.memory.store_u32(self.symbols[name], value)
        self.memory.store_words(self.symbols["vspace_start"], self.VSPACE)
        self.call("memory_init")

    @property
    def console(self) -> str:
        return "".join(self._lines)

    def call(self, name: str, *arguments: int) -> int:
        if name == "memory_init":
            settings = (self.memory.load_u32(self.symbols[field]) for field in BootSettings._fields)
            self._litecore.memory_init(BootSettings(*settings))
            return 0
        return self._litecore.functions[name].call(*arguments)


class FirmwareSubject:
    """The C code, called in the emulator on a kernel that has got as far as `memory_init`, with interrupts on in every second call.

    Args:
        kernel: It stands where `memory_init` begins; the plugin puts it back before each test.
    """

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._interrupts = False
        strict_call(kernel.machine, "memory_init")
        self.memory: Memory = kernel.machine.memory
        self.symbols = {name: symbol.address for name, symbol in kernel.machine.image.symbols.items()}
        self._results = {
            function.name: function.result
            for function in LiteCore(self.memory, self.symbols, lambda _text: None).functions.values()
        }

    @property
    def console(self) -> str:
        return self._kernel.console

    def call(self, name: str, *arguments: int) -> int:
        self._interrupts = not self._interrupts
        eax = strict_call(self._kernel.machine, name, *arguments, interrupts=self._interrupts)
        return eax & RESULT_MASKS[self._results.get(name, "void")]


@pytest.fixture
def model() -> Subject:
    return ModelSubject()


@pytest.fixture
def firmware(kernel: Kernel) -> Subject:
    return FirmwareSubject(kernel)


# Tests leave heaps that only they understand.
FIRMWARE: Final = pytest.mark.kmemu(
    kernel="firmware:demo", boot_until="memory_init", walk_heap=False, check=False
)


# It alone is linked with LiteCore's virtual memory.
PAGED_FIRMWARE: Final = pytest.mark.kmemu(
    kernel="firmware:paging_demo", boot_until="memory_init", walk_heap=False, check=False
)


@pytest.fixture(params=["model", pytest.param("firmware", marks=FIRMWARE)])
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    """Return the subject, fresh; afterwards no lock may be held."""
    yield from unlocked(request.getfixturevalue(request.param))


@pytest.fixture(params=["model", pytest.param("firmware", marks=PAGED_FIRMWARE)])
def paged(request: pytest.FixtureRequest) -> Iterator[Subject]:
    """Return a subject that has virtual memory, fresh; afterwards no lock may be held."""
    yield from unlocked(request.getfixturevalue(request.param))


def unlocked(subject: Subject) -> Iterator[Subject]:
    yield subject
    locks = [name for name in LOCKS if name in subject.symbols]
    assert [name for name in locks if subject.memory.load_u32(subject.symbols[name]) != 0] == []
