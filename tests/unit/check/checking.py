"""Checks of traces made up for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.check.calls.checks import check_calls
from emulator.check.calls.results import KnownMemory

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.check.findings import Finding
    from tests.helpers.traces import TraceBuilder

MEMORY = KnownMemory(((0, 0xA0000), (0x100000, 0x500000)), ((0x100000, 0x103000),))


def findings_of(builder: TraceBuilder, folder: Path, memory: KnownMemory = MEMORY) -> list[Finding]:
    """Check the calls of a builder."""
    return check_calls(builder.trace(folder / "run.kmt"), memory)


def messages_of(builder: TraceBuilder, folder: Path, memory: KnownMemory = MEMORY) -> list[str]:
    """Return kinds and messages."""
    return [f"{each.kind.value}: {each.message}" for each in findings_of(builder, folder, memory)]
