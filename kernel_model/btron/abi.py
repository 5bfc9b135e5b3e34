"""BTRON/386's calls as the guest's C code makes them.

Theory. Only what never blocks is modelled: the layers ``pmem`` and ``kmem``, and of the memory pools the inner functions, which
the public calls wrap with a wait and a dispatch, and of the layer ``regions`` the public calls. They run with interrupts off. An ``ER`` is a `BtronError` turned
into its number, or E_OK, or `E_WAITING` where the current task now stands in a queue. IDs, sizes and times are
signed in C, pointers are kernel addresses; all come and go as unsigned words.

Source: `kernel_model.abi`; spec 2.2 to 2.5 (the tables of calls).
"""

from __future__ import annotations

from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from kernel_model.abi import Function, MissingSymbols
from kernel_model.audit import BrokenStructure
from kernel_model.btron.answers import answers_er, er, er_or_waiting, signed
from kernel_model.btron.kernel_globals import Globals
from kernel_model.btron.kernel_space import physical, virtual
from kernel_model.btron.kmem import Kmem
from kernel_model.btron.pmem import Pmem
from kernel_model.btron.pools.mpf import FixedPools
from kernel_model.btron.pools.mpl import VariablePools
from kernel_model.btron.pools.table import POOL_IDS
from kernel_model.btron.symbols import LAYER_SYMBOLS
from kernel_model.btron.tasks import Tasks
from kernel_model.btron.tcb import WaitKind
from kernel_model.cpu import NO_CPU

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kernel_model.audit import Audit, Location
    from kernel_model.btron.spaces import Spaces
    from kernel_model.cpu import Cpu
    from kernel_model.memory import Memory

_REGIONS: Final = ("space_table", "page_directory")
"""What the layer ``regions`` needs besides, which older kernels lack."""


