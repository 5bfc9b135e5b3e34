"""A disk behind its controller, in any order of commands, is a row of bytes."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, rule

from tests.helpers.ide_board import ABORTED, ERROR, FAILED, IDLE, SECTOR, STATUS, IdeBoard, numbered

SECTORS = 40
NUMBERS = st.integers(0, SECTORS - 1)
COUNTS = st.integers(1, 20)
BYTES = st.binary(min_size=1, max_size=3)


def sectors_of(byte: bytes, count: int) -> bytes:
    return (byte * (count * SECTOR))[: count * SECTOR]


class Comparison(RuleBasedStateMachine):
    """Commands that read and write, and states to go back to."""

    states = Bundle("states")

    @initialize()
    def start(self) -> None:
        self.bytes = bytearray(numbered(SECTORS))
        self.board = IdeBoard(bytes(self.bytes))
        self.block = 16

    def expected(self, first: int, count: int) -> bytes:
        return bytes(self.bytes[first * SECTOR : (first + count) * SECTOR])

    def ended(self, first: int, count: int) -> None:
        """A command is over: well, or because the disk has ended."""
        good = first + count <= SECTORS
        assert self.board.read(STATUS) == (IDLE if good else FAILED)
        assert self.board.read(ERROR) == (0 if good else ABORTED)

    @rule(
        first=NUMBERS,
        count=COUNTS,
        extended=st.booleans(),
        multiple=st.booleans(),
        width=st.sampled_from([2, 4]),
    )
    def read(self, first: int, count: int, width: int, *, extended: bool, multiple: bool) -> None:
        command = {(False, False): 0x20, (False, True): 0x24, (True, False): 0xC4, (True, True): 0x29}
        give = self.board.give_extended if extended else self.board.give
        give(command[multiple, extended], first, count)
        block = self.block if multiple else 1
        for at in range(first, first + count, block):
            size = min(block, first + count - at)
            if at + size > SECTORS:
                break
            assert self.board.take(size * SECTOR, width) == self.expected(at, size)
        self.ended(first, count)

    @rule(first=NUMBERS, count=COUNTS, data=BYTES, extended=st.booleans(), multiple=st.booleans())
    def write(self, first: int, count: int, data: bytes, *, extended: bool, multiple: bool) -> None:
        command = {(False, False): 0x30, (False, True): 0x34, (True, False): 0xC5, (True, True): 0x39}
        give = self.board.give_extended if extended else self.board.give
        give(command[multiple, extended], first, count)
        block = self.block if multiple else 1
        for at in range(first, first + count, block):
            size = min(block, first + count - at)
            self.board.put(sectors_of(data, size))
            if at + size > SECTORS:
                break
            self.bytes[at * SECTOR : (at + size) * SECTOR] = sectors_of(data, size)
        self.ended(first, count)

    @rule(first=NUMBERS, count=COUNTS, split=st.integers(1, 19))
    def read_by_dma(self, first: int, count: int, split: int) -> None:
        self.board.give(0xC8, first, count)
        split = min(split, count)
        regions = [(0x10000, split * SECTOR), (0x20000, (count - split) * SECTOR)]
        self.board.start_dma(*regions[: 1 if split == count else 2])
        if first + count <= SECTORS:
            memory = self.board.memory
            found = memory[0x10000:][: split * SECTOR] + memory[0x20000:][: (count - split) * SECTOR]
            assert found == self.expected(first, count)
        self.board.out(0xC000, 0)
        self.ended(first, count)

    @rule(first=NUMBERS, count=COUNTS, data=BYTES)
    def write_by_dma(self, first: int, count: int, data: bytes) -> None:
        self.board.memory[0x10000 : 0x10000 + count * SECTOR] = sectors_of(data, count)
        self.board.give(0xCA, first, count)
        self.board.start_dma((0x10000, count * SECTOR))
        if first + count <= SECTORS:
            self.bytes[first * SECTOR : (first + count) * SECTOR] = sectors_of(data, count)
        self.board.out(0xC000, 0)
        self.ended(first, count)

    @rule(block=st.sampled_from([1, 2, 4, 8, 16]))
    def set_multiple(self, block: int) -> None:
        self.board.give(0xC6, count=block)
        self.block = block

    @rule(target=states)
    def save(self) -> tuple[object, bytes, int]:
        return self.board.device.save(), bytes(self.bytes), self.block

    @rule(state=states)
    def restore(self, state: tuple[object, bytes, int]) -> None:
        self.board.device.restore(state[0])
        self.bytes[:], self.block = state[1:]


TestAgainstBytes = Comparison.TestCase
