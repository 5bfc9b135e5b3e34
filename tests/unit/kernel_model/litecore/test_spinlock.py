"""The lock word: 0 free, 1 held."""

from __future__ import annotations

import pytest

from kernel_model.abi import LockHeld
from kernel_model.litecore.spinlock import SpinLock
from kernel_model.memory import ByteMemory

LOCK = 0x20


def test_the_word_is_1_inside_and_0_after() -> None:
    memory = ByteMemory(0, 64)
    with SpinLock(memory, LOCK):
        assert memory.load_u32(LOCK) == 1
    assert memory.load_u32(LOCK) == 0


@pytest.mark.parametrize("word", [1, 2, 0x80000000])
def test_a_held_lock_is_a_deadlock_and_stays_held(word: int) -> None:
    memory = ByteMemory(0, 64)
    memory.store_u32(LOCK, word)
    with pytest.raises(LockHeld, match=r"^the spin lock at 0x00000020 is already held$") as error:
        SpinLock(memory, LOCK).acquire()
    assert error.value.address == LOCK
    assert memory.load_u32(LOCK) == word


def test_an_exception_inside_gives_the_lock_back() -> None:
    memory = ByteMemory(0, 64)
    with pytest.raises(ZeroDivisionError), SpinLock(memory, LOCK):
        raise ZeroDivisionError
    assert memory.load_u32(LOCK) == 0


def test_a_released_lock_can_be_taken_again() -> None:
    memory = ByteMemory(0, 64)
    lock = SpinLock(memory, LOCK)
    lock.acquire()
    lock.release()
    lock.acquire()
    assert memory.load_u32(LOCK) == 1
