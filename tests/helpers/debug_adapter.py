"""A client of the Debug Adapter Protocol, which checks every message against the protocol's schema."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self, cast

from jsonschema import Draft4Validator

from emulator.debug.dap.launch import ATTRIBUTES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SCHEMA = Path(__file__).parents[1] / "data" / "debugAdapterProtocol.json"
COMMAND = (sys.executable, "-m", "emulator.cli.main", "dap")


@cache
def schema() -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(SCHEMA.read_text(encoding="utf-8")))


@cache
def definitions() -> Mapping[tuple[str, str], str]:
    """Return the names of the definitions by what they are of: ("request", "launch") -> "LaunchRequest"."""
    found = {}
    for name, definition in schema()["definitions"].items():
        for part in definition.get("allOf", ()):
            for key, kind in (("command", "request"), ("event", "event")):
                for value in part.get("properties", {}).get(key, {}).get("enum", ()):
                    found[kind, value] = name
    requests = {key[1]: name for key, name in found.items() if key[0] == "request"}
    found |= {
        ("response", command): name.removesuffix("Request") + "Response" for command, name in requests.items()
    }
    return found


@cache
def validator(name: str) -> Draft4Validator:
    return Draft4Validator({"$ref": f"#/definitions/{name}", "definitions": schema()["definitions"]})


def check(message: Mapping[str, Any]) -> None:
    """Check that a message is one that the protocol has, and has nothing that it has not."""
    kind = message["type"]
    key = message.get("event") if kind == "event" else message["command"]
    name = "ErrorResponse" if kind == "response" and not message["success"] else definitions()[kind, str(key)]
    validator(name).validate(message)
    adapters = {f".arguments.{each}" for each in ATTRIBUTES} if name == "LaunchRequest" else set()
    found = {*_unknown(message, {"$ref": f"#/definitions/{name}"}, "")} - adapters
    strangers = sorted(each for each in found if not each.startswith(".arguments.__"))  # a client's own
    assert strangers == [], (name, strangers)


def _unknown(value: object, kind: Mapping[str, Any], where: str) -> Iterator[str]:
    """Yield the properties of objects that their definitions do not have."""
    properties = _properties(kind)
    if isinstance(value, dict) and properties:
        for name, inner in value.items():
            if name not in properties:
                yield f"{where}.{name}"
            else:
                yield from _unknown(inner, properties[name], f"{where}.{name}")
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from _unknown(each, kind.get("items", {}), f"{where}[{number}]")


def _properties(kind: Mapping[str, Any]) -> dict[str, Any]:
    if "$ref" in kind:
        return _properties(schema()["definitions"][kind["$ref"].rpartition("/")[2]])
    found = dict(kind.get("properties", {}))
    for part in kind.get("allOf", ()):
        found |= _properties(part)
    return found


class Refused(Exception):
    """A request was answered by an error."""


class DebugAdapter:
    """A running adapter, and its client.

    Args:
        reader: What the adapter sends.
        writer: What it receives.

    Attributes:
        events: Those that have come and were not asked for yet.
        transcript: All messages that have come, without what differs by chance.
    """

    def __init__(self, reader: IO[bytes], writer: IO[bytes]) -> None:
        self._reader = reader
        self._writer = writer
        self._sequence = 0
        self._seen = 0
        self.events: list[dict[str, Any]] = []
        self.transcript: list[dict[str, Any]] = []

    def send(self, command: str, **arguments: object) -> int:
        """Send a request that the protocol has, and return its number."""
        self._sequence += 1
        message = {"seq": self._sequence, "type": "request", "command": command, "arguments": arguments}
        check(message)
        self.write(json.dumps(message).encode())
        return self._sequence

    def write(self, data: bytes) -> None:
        """Send bytes as a message."""
        self.write_raw(b"Content-Length: %d\r\n\r\n%s" % (len(data), data))

    def write_raw(self, data: bytes) -> None:
        """Send bytes."""
        self._writer.write(data)
        self._writer.flush()

    def receive(self) -> dict[str, Any] | None:
        """Return the next message; None: there is no more."""
        size = None
        while line := self._reader.readline().strip():
            name, _, value = line.partition(b": ")
            assert name == b"Content-Length"
            size = int(value)
        if size is None:
            return None
        message = cast("dict[str, Any]", json.loads(self._reader.read(size)))
        check(message)
        self._seen += 1
        assert message["seq"] == self._seen
        self.transcript.append(message)
        return message

    def answer(self, number: int) -> dict[str, Any]:
        """Return the answer to a request."""
        while (message := self.receive()) is not None:
            if message["type"] == "response":
                assert message["request_seq"] == number
                return message
            self.events.append(message)
        raise AssertionError("the adapter has gone")

    def request(self, command: str, **arguments: object) -> Any:  # noqa: ANN401 - JSON
        """Send a request and return the body of its answer.

        Raises:
            Refused: It was answered by an error.
        """
        answer = self.answer(self.send(command, **arguments))
        if not answer["success"]:
            raise Refused(answer["message"])
        return answer.get("body")

    def event(self, name: str) -> Any:  # noqa: ANN401 - JSON
        """Return the body of the next event of a name; others wait."""
        while True:
            for number, each in enumerate(self.events):
                if each["event"] == name:
                    return self.events.pop(number).get("body")
            message = self.receive()
            assert message is not None, f"the adapter has gone, and no {name} has come"
            assert message["type"] == "event"
            assert name == "terminated" or message["event"] != "terminated", (
                f"the session has ended, and no {name} has come"
            )
            self.events.append(message)

    # What is asked for often.

    def launch(self, program: str, **arguments: object) -> None:
        """Launch a kernel, up to where breakpoints are set."""
        self.request("initialize", adapterID="kmemu", clientID="tests")
        self.request("launch", program=program, **arguments)
        self.event("initialized")

    def start(self) -> Any:  # noqa: ANN401 - JSON
        """Let the kernel go, and return why it stops."""
        self.request("configurationDone")
        return self.event("stopped")

    def go(self, command: str, **arguments: object) -> Any:  # noqa: ANN401 - JSON
        """Move the kernel, and return why it stops."""
        self.request(command, threadId=1, **arguments)
        return self.event("stopped")

    def frames(self) -> list[dict[str, Any]]:
        """Return the frames of the stack."""
        return list(self.request("stackTrace", threadId=1)["stackFrames"])

    def scope(self, name: str, frame: int = 1) -> dict[str, dict[str, Any]]:
        """Return the variables of a scope by their names."""
        scopes = self.request("scopes", frameId=frame)["scopes"]
        (reference,) = [each["variablesReference"] for each in scopes if each["name"] == name]
        return self.variables(reference)

    def variables(self, reference: int) -> dict[str, dict[str, Any]]:
        """Return what a reference opens into, by names."""
        found = self.request("variables", variablesReference=reference)["variables"]
        return {each["name"]: each for each in found}

    def evaluate(self, expression: str, **arguments: object) -> str:
        """Return the result of an expression."""
        return str(
            self.request("evaluate", expression=expression, **{"context": "watch", **arguments})["result"]
        )

    def output(self, category: str = "stdout") -> str:
        """Return the output that has come so far."""
        return "".join(
            each["body"]["output"]
            for each in self.transcript
            if each["type"] == "event" and each["event"] == "output" and each["body"]["category"] == category
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()


@contextmanager
def debug_adapter() -> Iterator[DebugAdapter]:
    """Start an adapter, and see that it ends well when its client leaves."""
    process = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin
    assert process.stdout
    assert process.stderr
    with process:
        adapter = DebugAdapter(process.stdout, process.stdin)
        try:
            yield adapter
            if not process.stdin.closed:
                process.stdin.close()
            process.wait()
            assert process.returncode == 0
            assert process.stderr.read() == b""
        finally:
            process.kill()
