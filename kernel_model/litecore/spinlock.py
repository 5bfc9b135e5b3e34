"""The spin lock of LiteCore.

Theory. A lock is one word, 0 = free, 1 = held. The C code takes it with interrupts off (``xchg`` until it
reads 0). A model's call happens between two guest instructions, so nothing can release the lock while
the model waits: a lock that is already held would be held for ever. The model says so instead of spinning.

Source: spec 1.4, task 1; LiteCore memory document, "TASKS".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kernel_model.abi import LockHeld

if TYPE_CHECKING:
    from kernel_model.memory import Memory

FREE: Final = 0
HELD: Final = 1


class SpinLock:
    """A lock word in guest memory. As a context manager it is held inside the block.

    Args:
        memory: Where the word lies.
        address: Address of the lock word (``spinlock_t``).
    """

    __slots__ = ("_load", "_store", "address")

    def __init__(self, memory: Memory, address: int) -> None:
        self.address = address
        self._load = memory.load_u32  # bound once: every call of an allocator passes here
        self._store = memory.store_u32

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            LockHeld: The lock word is not 0. Nothing is changed.
        """
        if self._load(self.address) != FREE:
            raise LockHeld(self.address)
        self._store(self.address, HELD)

    def release(self, *_exception: object) -> None:
        """Give the lock back, whether or not it was held."""
        self._store(self.address, FREE)

    __enter__ = acquire
    __exit__ = release
