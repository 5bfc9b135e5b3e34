from __future__ import annotations

import pytest

from emulator.loader.frame import Frame


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        (Frame(0x101042, "kmain", 0x42, "firmware/scenarios/demo.c", 31), "kmain+0x42 demo.c:31"),
        (Frame(0x101042, "kmain", 0x42, "demo.c", 0), "kmain+0x42 demo.c"),
        (Frame(0x101042, "kmain", 0), "kmain+0x0"),
        (Frame(0x101042), "0x00101042"),
    ],
)
def test_a_frame_as_text(frame: Frame, text: str) -> None:
    assert str(frame) == text


def test_a_frame_is_named_after_its_function() -> None:
    assert Frame(0x101042, "kmain", 0x42).name == "kmain"
    assert Frame(0x101042).name == "0x00101042"
