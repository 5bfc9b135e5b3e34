"""What a device is connected to, for tests of one alone."""

from __future__ import annotations

from typing import Any

from emulator.devices.board import Wires


def wires(**changes: Any) -> Wires:  # noqa: ANN401 - fields of Wires
    """Return wires that lead nowhere, but for those that are given."""
    nowhere: dict[str, Any] = dict.fromkeys(Wires._fields, _nothing)
    nowhere |= {
        "now_ns": lambda: 0,
        "is_heard": lambda: True,
        "ticking": lambda timer: timer,
        "ram_end": 0x500000,
    }
    return Wires(**(nowhere | changes))


def _nothing(*_arguments: object) -> None:
    pass
