"""The `monitor` commands of a client: what kmemu knows and the protocol has no packet for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.debug.addresses import read_address
from emulator.debug.gdb.answers import OK, answer
from emulator.debug.gdb.target import COMMANDS
from emulator.debug.gdb.words import block_lines, where_text, write_lines
from emulator.errors import Cancelled, EmulatorError
from emulator.guest.memory_map.reader import read_memory_map
from emulator.report.text.memory_map import draw_heap, layer_lines
from emulator.report.text.style import Style
from emulator.wording import ascii_text, counted, human_size, printable
from emulator.x86 import WORD_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from emulator.debug.gdb.answers import Answer
    from emulator.debug.gdb.connection import Connection
    from emulator.debug.kernel_debugger import Debugger
    from emulator.debug.points import EventPoint
    from emulator.replay.moment import Moment

_SHOWN_MAX: Final = 4096  # bytes of a hex dump
_ROW: Final = 16
_STALE: Final = (
    "gdb shows registers and the stack as they were before; it will not, after each monitor command, if you type:",
    f"source {COMMANDS}",
)


class Command(NamedTuple):
    """A `monitor` command.

    Attributes:
        usage: Its name and arguments.
        does: For ``monitor help``.
        least: Arguments that it needs.
        most: Arguments that it takes.
        run: Yields the lines of the answer.
    """

    usage: str
    does: str
    least: int
    most: int
    run: Callable[[Sequence[str]], Iterator[str]]

    @property
    def name(self) -> str:
        """Its first word."""
        return self.usage.partition(" ")[0]


class Monitor:
    """Does what `monitor` commands say.

    Args:
        debugger: Whose machine they are about.
        connection: To the client; is watched while a command runs the machine.
        say: Shows text to the client's user.
    """

    def __init__(self, debugger: Debugger, connection: Connection, say: Callable[[str], None]) -> None:
        self._debugger = debugger
        self._connection = connection
        self._say = say
        self._checkpoints: list[Moment] = []
        self._events: dict[int, EventPoint] = {}
        self._client_forgets = False
        commands = (
            Command("help", "show this", 0, 0, self._help),
            Command("info [mem]", "where the machine stands; what the page tables map", 0, 1, self._info),
            Command("who ADDRESS [SIZE]", "who wrote these bytes last before now", 1, 2, self._who),
            Command("heap", "the allocators: pictures, live blocks and who made them", 0, 0, self._heap),
            Command("phys ADDRESS [SIZE]", "physical memory", 1, 2, self._physical),
            Command("goto EVENT|start|@INSTRUCTIONS|cNUMBER", "go there", 1, 1, self._go_to),
            Command("checkpoint", "remember this moment", 0, 0, self._checkpoint),
            Command("checkpoints", "list remembered moments", 0, 0, self._list_checkpoints),
            Command("break-alloc [N [off]]", "stop at allocation event N", 0, 2, self._break_event),
            Command("until-finding [on|off]", "stop at findings (with --sanitize)", 0, 1, self._findings),
            Command("exceptions [on|off]", "stop at exceptions of the guest", 0, 1, self._exceptions),
        )
        self._commands = {each.name: each for each in commands}
        self.answers: tuple[Answer, ...] = (
            answer("qRcmd", rb",((?:[0-9a-fA-F]{2})*)", self._command),
            answer("QKmemuForgets", b"", self._forgets),
        )

    def _command(self, digits: bytes) -> bytes:
        words = bytes.fromhex(digits.decode()).decode("utf-8", "replace").split()
        try:
            for line in self._lines(words or ["help"]):
                self._say(f"{line}\n")
        except (EmulatorError, ValueError) as error:
            self._say(f"{printable(str(error))}\n")
        return OK

    def _forgets(self) -> bytes:
        """Note that the client forgets after each command what it knows of the machine (``kmemu.gdb``)."""
        self._client_forgets = True
        return OK

    def _lines(self, words: Sequence[str]) -> Iterator[str]:
        command = self._commands.get(words[0])
        if command is None:
            raise ValueError(f"there is no command {words[0]!r}; monitor help lists all")
        if not command.least <= len(words) - 1 <= command.most:
            raise ValueError(f"usage: monitor {command.usage}")
        yield from command.run(words[1:])

    def _help(self, _: Sequence[str]) -> Iterator[str]:
        width = max(len(each.usage) for each in self._commands.values())
        for each in self._commands.values():
            yield f"monitor {each.usage:{width}}  {each.does}"

    def _info(self, words: Sequence[str]) -> Iterator[str]:
        if not words:
            yield where_text(self._debugger)
        elif words[0] == "mem":
            yield from self._pages()
        else:
            raise ValueError(f"there is no info {words[0]!r}, only mem")

    def _pages(self) -> Iterator[str]:
        """Yield what is mapped as QEMU's ``info mem`` does, which tools read; without paging all RAM, as gef gives up where there is nothing."""
        space = self._debugger.machine.address_space()
        if not space.is_paged:
            size = len(self._debugger.machine.memory)
            yield "PG disabled"
            yield f"{0:016x}-{size:016x} {size:016x} -rw"
            return
        for each in space.ranges():
            rights = f"{'u' if each.user else '-'}r{'w' if each.writable else '-'}"
            yield f"{each.start:016x}-{each.end:016x} {each.end - each.start:016x} {rights}"

    def _who(self, words: Sequence[str]) -> Iterator[str]:
        address = read_address(words[0], self._debugger.image)
        size = _number(words[1]) if len(words) > 1 else WORD_SIZE
        here = self._debugger.moment
        try:
            with self._connection.watched(self._debugger.cancel):
                found = self._debugger.who(address, size)
        except Cancelled:
            self._debugger.machine.forget_stop()
            self._debugger.go_to(here)
            raise ValueError("interrupted") from None
        yield from write_lines(found, address, self._debugger.image)

    def _heap(self, _: Sequence[str]) -> Iterator[str]:
        machine = self._debugger.machine
        memory_map = read_memory_map(machine, machine.modules)
        if memory_map.heap is not None:
            yield from draw_heap(memory_map.heap, Style())
        yield from layer_lines(memory_map, Style())
        profile = self._debugger.profile
        if profile.functions:
            yield from block_lines(self._debugger)
        elif memory_map.heap is None:
            yield f"no allocator is known: {printable(profile.reason)}"

    def _physical(self, words: Sequence[str]) -> Iterator[str]:
        memory = self._debugger.machine.memory
        address = read_address(words[0], self._debugger.machine.image)
        size = min(_number(words[1]) if len(words) > 1 else _ROW, _SHOWN_MAX)
        if address + size > len(memory):
            raise ValueError(
                f"0x{address:08x}, {size} bytes, is not in RAM, which ends at 0x{len(memory):08x}"
            )
        data = memory.read(address, size)
        for at in range(0, size, _ROW):
            row = data[at : at + _ROW]
            yield f"0x{address + at:08x}  {row.hex(' '):{3 * _ROW - 1}}  {ascii_text(row)}"

    def _go_to(self, words: Sequence[str]) -> Iterator[str]:
        where = words[0]
        with self._connection.watched(self._debugger.cancel):
            if where == "start":
                self._debugger.go_to(0)
            elif where.startswith("@"):
                self._debugger.go_to(_number(where[1:]))
            elif where.startswith("c"):
                self._debugger.go_to(self._remembered(where[1:]))
            else:
                self._debugger.go_to_event(_number(where))
        yield where_text(self._debugger)
        if not self._client_forgets:
            yield from _STALE

    def _remembered(self, text: str) -> Moment:
        number = _number(text)
        if not 1 <= number <= len(self._checkpoints):
            raise ValueError(f"there is no checkpoint {number}")
        return self._checkpoints[number - 1]

    def _checkpoint(self, _: Sequence[str]) -> Iterator[str]:
        self._checkpoints.append(self._debugger.moment)
        yield f"checkpoint c{len(self._checkpoints)}: {where_text(self._debugger)}"

    def _list_checkpoints(self, _: Sequence[str]) -> Iterator[str]:
        for number, moment in enumerate(self._checkpoints, 1):
            yield f"c{number}  after {moment.instructions} instructions"
        if not self._checkpoints:
            yield "no checkpoint"
        known = self._debugger.checkpoints
        yield f"to go back, kmemu keeps {counted(known.kept, 'state')}, whose pages take {human_size(known.size)}"

    def _break_event(self, words: Sequence[str]) -> Iterator[str]:
        if not words:
            yield from (f"event {number}" for number in sorted(self._events))
            return
        number = _number(words[0])
        if words[1:] not in ([], ["off"]):
            raise ValueError(f"{words[1]!r} is not off")
        point = self._events.pop(number, None)
        if point is not None:
            point.remove()
        if words[1:]:
            yield f"continue does not stop at event {number}"
            return
        self._events[number] = self._debugger.break_event(number)
        yield f"continue and reverse-continue stop at event {number}"

    def _findings(self, words: Sequence[str]) -> Iterator[str]:
        self._debugger.stop_at_findings = _is_on(words)
        yield f"continue and reverse-continue {_stop(words)} at findings"

    def _exceptions(self, words: Sequence[str]) -> Iterator[str]:
        self._debugger.stop_at_exceptions = _is_on(words)
        yield f"continue and reverse-continue {_stop(words)} at exceptions"


def _number(text: str) -> int:
    digits = text.removeprefix("0x")
    try:
        return int(digits[:20], 16 if digits is not text and len(digits) < len(text) else 10)
    except ValueError:
        raise ValueError(f"{text!r} is no number") from None


def _is_on(words: Sequence[str]) -> bool:
    if list(words) not in ([], ["on"], ["off"]):
        raise ValueError(f"{words[0]!r} is neither on nor off")
    return list(words) != ["off"]


def _stop(words: Sequence[str]) -> str:
    return "stop" if _is_on(words) else "do not stop"
