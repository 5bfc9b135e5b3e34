"""The adapter: takes the requests of one client, one after another, and answers each.

A request that cannot be served gets an error as its answer, whatever is wrong with it. The kernel stands still while requests are served; while it runs,
those that need no kernel that stands still are served in between, which the run does not notice.

Source: Debug Adapter Protocol, Specification.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, Final

from emulator.debug.dap.arguments import Arguments, BadRequest
from emulator.debug.dap.client import Gone
from emulator.debug.dap.launch import read_launch
from emulator.debug.dap.messages import BadFrame, BadMessage
from emulator.debug.dap.moves import GRANULARITIES
from emulator.debug.dap.points import read_reference
from emulator.debug.dap.session import Session
from emulator.debug.stop import StopKind
from emulator.errors import Cancelled, EmulatorError
from emulator.guest.storage import Unavailable
from emulator.x86 import WORD_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from emulator.debug.dap.client import Client
    from emulator.debug.dap.views import At
    from emulator.debug.stop import Stop

    Body = dict[str, Any] | None

_READ_MAX: Final = 1 << 20  # bytes of memory in one answer
_INSTRUCTIONS_MAX: Final = 10_000
_OFFSET_MAX: Final = 1 << 31
_FILTERS: Final = (
    ("finding", "Findings", 'In front of each bad access; needs "sanitize".', True),
    (
        "allocation-failed",
        "Failed allocations",
        "Where a function of the profile returns without the block it was asked for.",
        False,
    ),
    ("guest-exception", "Exceptions of the guest", "At the first instruction of the handler.", False),
)
CAPABILITIES: Final[Mapping[str, Any]] = {
    **dict.fromkeys(
        (
            *(
                "supportsConfigurationDoneRequest",
                "supportsFunctionBreakpoints",
                "supportsConditionalBreakpoints",
            ),
            *(
                "supportsHitConditionalBreakpoints",
                "supportsEvaluateForHovers",
                "supportsStepBack",
                "supportsSetVariable",
            ),
            *(
                "supportsSetExpression",
                "supportsExceptionInfoRequest",
                "supportTerminateDebuggee",
                "supportsLogPoints",
            ),
            *("supportsDelayedStackTraceLoading", "supportsTerminateRequest", "supportsDataBreakpoints"),
            *("supportsReadMemoryRequest", "supportsWriteMemoryRequest", "supportsDisassembleRequest"),
            *(
                "supportsBreakpointLocationsRequest",
                "supportsSteppingGranularity",
                "supportsInstructionBreakpoints",
            ),
            *("supportsDataBreakpointBytes", "supportsClipboardContext"),
        ),
        True,
    ),
    "exceptionBreakpointFilters": [
        {"filter": name, "label": label, "description": description, "default": default}
        for name, label, description, default in _FILTERS
    ],
}
_WHILE_RUNNING: Final = frozenset(
    (
        *(
            "threads",
            "setBreakpoints",
            "setFunctionBreakpoints",
            "setInstructionBreakpoints",
            "setDataBreakpoints",
        ),
        *("setExceptionBreakpoints", "source", "breakpointLocations"),
    )
)
"""Requests that are served in the middle of a run."""
_SHOWN_THERE: Final = frozenset(("evaluate", "setVariable", "setExpression", "source"))
"""Requests whose errors clients show where their answer would be, and need not show once more."""
_BEFORE_LAUNCH: Final = frozenset(("initialize", "launch", "attach", "disconnect", "terminate"))


class Adapter:
    """Serves one client.

    Args:
        client: The client.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._session: Session | None = None
        self._is_initialized = self._is_configured = self._is_running = self._is_over = False
        self._after: Callable[[], None] | None = None
        self._requests: dict[str, Callable[[Arguments], Body]] = {
            "initialize": self._initialize,
            "launch": self._launch,
            "attach": self._attach,
            "configurationDone": self._configuration_done,
            "disconnect": self._disconnect,
            "terminate": self._terminate,
            "setBreakpoints": lambda arguments: {"breakpoints": self._kernel.points.set_source(arguments)},
            "setFunctionBreakpoints": lambda arguments: {
                "breakpoints": self._kernel.points.set_functions(arguments)
            },
            "setInstructionBreakpoints": lambda arguments: {
                "breakpoints": self._kernel.points.set_instructions(arguments)
            },
            "setDataBreakpoints": lambda arguments: {"breakpoints": self._kernel.points.set_data(arguments)},
            "setExceptionBreakpoints": self._set_exception_breakpoints,
            "dataBreakpointInfo": self._data_breakpoint_info,
            "breakpointLocations": self._breakpoint_locations,
            "threads": self._threads,
            "stackTrace": self._stack_trace,
            "scopes": lambda arguments: {"scopes": self._kernel.view.scopes(arguments.number("frameId"))},
            "variables": self._variables,
            "setVariable": self._set_variable,
            "setExpression": self._set_expression,
            "evaluate": self._evaluate,
            "exceptionInfo": self._exception_info,
            "readMemory": self._read_memory,
            "writeMemory": self._write_memory,
            "disassemble": self._disassemble,
            "source": self._source,
            "pause": self._pause,
            "continue": self._continue,
            "next": lambda arguments: self._step(arguments, self._kernel.moves.over),
            "stepIn": lambda arguments: self._step(arguments, self._kernel.moves.into),
            "stepOut": lambda arguments: self._step(arguments, lambda _: self._kernel.moves.out()),
            "stepBack": lambda arguments: self._step(arguments, self._kernel.moves.step_back),
            "reverseContinue": self._reverse_continue,
        }

    def serve(self) -> None:
        """Serve requests until the client leaves or is gone."""
        try:
            while not self._is_over:
                message = self._client.receive()
                if message is None:
                    break
                self._take(message)
                after, self._after = self._after, None
                if after is not None:
                    after()
        except Gone:
            pass
        finally:
            if self._session is not None:
                self._session.close()

    # Messages.

    def _take(self, message: Mapping[str, Any] | BadMessage | BadFrame) -> None:
        if isinstance(message, BadMessage | BadFrame):
            self._event("output", category="stderr", output=f"kmemu: {message}\n")
            if isinstance(message, BadFrame):
                self._event("terminated")
                self._is_over = True
            return
        number, command = message.get("seq"), message.get("command")
        if message.get("type") != "request" or not isinstance(number, int) or not isinstance(command, str):
            self._event("output", category="stderr", output="kmemu: a message is no request\n")
            return
        try:
            body = self._served(command, message.get("arguments"))
        except (BadRequest, Cancelled, EmulatorError, ValueError, Unavailable, IndexError) as error:
            self._answer(number, command, problem=" ".join(str(error).split()))
        else:
            self._answer(number, command, body)

    def _served(self, command: str, values: Any) -> Body:  # noqa: ANN401 - JSON
        request = self._requests.get(command)
        if request is None:
            raise BadRequest(f"kmemu does not know the request {command[:60]!r}")
        if not self._is_initialized and command != "initialize":
            raise BadRequest("the first request is initialize")
        if self._session is None and command not in _BEFORE_LAUNCH:
            raise BadRequest("no kernel has been launched")
        if self._is_running and command not in _WHILE_RUNNING:
            raise BadRequest("the kernel runs")
        return request(Arguments(values, command))

    def _answer(self, number: int, command: str, body: Body = None, problem: str = "") -> None:
        content: dict[str, Any] = {"request_seq": number, "success": not problem, "command": command}
        if problem:
            content["message"] = problem
            shown = command not in _SHOWN_THERE
            body = {"error": {"id": 1, "format": "{text}", "variables": {"text": problem}, "showUser": shown}}
        if body is not None:
            content["body"] = body
        self._client.send("response", **content)

    def _event(self, name: str, **body: object) -> None:
        self._client.send("event", event=name, **({"body": body} if body else {}))

    def _serve_waiting(self) -> None:
        """Serve what has come in the middle of a run, up to what ends it."""
        while self._client.waits and not self._client.wants_stop:
            message = self._client.receive()
            if message is not None:
                self._take(message)

    @property
    def _kernel(self) -> Session:
        if self._session is None:
            raise BadRequest("no kernel has been launched")
        return self._session

    # Beginning and end.

    def _initialize(self, arguments: Arguments) -> Body:
        if self._is_initialized:
            raise BadRequest("initialize comes once")
        arguments.text("adapterID")
        if arguments.text("pathFormat", "path") != "path":
            raise BadRequest("kmemu takes files as paths, and not as URIs")
        for name in ("linesStartAt1", "columnsStartAt1"):
            if not arguments.flag(name, default=True):
                raise BadRequest(f"kmemu counts lines and columns from 1, and {name} is false")
        self._is_initialized = True
        return dict(CAPABILITIES)

    def _launch(self, arguments: Arguments) -> Body:
        if self._session is not None:
            raise BadRequest("launch comes once")
        launch = read_launch(arguments)
        self._session = Session(launch, self._client, self._serve_waiting, self._event)
        self._after = lambda: self._event("initialized")
        return None

    def _attach(self, _: Arguments) -> Body:
        raise BadRequest("kmemu launches kernels; there is none to attach to")

    def _configuration_done(self, _: Arguments) -> Body:
        if self._is_configured:
            raise BadRequest("configurationDone comes once")
        self._is_configured = True
        if self._kernel.launch.stops_on_entry:
            self._after = lambda: self._stopped("entry", "in front of the first instruction")
        else:
            self._after = lambda: self._move(self._kernel.moves.run)
        return None

    def _disconnect(self, _: Arguments) -> Body:
        self._is_over = True
        return None

    def _terminate(self, _: Arguments) -> Body:
        self._after = self._end
        return None

    def _end(self) -> None:
        self._event("terminated")

    # Moves.

    def _continue(self, _: Arguments) -> Body:
        self._check_configured()
        if self._kernel.debugger.moment.at_end:
            self._after = self._leave
        else:
            self._after = lambda: self._move(self._kernel.moves.run)
        return {"allThreadsContinued": True}

    def _reverse_continue(self, _: Arguments) -> Body:
        self._check_configured()
        self._after = lambda: self._move(self._kernel.moves.back)
        return None

    def _step(self, arguments: Arguments, move: Callable[[str], Stop]) -> Body:
        self._check_configured()
        thread = arguments.number("threadId")
        if thread != self._kernel.view.running:
            raise BadRequest(f"thread {thread} does not run: only what runs can be stepped")
        granularity = arguments.one_of("granularity", GRANULARITIES)
        self._after = lambda: self._move(lambda: move(granularity))
        return None

    def _check_configured(self) -> None:
        if not self._is_configured:
            raise BadRequest("configurationDone has not come yet")

    def _pause(self, _: Arguments) -> Body:
        return None  # whoever asks has stopped the kernel by that

    def _move(self, move: Callable[[], Stop]) -> None:
        """Move the kernel, and tell the client why it has stopped."""
        kernel = self._kernel
        kernel.leave()
        self._is_running = True
        try:
            stop = move()
        except (EmulatorError, ValueError) as error:
            self._is_running = False
            kernel.arrive()
            self._event("output", category="stderr", output=f"kmemu: {error}\n")
            self._stopped("pause", str(error))
            return
        self._is_running = False
        kernel.arrive(stop)
        if stop.kind is StopKind.ENDED and not kernel.launch.stops_at_end:
            self._leave()
        elif stop.kind is not StopKind.CANCELLED or not self._is_over:
            reason, description, text, ids = kernel.reason(stop)
            self._stopped(reason, description, text, ids)

    def _stopped(self, reason: str, description: str, text: str = "", ids: list[int] | None = None) -> None:
        body: dict[str, Any] = {
            "reason": reason,
            "description": description,
            "threadId": self._kernel.view.running,
            "allThreadsStopped": True,
        }
        if text:
            body["text"] = text
        if ids:
            body["hitBreakpointIds"] = ids
        self._event("stopped", **body)

    def _leave(self) -> None:
        """End the session with the run."""
        self._event("exited", exitCode=self._kernel.exit_code)
        self._event("terminated")

    # Points.

    def _set_exception_breakpoints(self, arguments: Arguments) -> Body:
        wanted = arguments.texts("filters")
        known = [name for name, *_ in _FILTERS]
        results = []
        for each in wanted:
            problem = (
                f"there is no filter {each[:40]!r}"
                if each not in known
                else self._kernel.filter_problem(each)
            )
            results.append({"verified": not problem, **({"message": problem} if problem else {})})
        self._kernel.set_filters(
            [each for each, result in zip(wanted, results, strict=True) if result["verified"]]
        )
        return {"breakpoints": results}

    def _data_breakpoint_info(self, arguments: Arguments) -> Body:
        name = arguments.text("name")
        try:
            address, size = self._kernel.watchable(name, arguments)
        except (ValueError, Unavailable, BadRequest) as error:
            return {"dataId": None, "description": str(error)}
        linear = self._kernel.view.variables.linear(address)
        return {
            "dataId": f"0x{linear:08x}:{size}",
            "description": f"{name}: {size} bytes at 0x{address:08x}",
            "accessTypes": ["read", "write", "readWrite"],
            "canPersist": False,
        }

    def _breakpoint_locations(self, arguments: Arguments) -> Body:
        path = arguments.object("source").text("path", "")
        first = arguments.number("line")
        lines = self._kernel.lines.between(path, first, arguments.number("endLine", first))
        return {"breakpoints": [{"line": line} for line in lines]}

    # Views.

    def _threads(self, _: Arguments) -> Body:
        return {
            "threads": [{"id": number, "name": name} for number, name in self._kernel.view.threads().items()]
        }

    def _stack_trace(self, arguments: Arguments) -> Body:
        start, count = arguments.number("startFrame", 0), arguments.number("levels", 0)
        frames, count = self._kernel.view.frames(arguments.number("threadId"), start, count)
        return {"stackFrames": frames, "totalFrames": count}

    def _variables(self, arguments: Arguments) -> Body:
        view = self._kernel.view
        count = arguments.number("count", 0) or None
        items = view.children(arguments.number("variablesReference"), arguments.number("start", 0), count)
        kind = arguments.text("filter", "")
        if kind not in ("", "indexed", "named"):
            raise BadRequest(f"variables: filter is {kind[:40]!r}, and not indexed or named")
        return {"variables": [view.variable(each) for each in items]}

    def _set_variable(self, arguments: Arguments) -> Body:
        kernel, name = self._kernel, arguments.text("name")
        found = next(
            (
                each
                for each in kernel.view.children(arguments.number("variablesReference"))
                if each.name == name
            ),
            None,
        )
        if found is None:
            raise BadRequest(f"there is no variable {name[:60]!r} there")
        return self._set(found, arguments.text("value"), None)

    def _set_expression(self, arguments: Arguments) -> Body:
        at = self._at(arguments)
        return self._set(
            self._kernel.register_or_value(arguments.text("expression"), at), arguments.text("value"), at
        )

    def _set(self, item: Any, text: str, at: At | None) -> Body:  # noqa: ANN401 - an item of a view
        kernel = self._kernel
        number = kernel.view.expression(text).number(kernel.view.names(at))
        changed = kernel.set(item, number)
        described = kernel.view.variable(changed)
        return {
            name: described[name]
            for name in ("value", "type", "variablesReference", "indexedVariables", "memoryReference")
            if name in described
        }

    def _at(self, arguments: Arguments) -> At | None:
        return self._kernel.view.at(arguments.number("frameId")) if arguments.has("frameId") else None

    def _evaluate(self, arguments: Arguments) -> Body:
        kernel, text = self._kernel, arguments.text("expression")
        context = arguments.text("context", "repl")
        if context == "repl":
            command = kernel.command(text)
            if command is not None:
                answer, stop = command
                if stop is not None:
                    kernel.leave()
                    kernel.arrive(stop)
                    reason, description, more, ids = kernel.reason(stop)
                    reason = "goto" if reason == "step" else reason
                    self._after = lambda: self._stopped(reason, description, more, ids)
                return {"result": answer, "variablesReference": 0}
        item = kernel.view.evaluated(text, self._at(arguments))
        return {"result": item.text, **kernel.view.result(item)}

    def _exception_info(self, _: Arguments) -> Body:
        return self._kernel.exception()

    def _read_memory(self, arguments: Arguments) -> Body:
        address = self._address(arguments, "memoryReference", "offset")
        count = arguments.number("count", most=_READ_MAX)
        data = self._kernel.view.variables.read(address, count) if count else b""
        body: dict[str, Any] = {"address": f"0x{address:08x}", "data": base64.b64encode(data).decode()}
        if len(data) < count:
            body["unreadableBytes"] = count - len(data)
        return body

    def _write_memory(self, arguments: Arguments) -> Body:
        address = self._address(arguments, "memoryReference", "offset")
        try:
            data = base64.b64decode(arguments.text("data"), validate=True)
        except (binascii.Error, ValueError) as error:
            raise BadRequest(f"writeMemory: data is no base64: {error}") from error
        if len(data) > _READ_MAX:
            raise BadRequest(f"writeMemory: {len(data)} bytes, more than {_READ_MAX}")
        if data:
            self._kernel.write(address, data)
        return {"bytesWritten": len(data)}

    def _disassemble(self, arguments: Arguments) -> Body:
        address = self._address(arguments, "memoryReference", "offset")
        before = arguments.number("instructionOffset", 0, least=-_INSTRUCTIONS_MAX, most=_INSTRUCTIONS_MAX)
        count = arguments.number("instructionCount", most=_INSTRUCTIONS_MAX)
        return {"instructions": self._kernel.disassembled(address, before, count)}

    def _address(self, arguments: Arguments, reference: str, offset: str) -> int:
        address = read_reference(arguments.text(reference)) + arguments.offset(offset)
        if not 0 <= address <= WORD_MAX:
            raise BadRequest(f"{address:#x} is no 32-bit address")
        return address

    def _source(self, arguments: Arguments) -> Body:
        source = arguments.object("source")
        file = source.text("path", "") or source.text("name", "")
        text = self._kernel.lines.text(file) if file else None
        if text is None:
            raise BadRequest(f"the source file {file[:200]!r} is not here")
        return {"content": text}
