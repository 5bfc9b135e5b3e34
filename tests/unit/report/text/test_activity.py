"""What a kernel was doing when its run was ended."""

from __future__ import annotations

import pytest

from emulator.machine.unanswered import LastRead
from emulator.report.text.activity import activity_text
from emulator.run.ending import Activity


@pytest.mark.parametrize(
    ("activity", "text"),
    [
        (Activity(0.0, None), ""),
        (
            Activity(0.95, LastRead(0x64, None, 5000, 0, is_answered=True)),
            "it waits in hlt, and interrupts come",
        ),
        (Activity(0.0, LastRead(0x64, None, 999, 0, is_answered=True)), ""),
        (Activity(0.0, LastRead(0x64, None, 5000, 10_001, is_answered=True)), ""),
        (
            Activity(0.1, LastRead(0x64, None, 2_500_000, 3, is_answered=False)),
            "it was reading port 0x64 (keyboard controller), 2,500,000 times so far: nothing is there",
        ),
        (
            Activity(0.1, LastRead(None, 0xFEC00000, 1000, 3, is_answered=True)),
            "it was reading memory at 0xfec00000 (I/O APIC), 1,000 times so far",
        ),
    ],
)
def test_what_it_was_doing(activity: Activity, text: str) -> None:
    assert activity_text(activity) == text
