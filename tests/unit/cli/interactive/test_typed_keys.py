from __future__ import annotations

import pytest

from emulator.cli.interactive.typed_keys import typed_keys
from emulator.devices.keyboard.key_text import key_events


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"aZ ~", "aZ ~"),
        (b"{}", "{{}}"),
        (b"\r\n\t\x7f\x08", "{enter}{enter}{tab}{backspace}{backspace}"),
        (b"\x03\x1a\x00\x1c", "{ctrl+c}{ctrl+z}{ctrl+space}{ctrl+\\}"),
        (b"\x1b", "{esc}"),
        (b"\x1b\x1b[A", "{esc}{up}"),
        (b"\x1b[A\x1bOB\x1b[H\x1bOF", "{up}{down}{home}{end}"),
        (b"\x1bOP\x1b[15~\x1b[24~\x1b[3~\x1b[5~", "{f1}{f5}{f12}{delete}{pageup}"),
        (b"\x1b[1;5C\x1b[1;2P\x1b[3;8~\x1b[Z", "{ctrl+right}{shift+f1}{shift+alt+ctrl+delete}{shift+tab}"),
        (b"\x1bx\x1b\r\x1b\x03", "{alt+x}{alt+enter}{alt+ctrl+c}"),
        (b"\x1b+\x1b{", ""),
        (b"\x1b[99~\x1b[200~a", "a"),
        ("aäb€".encode(), "ab"),
    ],
)
def test_what_a_terminal_sends_are_keys(data: bytes, text: str) -> None:
    assert typed_keys(data) == text
    key_events(text)


def test_each_byte_is_a_key_or_none() -> None:
    for byte in range(256):
        key_events(typed_keys(bytes((byte,))))
        key_events(typed_keys(bytes((0x1B, byte))))
