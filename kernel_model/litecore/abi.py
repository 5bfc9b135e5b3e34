"""LiteCore's calls as the guest's C code makes them.

Theory. The models speak Python: they raise, and answer None. The guest knows 32-bit words only. This is the one module
where the two meet: arguments and results are unsigned 32-bit values, an `InvalidFree` is the C code's -1, None is
``FRAME_NONE``. It is also where symbols of the kernel ELF become the models' addresses.

Source: `kernel_model.abi`; spec 1.2 and 1.3 (the tables of calls).
"""

from __future__ import annotations

from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from kernel_model.abi import Function, MissingSymbols
from kernel_model.cpu import NO_CPU
from kernel_model.frames import FRAME_BYTES
from kernel_model.litecore import boot
from kernel_model.litecore.heap import Heap
from kernel_model.litecore.heap_layout import HeapAddresses
from kernel_model.litecore.memmap import InvalidFree, Memmap
from kernel_model.litecore.symbols import HEAP_SYMBOLS, LAYER_SYMBOLS, PAGING_SYMBOLS, VSPACE_SYMBOLS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from kernel_model.audit import Audit, Location
    from kernel_model.cpu import Cpu
    from kernel_model.litecore.paging import Paging
    from kernel_model.litecore.vspace import VirtualSpace
    from kernel_model.memory import Memory

FRAME_NONE: Final = 0xFFFF_FFFF
ERROR: Final = 0xFFFF_FFFF
"""-1 as an unsigned word: what ``free_frame`` and ``free_frames`` return for `InvalidFree`."""

MEM_TYPE_HEAP: Final = 0
MEM_TYPE_FRAME: Final = 1

_SETTINGS: Final = boot.BootSettings._fields


