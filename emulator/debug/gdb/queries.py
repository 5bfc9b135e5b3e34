"""What a client asks before it begins: features, documents, and the machine, for gdb and lldb.

Source: "Debugging with GDB", E.4 (General Query Packets), E.16 (Memory Map Format); "GDB Remote Protocol Extensions" in lldb's documentation.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from emulator.debug.gdb.answers import HEX, OK, Refused, answer
from emulator.debug.gdb.packets import PACKET_MAX
from emulator.debug.gdb.registers import target_description
from emulator.x86 import WORD_MAX

if TYPE_CHECKING:
    from emulator.debug.gdb.answers import Answer
    from emulator.debug.gdb.connection import Connection
    from emulator.debug.gdb.moves import Moves
    from emulator.debug.gdb.threads import Threads
    from emulator.machine.machine import Machine

_FEATURES: Final = (
    f"PacketSize={PACKET_MAX:x}",
    "QStartNoAckMode+",
    "qXfer:features:read+",
    "qXfer:memory-map:read+",
    "qXfer:threads:read+",
    "swbreak+",
    "hwbreak+",
    "vContSupported+",
    "ReverseStep+",
    "ReverseContinue+",
    "ConditionalBreakpoints+",
)
_MEMORY_MAP: Final = """\
<?xml version="1.0"?>
<!DOCTYPE memory-map PUBLIC "+//IDN gnu.org//DTD GDB Memory Map V1.0//EN" "http://sourceware.org/gdb/gdb-memory-map.dtd">
<memory-map>
<memory type="ram" start="0x0" length="0x100000000"/>
</memory-map>"""
"""Linear addresses: which of them are mapped changes while the kernel runs."""
_TRIPLE: Final = "i386-unknown-unknown-elf"


class Queries:
    """Answers general questions.

    Args:
        machine: That the client debugs.
        connection: To the client.
        moves: Get to know what the client can.
        threads: Of the machine.
    """

    def __init__(self, machine: Machine, connection: Connection, moves: Moves, threads: Threads) -> None:
        self._machine = machine
        self._connection = connection
        self._moves = moves
        self._documents = {
            (b"features", b"target.xml"): target_description,
            (b"memory-map", b""): lambda: _MEMORY_MAP,
            (b"threads", b""): threads.document,
        }
        triple = _TRIPLE.encode().hex()
        self.answers: tuple[Answer, ...] = (
            answer("qSupported", rb"(?::(.*))?", self._features),
            answer("QStartNoAckMode", b"", self._stop_acks),
            answer("qXfer", rb":([a-z-]+):read:([^:]*):" + HEX + b"," + HEX, self._part),
            answer("qAttached", rb"(?::.*)?", lambda: b"1"),
            answer("qSymbol", rb":.*", lambda: OK),
            answer(
                "qHostInfo",
                b"",
                f"triple:{triple};endian:little;ptrsize:4;hostname:6b6d656d75;".encode,
            ),
            answer("qProcessInfo", b"", f"pid:1;triple:{triple};endian:little;ptrsize:4;".encode),
            answer("qMemoryRegionInfo", b":" + HEX, self._region),
        )

    def _features(self, text: bytes | None) -> bytes:
        self._moves.features = frozenset((text or b"").split(b";"))
        return ";".join(_FEATURES).encode()

    def _stop_acks(self) -> bytes:
        self._connection.stop_acks()
        return OK

    def _part(self, kind: bytes, name: bytes, offset: bytes, size: bytes) -> bytes:
        """Return a part of a document: after an "m" if there is more, else after an "l"."""
        make = self._documents.get((kind, name))
        if make is None:
            if all(kind != known for known, _ in self._documents):
                return b""
            raise Refused(errno.ENOENT, f"there is no document {name!r}")
        document = make().encode()
        start = int(offset, 16)
        end = start + min(int(size, 16), PACKET_MAX // 2)
        return (b"m" if end < len(document) else b"l") + document[start:end]

    def _region(self, address: bytes) -> bytes:
        """Return the pages around an address that are mapped alike, or around them where nothing is."""
        start, end, rights = _range_at(self._machine, int(address, 16))
        text = f"start:{start:x};size:{end - start:x};"
        return f"{text}permissions:{rights};".encode() if rights else text.encode()


def _range_at(machine: Machine, address: int) -> tuple[int, int, str]:
    """Return the range of linear addresses around one that is mapped, or not, in one way; and the rights to it."""
    space = machine.address_space()
    if not space.is_paged:
        return 0, WORD_MAX + 1, "rwx"
    at = 0
    for each in space.ranges():
        if address < each.start:
            return at, each.start, ""
        if address < each.end:
            rights = f"r{'w' if each.writable else ''}{'' if each.no_execute else 'x'}"
            return each.start, each.end, rights
        at = each.end
    return at, WORD_MAX + 1, ""
