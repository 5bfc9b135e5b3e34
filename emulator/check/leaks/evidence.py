"""Weighs words that may hold a block, or be there by chance, by who wrote them (`word_writers`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emulator.x86 import WORD_SIZE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.check.leaks.guest_words import GuestWords
    from emulator.check.leaks.live_blocks import LiveBlocks
    from emulator.check.leaks.word_writers import WordWriters

_MOST_LINKS: Final = 64  # words that are watched in one more run, which slows all writes


class Evidence:
    """Weighs words, each given as its address and the position of the block that it may hold.

    Args:
        live: All live blocks.
        memory: Of the machine at the end of the run.
        writers: Who wrote it.
    """

    def __init__(self, live: LiveBlocks, memory: GuestWords, writers: WordWriters) -> None:
        self._live = live
        self._memory = memory
        self._writers = writers

    def pointers(self, words: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Return those words at odd addresses that are no numbers which make up a block's address."""
        doubtful = [word for word in words if _is_mostly_zeros(int(self._live.start[word[1]]))]
        are_pointers = self._writers.are_pointers([self._physical(address) for address, _ in doubtful])
        made_up = {word for word, is_pointer in zip(doubtful, are_pointers, strict=True) if not is_pointer}
        return [word for word in words if word not in made_up]

    def of_programs(self, words: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Return those headers or ends of blocks that no allocator wrote."""
        are_programs = self._writers.are_programs([self._physical(address) for address, _ in words])
        return [word for word, is_program in zip(words, are_programs, strict=True) if is_program]

    def left_over(self, links: Sequence[tuple[int, int]]) -> set[int]:
        """Return the addresses of those words in blocks that are left over from a list of free blocks.

        The blocks that they point to were taken after those in which they lie.

        Where there are many words, those are looked at that lie in blocks which were taken soon before those they point to.
        """
        call = self._live.born_call
        holder = {address: self._live.holder(address, WORD_SIZE) or 0 for address, _ in links}
        nearest = sorted(set(links), key=lambda link: (call[link[1]] - call[holder[link[0]]], link))
        words = [
            (self._physical(address), int(call[holder[address]]), int(call[target]))
            for address, target in nearest[:_MOST_LINKS]
        ]
        are_left_over = self._writers.are_left_over(words)
        return {address for (address, _), is_one in zip(nearest, are_left_over, strict=False) if is_one}

    def of_free(self, words: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Return those words outside of blocks that the allocator wrote while the block was free.

        Where there are many words, those are looked at that point to the blocks which were taken last.
        """
        call = self._live.born_call
        latest = sorted(words, key=lambda word: (-int(call[word[1]]), word))[:_MOST_LINKS]
        asked = [(self._physical(address), int(call[block])) for address, block in latest]
        were_free = self._writers.are_of_free(asked)
        return [word for word, was_free in zip(latest, were_free, strict=True) if was_free]

    def _physical(self, address: int) -> int:
        """Return the physical address of a word, which is its own where its block is known by that."""
        holder = self._live.holder(address, WORD_SIZE)
        if holder is not None and self._live.unmapped[holder]:
            return address
        return self._memory.physical(address) or 0


def _is_mostly_zeros(address: int) -> bool:
    """Return whether all but one of the four bytes of an address are 0, so that small numbers beside each other may make it up."""
    return WORD_SIZE - address.to_bytes(WORD_SIZE, "little").count(0) <= 1