class LiteCore:
    """The models of all layers of one kernel, on its memory and its symbols.

    Args:
        memory: Guest memory, or an overlay over it.
        symbols: Addresses by the names of the C code; `LAYER_SYMBOLS` lists those that must be there.
        console: Receives what the C code would print.
        cpu: Runs the kernel.

    Attributes:
        memmap: The frame allocator.
        heap: The kernel heap.

    Raises:
        MissingSymbols: *symbols* lacks some.
    """

    def __init__(
        self,
        memory: Memory,
        symbols: Mapping[str, int],
        console: Callable[[str], None],
        cpu: Cpu = NO_CPU,
    ) -> None:
        missing = tuple(name for name in LAYER_SYMBOLS["heap"] if name not in symbols)
        if missing:
            raise MissingSymbols(missing)
        self._memory = memory
        self._symbols = symbols
        self._cpu = cpu
        self._console = console
        self.memmap = Memmap(memory, symbols["memmap"], symbols["memmap_lock"], symbols["__end"])
        self.heap = Heap(memory, HeapAddresses(*(symbols[name] for name in HEAP_SYMBOLS)), console)

    @cached_property
    def functions(self) -> Mapping[str, Function]:
        """Everything that can be called, by name."""
        functions = (
            *self._memmap_functions(),
            *self._heap_functions(),
            *self._other_functions(),
            *self._virtual_functions(),
        )
        return MappingProxyType({each.name: each for each in functions})

    @cached_property
    def paging(self) -> Paging | None:
        """Page directory and tables; None: the kernel has no such thing."""
        if not self._has("paging"):
            return None
        from kernel_model.litecore.paging import Paging, PagingAddresses  # few runs need it

        symbols = self._symbols
        addresses = PagingAddresses(*(symbols[name] for name in (*PAGING_SYMBOLS, "heap_end")))
        return Paging(self._memory, addresses, self.memmap, self._cpu)

    @cached_property
    def vspace(self) -> VirtualSpace | None:
        """Ranges of address space; None: the kernel has no such thing."""
        if not self._has("vspace"):
            return None
        from kernel_model.litecore.vspace import VirtualSpace, VspaceAddresses  # few runs need it

        addresses = VspaceAddresses(*(self._symbols[name] for name in VSPACE_SYMBOLS))
        return VirtualSpace(self._memory, addresses, self.memmap, self.heap)

    def memory_init(self, settings: boot.BootSettings) -> None:
        """Bring up frames and heap as the kernel does at boot. C: ``memory_init``."""
        boot.memory_init(self.memmap, self.heap, self._symbols["__end"], settings)

    def locate(self, address: int, size: int = 1) -> Location | None:
        """Return what lies at *address*; see `kernel_model.litecore.locate.locate`."""
        from kernel_model.litecore.locate import locate  # not every run needs it

        return locate(address, size, self._symbols, self)

    def linear(self, address: int) -> int:
        """Return what the kernel calls a physical address: the same."""
        return address

    def audits(self, memory_size: int) -> tuple[Audit, ...]:
        """Return the audits of all structures; see `kernel_model.litecore.audits`.

        Args:
            memory_size: Bytes of guest memory.
        """
        from kernel_model.litecore.audits import audits  # only a check needs it

        return (
            *audits(self._memory, memory_size, self._symbols, self.heap, self.memmap),
            *self._virtual_audits(),
        )

    def any_lock_held(self) -> bool:
        """Return whether the kernel is in the middle of changing a structure."""
        from kernel_model.litecore.audits import any_lock_held  # only a check needs it

        return any_lock_held(self._memory, self._symbols)

    def _has(self, layer: str) -> bool:
        """Return whether the kernel has what the model of a layer needs."""
        return all(name in self._symbols for name in LAYER_SYMBOLS[layer])

    def _virtual_functions(self) -> Iterator[Function]:
        """Yield the calls of paging and address space, as far as the kernel has them."""
        if self.paging is None:
            return
        from kernel_model.litecore import virtual_abi  # see `paging`

        yield from virtual_abi.paging_functions(self.paging)
        if self.vspace is not None:
            from kernel_model.litecore.vmalloc import Vmalloc

            vmalloc = Vmalloc(self.vspace, self.memmap, self.paging, self._console)
            yield from virtual_abi.vspace_functions(self.vspace, vmalloc)

    def _virtual_audits(self) -> Iterator[Audit]:
        vspace = self.vspace
        if vspace is not None:
            from kernel_model.audit import Audit  # see `audits`
            from kernel_model.litecore.vspace_audit import AREAS, range_defects

            yield Audit("vspace", AREAS, lambda: list(range_defects(vspace)))

    def _memmap_functions(self) -> tuple[Function, ...]:
        memmap, address = self.memmap, self._symbols["memmap"]

        def memmap_init(start: int, end: int) -> int:
            memmap.init(start, end)
            return 0

        def alloc_frame() -> int:
            frame = memmap.alloc_frame()
            return FRAME_NONE if frame is None else frame

        def alloc_frames(count: int) -> int:
            frame = memmap.alloc_frames(count)
            return FRAME_NONE if frame is None else frame

        def free_frames(first: int, count: int = 1) -> int:
            try:
                memmap.free_frames(first, count)
            except InvalidFree:
                return ERROR
            return 0

        def memmap_reserve(start: int, end: int) -> int:
            memmap.reserve(start, end)
            return 0

        def memmap_get() -> int:
            return address

        return (
            Function(
                "memmap_init",
                "memmap",
                "void memmap_init(uint32_t start, uint32_t end)",
                2,
                "void",
                memmap_init,
            ),
            Function("alloc_frame", "memmap", "uint32_t alloc_frame(void)", 0, "u32", alloc_frame),
            Function(
                "alloc_frames", "memmap", "uint32_t alloc_frames(uint32_t count)", 1, "u32", alloc_frames
            ),
            Function("free_frame", "memmap", "int free_frame(uint32_t frame)", 1, "int", free_frames),
            Function(
                "free_frames",
                "memmap",
                "int free_frames(uint32_t first, uint32_t count)",
                2,
                "int",
                free_frames,
            ),
            Function(
                "memmap_reserve",
                "memmap",
                "void memmap_reserve(uint32_t start, uint32_t end)",
                2,
                "void",
                memmap_reserve,
            ),
            Function("memmap_get", "memmap", "const memmap_t *memmap_get(void)", 0, "pointer", memmap_get),
            Function(
                "memmap_free_count", "memmap", "uint32_t memmap_free_count(void)", 0, "u32", memmap.free_count
            ),
        )

    def _other_functions(self) -> Iterator[Function]:
        """Yield what is no interface of a layer, but whose effect is known, as far as the kernel has it."""
        memmap, memory, symbols = self.memmap, self._memory, self._symbols

        def memory_init() -> int:
            self.memory_init(boot.BootSettings(*(memory.load_u32(symbols[name]) for name in _SETTINGS)))
            return 0

        def memmap_has_run(count: int) -> int:
            return int(memmap.has_run(count))

        if "memmap_has_run" in symbols:
            signature = "bool memmap_has_run(uint32_t count)"
            yield Function("memmap_has_run", "memmap", signature, 1, "bool", memmap_has_run)
        if all(name in symbols for name in ("memory_init", *_SETTINGS)):
            signature = "void memory_init(void)"
            yield Function("memory_init", "heap", signature, 0, "void", memory_init, replaces=False)

    def _heap_functions(self) -> tuple[Function, ...]:
        memmap, heap = self.memmap, self.heap

        def mem_init(start: int, end: int) -> int:
            heap.init(start, end)
            return 0

        def kfree(pointer: int) -> int:
            heap.kfree(pointer)
            return 0

        def mem_has_space(kind: int, size: int) -> int:
            if kind == MEM_TYPE_HEAP:
                return int(heap.has_space(size))
            return int(kind == MEM_TYPE_FRAME and memmap.has_run(-(-size // FRAME_BYTES)))

        return (
            Function("mem_init", "heap", "void mem_init(uint32_t start, uint32_t end)", 2, "void", mem_init),
            Function("kmalloc", "heap", "void *kmalloc(uint32_t size)", 1, "pointer", heap.kmalloc),
            Function("kfree", "heap", "void kfree(void *p)", 1, "void", kfree),
            Function(
                "mem_has_space",
                "heap",
                "bool mem_has_space(mem_type_t type, uint32_t size)",
                2,
                "bool",
                mem_has_space,
            ),
        )
