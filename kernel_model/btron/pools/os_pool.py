"""The kernel's own memory pool, id -4: the byte layer with sizes kept.

Theory. A block is an area of the byte layer with a record before it, as in any pool, so that a release needs no size. The pool
has no struct and no waiting tasks: it grows with the byte layer, and when that is out of pages, waiting would not help.

Released memory is not the pool's any more. The byte layer writes the header of a free area over the record, whether or not it
then merges the area; so the tag is gone, and a second release finds none, whatever the memory is used for by then.

Source: spec 2.4 (``TMPL_OS``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kernel_model.btron.errors import BtronError, Error
from kernel_model.btron.kernel_space import ADDRESS_SPACE, KERNEL_BASE, physical
from kernel_model.btron.pools.table import RECORD_BYTES
from kernel_model.btron.tcb import TMO_POL

if TYPE_CHECKING:
    from kernel_model.btron.kmem import Kmem
    from kernel_model.memory import Memory

TMPL_OS: Final = -4
OS_TAG: Final = 0x4D50_4CFF

_ALIGNMENT: Final = 8
_WORD_MASK: Final = 0xFFFF_FFFF
_MIN_BLOCK_BYTES: Final = RECORD_BYTES + _ALIGNMENT


class OsPool:
    """Blocks of the byte layer with a record before each.

    Args:
        memory: Physical guest memory.
        kmem: The byte layer.
    """

    def __init__(self, memory: Memory, kmem: Kmem) -> None:
        self._memory = memory
        self._kmem = kmem

    def get(self, size: int, timeout: int) -> int:
        """Return the kernel address of a block of *size* bytes, a multiple of 8.

        Raises:
            BtronError: There is no memory. E_TMOUT if *timeout* is `TMO_POL`, else E_NOMEM.
        """
        record = self._kmem.alloc(RECORD_BYTES + size)
        if not record:
            raise BtronError(Error.E_TMOUT if timeout == TMO_POL else Error.E_NOMEM)
        self._memory.store_words(physical(record), (size, OS_TAG))
        return record + RECORD_BYTES

    def release(self, block: int) -> None:
        """Give back a block.

        Raises:
            BtronError: E_PAR: it is not one. Nothing is changed.
        """
        record = block - RECORD_BYTES & _WORD_MASK
        if record < KERNEL_BASE or record % _ALIGNMENT or not self._kmem.owns(record, _MIN_BLOCK_BYTES):
            raise BtronError(Error.E_PAR)
        size, tag = self._memory.load_words(physical(record), 2)
        if tag != OS_TAG or size % _ALIGNMENT or not _ALIGNMENT <= size < ADDRESS_SPACE // 2:
            raise BtronError(Error.E_PAR)
        self._kmem.free(record, RECORD_BYTES + size)

    def free_bytes(self) -> tuple[int, int]:
        """Return the free bytes of the byte layer and its largest area, as far as its list is whole."""
        state = self._kmem.state()
        return state.free, state.largest_free
