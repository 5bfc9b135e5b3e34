"""What a launch says: which kernel, on which machine, and what is looked for. The names are those of the protocol's ``launch`` request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from emulator.debug.dap.arguments import BadRequest
from emulator.errors import EmulatorError
from emulator.wording import shortened

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from emulator.debug.dap.arguments import Arguments
    from emulator.debug.kernel_debugger import Debugger
    from emulator.machine.consoles import Console
    from emulator.machine.memory import RamWindow

_MIB: Final = 1 << 20
_UNITS: Final = {"K": 1 << 10, "M": _MIB, "G": 1 << 30}
_MODES: Final = ("native", "model", "lockstep")
_INSTRUCTIONS_MAX: Final = (1 << 53) - 1

ATTRIBUTES: Final[Mapping[str, Mapping[str, Any]]] = {
    "program": {"type": "string", "description": "Kernel file, or firmware:NAME for a built-in kernel."},
    "profile": {
        "type": "string",
        "description": "File that says which functions allocate; without it, what is known of the kernel.",
    },
    "sanitize": {
        "enum": [False, True, "uninitialised"],
        "default": False,
        "description": 'Check each access; "uninitialised": and each use of what was never written.',
    },
    "cmdline": {"type": "string", "default": "", "description": "Command line for the kernel."},
    "modules": {
        "type": "array",
        "items": {"type": "string"},
        "default": [],
        "description": 'Multiboot modules, each "FILE ARGUMENTS".',
    },
    "ram": {"type": "string", "default": "4M", "description": "RAM above 1 MiB: a size such as 64M or 3G."},
    "layers": {
        "type": "object",
        "default": {},
        "description": 'How layers of the kernel\'s memory management run: "native", "model" or "lockstep".',
    },
    "disks": {
        "type": "array",
        "items": {"type": "string"},
        "default": [],
        "description": "Files of IDE disks, up to four; what the kernel writes is not kept.",
    },
    "symbols": {
        "type": "string",
        "description": "Another ELF file with the kernel's symbols and debug information.",
    },
    "keys": {
        "type": "string",
        "default": "",
        "description": "Text that is typed when the kernel listens; {enter}, {up}, {f1}, {ctrl+c} are keys.",
    },
    "serialInput": {"type": "string", "default": "", "description": "Text that COM1 receives."},
    "maxInstructions": {"type": "integer", "minimum": 1, "description": "The run ends after so many."},
    "stopOnEntry": {
        "type": "boolean",
        "default": False,
        "description": "Stop in front of the first instruction.",
    },
    "stopAtEnd": {
        "type": "boolean",
        "default": True,
        "description": "Stop where the run ends, so that one can go back from there; else the session ends.",
    },
    "sourceMap": {
        "type": "object",
        "default": {},
        "description": "Where source files are: the beginning of paths as the compiler recorded them, and what stands for it here.",
    },
}
"""The attributes that a launch takes, as JSON schema; ``program`` is required."""

_OF_CLIENTS: Final = (
    "noDebug",
    "name",
    "type",
    "request",
    "preLaunchTask",
    "postDebugTask",
    "presentation",
    "internalConsoleOptions",
    "debugServer",
    "serverReadyAction",
    "suppressMultipleSessionWarning",
)
"""What clients add for themselves, besides names such as ``__sessionId``."""


class Launch(NamedTuple):
    """A launch that has been read.

    Attributes:
        program: Of the kernel.
        profile: A file; None: what is known.
        sanitize: As for `Debugger`.
        max_instructions: None: no limit.
        machine: Keywords of `emulator.boot`.
        stops_on_entry: See ``stopOnEntry``.
        stops_at_end: See ``stopAtEnd``.
        source_map: See ``sourceMap``.
        runs_only: Nothing is to be stopped at.
    """

    program: str
    profile: str | None
    sanitize: bool | str
    max_instructions: int | None
    machine: Mapping[str, Any]
    stops_on_entry: bool
    stops_at_end: bool
    source_map: Mapping[str, str]
    runs_only: bool

    def debugger(self, on_output: Callable[[Console, bytes], None]) -> Debugger:
        """Return a debugger with the kernel in front of its first instruction.

        Args:
            on_output: See `emulator.boot`.

        Raises:
            BadRequest: It cannot be made.
        """
        from emulator.debug.kernel_debugger import debugger

        try:
            return debugger(
                self.program,
                profile=self.profile,
                sanitize=self.sanitize,
                max_instructions=self.max_instructions,
                on_output=on_output,
                **self.machine,
            )
        except (EmulatorError, ValueError) as error:
            raise BadRequest(str(error)) from error


def read_launch(arguments: Arguments) -> Launch:
    """Read the arguments of a ``launch`` request.

    Raises:
        BadRequest: They describe no launch; an attribute that is not known is refused, too.
    """
    for name in arguments.names():
        if name not in ATTRIBUTES and name not in _OF_CLIENTS and not name.startswith("__"):
            raise BadRequest(f"launch: there is no attribute {name!r}")
    sanitize = arguments.any("sanitize")
    if sanitize not in (None, False, True, "uninitialised"):
        raise BadRequest('launch: sanitize is not true, false or "uninitialised"')
    return Launch(
        program=arguments.text("program"),
        profile=arguments.text("profile") if arguments.has("profile") else None,
        sanitize=sanitize or False,
        max_instructions=arguments.number("maxInstructions", least=1, most=_INSTRUCTIONS_MAX)
        if arguments.has("maxInstructions")
        else None,
        machine=_machine(arguments),
        stops_on_entry=arguments.flag("stopOnEntry"),
        stops_at_end=arguments.flag("stopAtEnd", default=True),
        source_map=_texts(arguments, "sourceMap"),
        runs_only=arguments.flag("noDebug"),
    )


def _machine(arguments: Arguments) -> dict[str, Any]:
    from emulator.devices.board import DEFAULT_BOARD

    board = DEFAULT_BOARD._replace(
        serial_input=arguments.text("serialInput", "").encode(), keys=arguments.text("keys", "")
    )
    found: dict[str, Any] = {
        "command_line": arguments.text("cmdline", ""),
        "modules": arguments.texts("modules"),
        "layers": _texts(arguments, "layers"),
        "board": board,
        "disk": arguments.texts("disks"),
    }
    if arguments.has("ram"):
        found["ram"] = _ram(arguments.text("ram"))
    if arguments.has("symbols"):
        found["symbols"] = arguments.text("symbols")
    for layer, mode in found["layers"].items():
        if mode not in _MODES:
            raise BadRequest(
                f"launch: layers.{layer} is {shortened(mode)}, and not one of {', '.join(_MODES)}"
            )
    return found


def _texts(arguments: Arguments, name: str) -> dict[str, str]:
    inner = arguments.object(name)
    return {each: inner.text(each) for each in inner.names()}


def _ram(text: str) -> RamWindow:
    from emulator.machine.memory import RamWindow

    digits, unit = (text[:-1], text[-1].upper()) if text[-1:].upper() in _UNITS else (text, "")
    if not digits.isdecimal() or len(digits) > 12:  # noqa: PLR2004 - digits
        raise BadRequest(f"launch: ram is {text!r}, and not a size such as 64M")
    return RamWindow(_MIB, _MIB + int(digits) * _UNITS.get(unit, 1))
