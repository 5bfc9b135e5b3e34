"""What calls return is compared with QEMU in tests/oracle/test_devices.py; here are keys that somebody types."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.devices.board import BoardSettings, pc_board
from tests.helpers.real_mode import kept, real_mode_machine

if TYPE_CHECKING:
    from emulator.machine.machine import Machine

READ = """
        movw    ${count}, %cx
next:   pushw   %cx
        xorl    %eax, %eax
        movb    ${service}, %ah
        int     $0x16
        keep    eax
        popw    %cx
        loop    next
        leave
"""


def typed(keys: str, count: int, service: int = 0x10) -> list[int]:
    """Return what int 16h reads."""
    board = pc_board(BoardSettings(keys=keys))
    machine = real_mode_machine(READ.format(count=count, service=service), board=board)
    machine.run(timeout_s=20)
    return kept(machine)


def test_characters_come_with_their_scan_codes() -> None:
    assert typed("aZ1!;\n", 6) == [0x1E61, 0x2C5A, 0x0231, 0x0221, 0x273B, 0x1C0D]


@pytest.mark.parametrize(
    ("keys", "code"),
    [
        ("{f1}", 0x3B00),
        ("{esc}", 0x011B),
        ("{up}", 0x48E0),
        ("{ctrl+c}", 0x2E03),
        ("{alt+x}", 0x2D00),
        ("{shift+f2}", 0x5500),
        ("{tab}", 0x0F09),
        ("{backspace}", 0x0E08),
    ],
)
def test_other_keys(keys: str, code: int) -> None:
    assert typed(keys, 1) == [code]


def test_older_calls_know_no_keys_beside_the_keypad() -> None:
    assert typed("{up}", 1, service=0) == [0x4800]


@pytest.mark.parametrize("interrupts", [True, False])
def test_a_guest_that_asks_whether_a_key_waits_gets_it(*, interrupts: bool) -> None:
    machine = real_mode_machine(
        """
        sti
1:      movb    $0x11, %ah
        int     $0x16
        jz      1b
        keep    eax
        leave
        """.replace("sti", "sti" if interrupts else "cli"),
        board=pc_board(BoardSettings(keys="k")),
    )
    machine.run(timeout_s=20)
    assert kept(machine) == [0x256B]


def test_a_snapshot_while_a_guest_waits_for_a_key() -> None:
    machine = real_mode_machine(READ.format(count=2, service=0x10))
    assert machine.run(until_idle=True).exit_code is None
    snapshot = machine.snapshot()

    def finish(machine: Machine, keys: str) -> list[int]:
        machine.keys(keys)
        machine.run(timeout_s=20)
        return kept(machine)

    assert machine.registers().pc & 0xFFFF0000 == 0xF0000
    assert finish(machine, "xy") == [0x2D78, 0x1579]
    snapshot.reset()
    assert finish(machine, "ab") == [0x1E61, 0x3062]
