"""Who wrote a word last, as plain data and as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from emulator.wording import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.guest.symbolizer import Frame

VERSION = 1


class Writer(NamedTuple):
    """The last write to some bytes.

    Attributes:
        address: The first of the bytes, physical.
        name: What lies there.
        event: The event after which it happened.
        instruction: Address of the instruction that wrote, linear.
        text: The instruction.
        source: Its source line, as far as it is known.
        stack: Who called whom at that moment, the writing function first.
        before: The bytes before the write.
        after: The bytes after it.
    """

    address: int
    name: str
    event: int
    instruction: int
    text: str
    source: str
    stack: tuple[Frame, ...]
    before: bytes
    after: bytes


def writer_lines(writer: Writer) -> Iterator[str]:
    """Return a writer for people, line by line; printable."""
    before, after = (int.from_bytes(each, "little") for each in (writer.before, writer.after))
    digits = 2 * len(writer.after)
    yield printable(f"0x{writer.address:08x}  {writer.name}")
    yield f"0x{before:0{digits}x} became 0x{after:0{digits}x} after event {writer.event}"
    yield ""
    yield printable(f"0x{writer.instruction:08x}  {writer.text}")
    if writer.source:
        yield printable(writer.source)
    for number, frame in enumerate(writer.stack):
        yield printable(f"  {number}  {frame}")


def writer_document(writer: Writer) -> dict[str, Any]:
    """Return a writer for JSON."""
    return {
        "version": VERSION,
        "address": writer.address,
        "name": writer.name,
        "event": writer.event,
        "instruction": {"address": writer.instruction, "text": writer.text, "source": writer.source},
        "before": writer.before.hex(),
        "after": writer.after.hex(),
        "stack": [
            {
                "address": frame.address,
                "function": frame.function,
                "offset": frame.offset,
                "file": frame.file,
                "line": frame.line,
            }
            for frame in writer.stack
        ],
    }
