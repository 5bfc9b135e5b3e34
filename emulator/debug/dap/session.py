"""One kernel that a client debugs: what belongs together from its launch to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from emulator.debug.addresses import read_address
from emulator.debug.dap.arguments import BadRequest
from emulator.debug.dap.console import ConsoleEvents
from emulator.debug.dap.failed_allocations import FailedAllocations
from emulator.debug.dap.lines import Lines
from emulator.debug.dap.moves import Moves
from emulator.debug.dap.points import Points
from emulator.debug.dap.views import At, Item, View
from emulator.debug.step.view_text import moment_text
from emulator.debug.stop import StopKind
from emulator.debug.variables import GlobalVariables
from emulator.errors import KernelMismatch
from emulator.guest.disassembler import instructions_around
from emulator.guest.storage import Unavailable
from emulator.guest.symbolizer import Symbolizer
from emulator.guest.tasks import task_reader
from emulator.hle.kernels import error_names
from emulator.report.text.calls import result_text
from emulator.report.text.ending import ending_text
from emulator.report.text.findings import finding_lines
from emulator.report.text.style import Style
from emulator.x86 import EXCEPTION_NAMES, WORD_MAX, WORD_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.debug.dap.arguments import Arguments
    from emulator.debug.dap.client import Client
    from emulator.debug.dap.launch import Launch
    from emulator.debug.stop import Stop, WatchHit
    from emulator.guest.tasks import TaskReader
    from emulator.trace.table import Call

_WATCHED_MAX: Final = 1 << 20  # bytes
_EXIT_FAILED: Final = 1
_COMMANDS: Final = """\
who ADDRESS|EXPRESSION [SIZE]    who wrote there last before now
goto N                           go to where event N has just happened
goto @N                          go to where N instructions have been executed
where                            how many instructions were executed, and the newest event
help                             this text
Anything else is an expression over variables and registers ($eax)."""


class Session:
    """A kernel under the debugger.

    Args:
        launch: What is to be launched.
        client: Who debugs it.
        serve: Serves the messages that have come in the middle of a run.
        event: Sends an event.

    Attributes:
        launch: As given.
        debugger: Of the kernel.
        lines: Of its source.
        points: At which it stops.
        moves: Moves it.
        view: What is seen where it stands.

    Raises:
        BadRequest: It cannot be launched.
    """

    def __init__(
        self, launch: Launch, client: Client, serve: Callable[[], None], event: Callable[..., None]
    ) -> None:
        self.launch = launch
        self._console = ConsoleEvents(event)
        self.debugger = launch.debugger(self._console.output)
        self._console.follow(self.debugger.machine)
        self._globals = GlobalVariables(self.debugger.image)
        self.lines = Lines(self.debugger.image, launch.source_map)
        self._failed = FailedAllocations(self.debugger)
        self.points = Points(self.debugger, self._globals, self.lines, self._console.log)
        self.moves = Moves(self.debugger, client, serve, self._failed)
        self._tasks = self._task_reader()
        self.view = View(self.debugger, self.lines, self._globals, self._tasks)
        self._stop: Stop | None = None
        self.debugger.stop_at_findings = bool(launch.sanitize) and not launch.runs_only

    def _task_reader(self) -> TaskReader | None:
        try:
            return task_reader(self.debugger.machine, self.debugger.profile.tasks)
        except KernelMismatch as error:
            self._console.log(f"kmemu: its tasks are not known: {error}")
            return None

    def close(self) -> None:
        """Give up the kernel."""
        self.debugger.close()

    def leave(self) -> None:
        """Know nothing of where the kernel stands any more: it goes on."""
        self._stop = None

    def arrive(self, stop: Stop | None = None) -> None:
        """See where the kernel stands now."""
        self._stop = stop
        self._console.flush()
        if stop is not None and stop.finding is not None:
            self._console.log("\n".join(finding_lines([stop.finding], Style())))
        self.view = View(self.debugger, self.lines, self._globals, self._tasks)

    @property
    def exit_code(self) -> int:
        """What the session's end is reported with: what the kernel exited with; 1 if it could not go on."""
        ending = None if self._stop is None else self._stop.ending
        if ending is None:
            return 0
        return ending.exit_value if ending.exit_value is not None else _EXIT_FAILED if ending.failed else 0

    # Why it stands.

    def reason(self, stop: Stop) -> tuple[str, str, str, list[int]]:  # noqa: PLR0911 - one for each kind
        """Return why the kernel has stopped: the protocol's word, a line for people, more of it, and the points that were hit."""
        if self._failed.call is not None:
            return "exception", "Allocation failed", self._failure_text(self._failed.call), []
        match stop.kind:
            case StopKind.BREAKPOINT | StopKind.WATCHPOINT if stop.point is not None:
                placed = self.points.of(stop.point)
                reason = "breakpoint" if placed is None else placed.reason
                return (
                    reason,
                    self._description(stop, reason),
                    self._access_text(stop),
                    self.points.at(stop.point),
                )
            case StopKind.FINDING:
                message = "a bad access" if stop.finding is None else stop.finding.message
                return "exception", "Finding", message, []
            case StopKind.EXCEPTION:
                return "exception", "Exception of the guest", self._fault_text(), []
            case StopKind.START:
                return "entry", "the start of the run: there is nothing before it", "", []
            case StopKind.ENDED:
                text = "the run has ended" if stop.ending is None else ending_text(stop.ending)
                return "pause", text, "", []
            case StopKind.CANCELLED:
                return "pause", "paused", "", []
        return "step", "step", "", []

    def _failure_text(self, call: Call) -> str:
        profile = self.debugger.profile
        function = next(each for each in profile.functions if each.name == call.function)
        result = result_text(function, call.result, call.out, error_names(profile.name))
        return f"{call.function} returned {result.text}"

    def _description(self, stop: Stop, reason: str) -> str:
        """Return why it has stopped in a few words: editors show them beside the thread's name, and the rest where one points at them."""
        return reason if stop.access is None else f"{reason}: {_change_text(stop.access)}"

    def _access_text(self, stop: Stop) -> str:
        hit = stop.access
        if hit is None:
            return ""
        where = self.debugger.image.location(hit.pc)
        if not hit.is_write:
            return f"0x{hit.address:08x} read at {where}"
        return f"0x{hit.address:08x} written at {where}: {_change_text(hit)}"

    def _fault_text(self) -> str:
        fault = self.debugger.machine.interrupts.last_fault
        if fault is None:
            return "an exception"
        name = EXCEPTION_NAMES.get(fault.vector, f"vector {fault.vector}")
        return f"{name} at {self.debugger.image.location(fault.eip)}"

    def exception(self) -> dict[str, Any]:
        """Return what is known of the exception at which the kernel has stopped.

        Raises:
            BadRequest: It has not stopped at one.
        """
        stop = self._stop
        if stop is None:
            raise BadRequest("the kernel has not stopped at an exception")
        reason, title, text, _ = self.reason(stop)
        if reason != "exception":
            raise BadRequest("the kernel has not stopped at an exception")
        details: dict[str, Any] = {"message": text, "typeName": title}
        if self._failed.call is not None:
            name = "allocation-failed"
        elif stop.finding is not None:
            name = stop.finding.kind.value
            details["stackTrace"] = "\n".join(map(str, self._finding_frames(stop)))
        else:
            name = "guest-exception"
        return {"exceptionId": name, "description": text, "breakMode": "always", "details": details}

    def _finding_frames(self, stop: Stop) -> tuple[Any, ...]:
        site = None if stop.finding is None else stop.finding.call_site
        return () if site is None else tuple(site.backtrace)

    # Filters.

    def filter_problem(self, name: str) -> str:
        """Return why a filter cannot be had; "": it can."""
        if name == "finding" and not self.launch.sanitize:
            return 'findings are looked for with "sanitize": true'
        profile = self.debugger.profile
        if name == "allocation-failed" and not profile.functions:
            return f"no profile says which functions allocate: {profile.reason}"
        return ""

    def set_filters(self, names: list[str]) -> None:
        """Stop at these exceptions, and at no others."""
        if self.launch.runs_only:
            names = []
        self.debugger.stop_at_findings = "finding" in names
        self.debugger.stop_at_exceptions = "guest-exception" in names
        self._failed.is_wanted = "allocation-failed" in names

    # Changes.

    def watchable(self, name: str, arguments: Arguments) -> tuple[int, int]:
        """Return address and size of what a name means.

        Raises:
            BadRequest, ValueError, Unavailable: It cannot be watched.
        """
        if arguments.flag("asAddress"):
            address = read_address(name, self.debugger.image)
            return address, arguments.number("bytes", 4, least=1, most=_WATCHED_MAX)
        if arguments.has("variablesReference"):
            items = self.view.children(arguments.number("variablesReference"))
            found = next((each for each in items if each.name == name), None)
        else:
            at = self.view.at(arguments.number("frameId")) if arguments.has("frameId") else None
            found = self.view.evaluated(name, at)
        if found is None:
            raise BadRequest(f"there is no variable {name[:60]!r} there")
        if found.value is not None:
            address_of = found.value.storage.address(found.value.offset)
            if address_of is None:
                raise Unavailable(f"{name} is not in memory")
            size = found.value.type.size
        else:
            address_of, size = (None, 0) if found.expression else (found.address, found.size)
        if address_of is None or not size or size > _WATCHED_MAX:
            raise Unavailable(f"{name} has no size that can be watched")
        return address_of, arguments.number("bytes", size, least=1, most=_WATCHED_MAX)

    def register_or_value(self, expression: str, at: At | None) -> Item:
        """Return what an expression means that is to be set.

        Raises:
            BadRequest: It is a register of another frame than the innermost one of what runs.
            ValueError, Unavailable: It cannot be evaluated.
        """
        if not expression.startswith("$"):
            return self.view.evaluated(expression, at)
        if at is not None and not at.is_innermost:
            raise BadRequest("registers can be set in the innermost frame of what runs")
        return Item(expression, "", register=expression[1:].lower())

    def set(self, item: Item, number: int) -> Item:
        """Set a variable or a register, and return it as it is now.

        Raises:
            BadRequest, ValueError, Unavailable: It cannot be set.
        """
        value = item.value
        if item.register:
            self._write_register(
                item.register, number & WORD_MAX if -(1 << 31) <= number <= WORD_MAX else number
            )
            shown = getattr(self.debugger.machine.registers(), item.register)
            return item._replace(text=f"0x{shown:08x}", address=shown)
        if value is None:
            raise BadRequest(f"{item.name} cannot be set")
        data = value.encoded(number)
        address = value.storage.address(value.offset)
        if address is not None:
            self.write(address, data)
            return self.view.item(item.name, value, item.expression)
        if value.storage.register and not value.offset:
            register = value.storage.register
            old = getattr(self.debugger.machine.registers(), register)
            mask = (1 << 8 * len(data)) - 1
            self._write_register(register, old & ~mask | int.from_bytes(data, "little"))
            if item.expression:
                return self.view.evaluated(item.expression, None)._replace(name=item.name)
            return self.view.item(item.name, value)
        raise Unavailable(f"{item.name} is in no one place that could be changed")

    def write(self, address: int, data: bytes) -> None:
        """Write to memory at an address as the kernel writes it."""
        self.debugger.write_memory(self.view.variables.linear(address), data)
        self._changed()

    def _write_register(self, name: str, value: int) -> None:
        self.debugger.write_register(name, value)
        self._changed()

    def _changed(self) -> None:
        self.points.forget_after(self.debugger.moment)
        self._console.output.forget_future()
        self.view.refresh()

    # Code.

    def disassembled(self, address: int, before: int, count: int) -> list[dict[str, Any]]:
        """Return instructions as the protocol has them; invalid ones where nothing is known.

        Args:
            address: Of an instruction.
            before: How many instructions from it the first one is, negative for those in front of it.
            count: How many.
        """
        found: list[dict[str, Any]] = []
        image, last = self.debugger.image, ""
        for line in instructions_around(self.debugger.machine, address, before, count):
            if not line.code:
                found.append(
                    {"address": f"0x{line.address:08x}", "instruction": "??", "presentationHint": "invalid"}
                )
                continue
            each: dict[str, Any] = {
                "address": f"0x{line.address:08x}",
                "instruction": line.text,
                "instructionBytes": line.code.hex(" "),
            }
            location = image.location(line.address)
            if location.function:
                each["symbol"] = f"{location.function}+0x{location.offset:x}"
            if location.file and location.line:
                each["line"] = location.line
                if location.file != last:
                    each["location"] = self.lines.source(location.file)
                    last = location.file
            found.append(each)
        return found

    # What is typed.

    def command(self, text: str) -> tuple[str, Stop | None] | None:
        """Do what was typed, and return what to answer, and where the kernel stands then; None: it is no command.

        Raises:
            BadRequest, ValueError: It cannot be done.
        """
        name, *words = text.split() or [""]
        if name == "help" and not words:
            return _COMMANDS, None
        if name == "where" and not words:
            return moment_text(self.debugger.moment, self.debugger.event), None
        if name == "who" and words:
            return self._who(words), None
        if name == "goto" and len(words) == 1:
            return self._go_to(words[0])
        return None

    def _go_to(self, word: str) -> tuple[str, Stop]:
        digits = word.removeprefix("@")
        if not digits.isdecimal() or len(digits) > 18:  # noqa: PLR2004 - digits
            raise BadRequest(f"{word[:40]!r} is no number of an event, and no @INSTRUCTIONS")
        number = int(digits)
        stop = self.debugger.go_to(number) if word.startswith("@") else self.debugger.go_to_event(number)
        return moment_text(stop.moment, self.debugger.event), stop

    def _who(self, words: list[str]) -> str:
        size = words.pop() if len(words) > 1 and words[-1].isdecimal() and len(words[-1]) < 8 else ""  # noqa: PLR2004 - digits
        text = " ".join(words)
        try:
            address, length = read_address(text, self.debugger.image), WORD_SIZE
        except ValueError:
            item = self.view.evaluated(text, None)
            place = None if item.value is None else item.value.storage.address(item.value.offset)
            if place is None or not item.size:
                raise BadRequest(f"{text} is not in memory") from None
            address, length = place, item.size
        found = self.moves.who(self.view.variables.linear(address), int(size or length))
        if found is None:
            return f"nobody has written to 0x{address:08x} since the start"
        where = self.debugger.image.location(found.eip)
        callers = Symbolizer(self.debugger.image).callers(found.callers[:1])
        called = f", called from {callers[0]}" if callers else ""
        before, after = (int.from_bytes(each, "little") for each in (found.before, found.after))
        when = moment_text(found.moment, found.event)
        return f"written at {where}: 0x{before:x} -> 0x{after:x}, {when}{called}"


def _change_text(hit: WatchHit) -> str:
    """Return what an access has made of some bytes."""
    before, after = (f"0x{int.from_bytes(each, 'little'):x}" for each in (hit.before, hit.after))
    return f"{before} -> {after}" if hit.is_write else f"{after} read"
