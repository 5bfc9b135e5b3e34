"""Write what a kernel accessed that kmemu does not have, as JSON; `docs/boot.md` describes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emulator.machine.unanswered import Lack


def lack_document(lack: Lack) -> dict[str, Any]:
    """Return what the kernel accessed that kmemu does not have."""
    return {
        "port": lack.port,
        "address": lack.address,
        "service": lack.service or None,
        "instruction": lack.instruction or None,
        "reads": lack.reads,
        "writes": lack.writes,
        "eip": lack.eip,
        "location": lack.location,
    }