class Btron:
    """The models of all layers of one kernel, on its memory and its symbols.

    Args:
        memory: Physical guest memory, or an overlay over it.
        symbols: Addresses by the names of the C code, virtual as they are linked; `LAYER_SYMBOLS` lists those that
            must be there.
        console: Would receive what the C code prints. It prints nothing; all kernels' models are made alike.
        cpu: Runs the kernel.

    Attributes:
        pmem: The page allocator.
        kmem: The byte allocator.
        tasks: Tasks and their queues.
        mpl: Memory pools of blocks of any size.
        mpf: Memory pools of blocks of one size.

    Raises:
        MissingSymbols: *symbols* lacks some.
    """

    def __init__(
        self,
        memory: Memory,
        symbols: Mapping[str, int],
        console: Callable[[str], None],  # noqa: ARG002 - see above
        cpu: Cpu = NO_CPU,
    ) -> None:
        missing = tuple(name for name in LAYER_SYMBOLS["pools"] if name not in symbols)
        if missing:
            raise MissingSymbols(missing)
        self._memory = memory
        self._cpu = cpu
        self._addresses = {name: physical(symbols[name]) for name in LAYER_SYMBOLS["pools"]}
        addresses = Globals(**self._addresses)
        self._addresses |= {name: physical(symbols[name]) for name in _REGIONS if name in symbols}
        self.pmem = Pmem(memory, addresses)
        self.kmem = Kmem(memory, addresses, self.pmem)
        self.tasks = Tasks(memory, addresses)
        self.mpl = VariablePools(memory, addresses.mpl_table, self.kmem, self.tasks)
        self.mpf = FixedPools(memory, addresses.mpf_table, self.kmem, self.tasks)

    @cached_property
    def functions(self) -> Mapping[str, Function]:
        """Everything that can be called, by name."""

        def tasks_init() -> int:
            self.tasks.init()
            return 0

        functions = (
            *self._pmem_functions(),
            *self._kmem_functions(),
            *self._mpl_functions(),
            *self._mpf_functions(),
            Function("tasks_init", "pools", "void tasks_init(void)", 0, "void", tasks_init),
            answers_er("wait_cancel", "pools", "ER wait_cancel(ID tskid, ER code)", 2, er(self.wait_cancel)),
            *self._region_functions(),
        )
        return MappingProxyType({each.name: each for each in functions})

    @cached_property
    def spaces(self) -> Spaces | None:
        """The address spaces of tasks; None: the kernel is older than them."""
        from kernel_model.btron.spaces import Spaces  # not every run needs it

        try:
            table, directory = (self._addresses[name] for name in _REGIONS)
        except KeyError:
            return None
        return Spaces(self._memory, table, directory, self.pmem, self._cpu)

    def wait_cancel(self, task: int, code: int) -> None:
        """End a task's wait; the call that it waits in answers *code*. Then serve who now fits. C: ``wait_cancel``.

        Raises:
            BtronError: E_ID, E_NOEXS: there is no such task; E_OBJ: it does not wait.
        """
        kind, number = self.tasks.waiting_for(task)
        if kind in (WaitKind.MPL, WaitKind.MPF) and number not in POOL_IDS:
            raise BrokenStructure(self.tasks.wait_id_defect(task))
        if kind == WaitKind.MPL:
            self.mpl.cancel(task, number, code)
        elif kind == WaitKind.MPF:
            self.mpf.cancel(task, number, code)
        else:
            self.tasks.end_wait(None, task, code)

    def locate(self, address: int, size: int = 1) -> Location | None:  # noqa: ARG002 - no location depends on it
        """Return what lies at a physical *address*; see `kernel_model.btron.locate.locate`."""
        from kernel_model.btron.locate import locate  # not every run needs it

        return locate(address, self._addresses, self)

    def linear(self, address: int) -> int:
        """Return the kernel address of a physical address."""
        return virtual(address)

    def audits(self, memory_size: int) -> tuple[Audit, ...]:
        """Return the audits of all structures; see `kernel_model.btron.audits`.

        Args:
            memory_size: Bytes of guest memory.
        """
        from kernel_model.btron.audits import audits  # only a check needs it

        return audits(self._memory, memory_size, self)

    def _pmem_functions(self) -> tuple[Function, ...]:
        pmem = self.pmem
        return (
            answers_er("pmem_init", "pmem", "ER pmem_init(void)", 0, er(pmem.init)),
            Function("pmem_alloc", "pmem", "VP pmem_alloc(W size)", 1, "pointer", pmem.alloc),
            answers_er("pmem_free", "pmem", "ER pmem_free(VP region, W size)", 2, er(pmem.free)),
            answers_er("pmem_share", "pmem", "ER pmem_share(VP region, W size)", 2, er(pmem.share)),
            Function("pmem_free_pages", "pmem", "W pmem_free_pages(void)", 0, "int", pmem.free_pages),
        )

    def _kmem_functions(self) -> tuple[Function, ...]:
        kmem = self.kmem
        return (
            answers_er("kmem_init", "kmem", "ER kmem_init(void)", 0, er(kmem.init)),
            Function("kmem_alloc", "kmem", "VP kmem_alloc(W size)", 1, "pointer", kmem.alloc),
            answers_er("kmem_free", "kmem", "ER kmem_free(VP p, W size)", 2, er(kmem.free)),
        )

    def _region_functions(self) -> tuple[Function, ...]:
        if self.spaces is None:
            return ()
        from kernel_model.btron.region_calls import region_functions  # as above

        return region_functions(self._memory, self.spaces, self.tasks)

    def _mpl_functions(self) -> tuple[Function, ...]:
        mpl = self.mpl

        def create(number: int, packet: int) -> None:
            mpl.create(signed(number), packet)

        def delete(number: int) -> None:
            mpl.delete(signed(number))

        def get(out: int, number: int, size: int, timeout: int) -> bool:
            return mpl.get(out, signed(number), size, signed(timeout))

        def release(number: int, block: int) -> None:
            mpl.release(signed(number), block)

        def refer(packet: int, number: int) -> None:
            mpl.refer(signed(number), packet)

        get_signature = "ER mpl_get(VP *p_blk, ID mplid, INT blksz, TMO tmout)"
        return (
            answers_er("mpl_create", "pools", "ER mpl_create(ID mplid, const T_CMPL *pk)", 2, er(create)),
            answers_er("mpl_delete", "pools", "ER mpl_delete(ID mplid)", 1, er(delete)),
            answers_er("mpl_get", "pools", get_signature, 4, er_or_waiting(get)),
            answers_er("mpl_release", "pools", "ER mpl_release(ID mplid, VP blk)", 2, er(release)),
            answers_er("mpl_refer", "pools", "ER mpl_refer(T_RMPL *pk, ID mplid)", 2, er(refer)),
        )

    def _mpf_functions(self) -> tuple[Function, ...]:
        mpf = self.mpf

        def get(out: int, number: int, timeout: int) -> bool:
            return mpf.get(out, number, signed(timeout))

        def refer(packet: int, number: int) -> None:
            mpf.refer(number, packet)

        get_signature = "ER mpf_get(VP *p_blf, ID mpfid, TMO tmout)"
        return (
            answers_er("mpf_create", "pools", "ER mpf_create(ID mpfid, const T_CMPF *pk)", 2, er(mpf.create)),
            answers_er("mpf_delete", "pools", "ER mpf_delete(ID mpfid)", 1, er(mpf.delete)),
            answers_er("mpf_get", "pools", get_signature, 3, er_or_waiting(get)),
            answers_er("mpf_release", "pools", "ER mpf_release(ID mpfid, VP blf)", 2, er(mpf.release)),
            answers_er("mpf_refer", "pools", "ER mpf_refer(T_RMPF *pk, ID mpfid)", 2, er(refer)),
        )
