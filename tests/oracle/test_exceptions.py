"""What a CPU raises when it cannot deliver an exception: QEMU's and ours are the same, but for one bit.

QEMU 7.2 leaves out EXT, the error code's bit that says that the cause came from outside the program (Intel SDM vol. 3A,
6.13).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from tests.helpers import qemu
from tests.helpers.guest import results_of, symbol
from tests.unit.machine.board.test_interrupts import guest
from tests.unit.machine.faults.test_undelivered import CHAINS, GATES, HANDLERS, SELECTORS

if TYPE_CHECKING:
    from pathlib import Path

EXTERNAL = 1


@pytest.mark.parametrize("chain", CHAINS | SELECTORS)
def test_qemu_raises_the_same(chain: str, tmp_path: Path) -> None:
    body, vector, error_code = (CHAINS | SELECTORS)[chain]
    machine = guest(GATES + body, HANDLERS)
    machine.run(timeout_s=10)
    ours = results_of(machine, 3)
    kernel = tmp_path / "guest.elf"
    kernel.write_bytes(machine.image.data)
    results = symbol(machine, "results")
    ram = qemu.inspect(kernel, machine.image.physical_entry, results + 12).at_end.ram
    theirs = list(struct.unpack_from("<3I", ram, results))
    assert ours[:2] == [vector, error_code]
    assert [ours[0], ours[1] & ~EXTERNAL, ours[2]] == theirs
