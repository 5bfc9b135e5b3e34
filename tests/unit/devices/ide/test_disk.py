from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from emulator.devices.ide.disk import Disk
from tests.helpers.ide_board import SECTOR, Sectors, numbered

SECTORS = 12


def test_the_contents_are_never_changed() -> None:
    contents = Sectors(numbered(4))
    disk = Disk(contents)
    disk.write(1, b"x" * 2 * SECTOR)
    assert contents.data == numbered(4)
    assert disk.read(0, 4) == numbered(1) + b"x" * 2 * SECTOR + numbered(4)[3 * SECTOR :]


def test_a_state_costs_nothing_until_the_next_write() -> None:
    disk = Disk(Sectors(numbered(4)))
    disk.write(1, b"x" * SECTOR)
    state = disk.save()
    assert disk.save() is state
    disk.write(2, b"y" * SECTOR)
    assert state.keys() == {1}
    assert disk.save().keys() == {1, 2}


class DiskComparison(RuleBasedStateMachine):
    """A disk against plain bytes, with states to go back to."""

    states = Bundle("states")

    @initialize()
    def start(self) -> None:
        self.bytes = bytearray(numbered(SECTORS))
        self.disk = Disk(Sectors(bytes(self.bytes)))

    @rule(first=st.integers(0, SECTORS - 1), data=st.binary(min_size=1, max_size=4))
    def write(self, first: int, data: bytes) -> None:
        sectors = b"".join(bytes([byte]) * SECTOR for byte in data[: SECTORS - first])
        self.disk.write(first, sectors)
        self.bytes[first * SECTOR : first * SECTOR + len(sectors)] = sectors

    @rule(target=states)
    def save(self) -> tuple[object, bytes]:
        return self.disk.save(), bytes(self.bytes)

    @rule(state=states)
    def restore(self, state: tuple[dict[int, bytes], bytes]) -> None:
        self.disk.restore(state[0])
        self.bytes[:] = state[1]

    @rule(first=st.integers(0, SECTORS - 1), count=st.integers(1, SECTORS))
    def read(self, first: int, count: int) -> None:
        count = min(count, SECTORS - first)
        assert self.disk.read(first, count) == self.bytes[first * SECTOR : (first + count) * SECTOR]

    @invariant()
    def agrees(self) -> None:
        assert self.disk.read(0, SECTORS) == self.bytes


TestDisk = DiskComparison.TestCase
