"""Whatever a client sends is answered or ends the session in order; nothing of it is believed before it is checked."""

from __future__ import annotations

import io
import json
import random
from typing import TYPE_CHECKING, Any

import pytest

from emulator.debug.dap.adapter import Adapter
from emulator.debug.dap.client import Client
from emulator.debug.dap.messages import BadFrame, BadMessage, encoded, read_message
from tests.helpers.debug_adapter import check, debug_adapter, schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def frame(data: bytes) -> bytes:
    return b"Content-Length: %d\r\n\r\n%s" % (len(data), data)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"Content-Length: 2\r\n\r\n{", "a message of 2 bytes ends after 1"),
        (b"Content-Length: -1\r\n\r\n{}", "Content-Length '-1' is no number up to 16777216"),
        (
            b"Content-Length: 99999999999999999999\r\n\r\n{}",
            "Content-Length '99999999999999999999' is no number up to 16777216",
        ),
        (b"Content-Length: 16777217\r\n\r\n{}", "Content-Length '16777217' is no number up to 16777216"),
        (b"Content-Length: \xc2\xb2\r\n\r\n{}", "Content-Length '\\xc2\\xb2' is no number up to 16777216"),
        (b"\r\n{}", "a header has no Content-Length"),
        (b"GET / HTTP/1.1\r\n\r\n", "'GET / HTTP/1.1' is no header"),
        (b"Content-Length: 2", "a header does not end"),
        (b"a" * 5000, "a header does not end"),
        (b"A: 1\r\n" * 20, "a header has too many lines"),
        (b"A: 1\r\n", "the input ends in a header"),
    ],
)
def test_what_is_no_frame_is_refused(data: bytes, problem: str) -> None:
    with pytest.raises(BadFrame) as error:
        read_message(io.BytesIO(data))
    assert str(error.value) == problem


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"1", b'"x"', b"\xff\xfe", b"{" * 9000, b"[" * 100_000, b'{"a": NaN}', b"9" * 9000],
)
def test_what_is_no_object_is_refused_and_the_next_message_is_read(data: bytes) -> None:
    stream = io.BytesIO(frame(data) + encoded({"next": 1}))
    with pytest.raises(BadMessage):
        read_message(stream)
    assert read_message(stream) == {"next": 1}
    assert read_message(stream) is None


def answers_to(messages: Iterable[bytes]) -> list[dict[str, Any]]:
    """Return what an adapter answers, each checked against the protocol."""
    output = io.BytesIO()
    Adapter(Client(io.BytesIO(b"".join(messages)), output)).serve()
    stream = io.BytesIO(output.getvalue())
    found = []
    while (message := read_message(stream)) is not None:
        check(message)
        found.append(dict(message))
    return found


def request(number: object, command: object, arguments: object = None) -> bytes:
    return frame(
        json.dumps({"seq": number, "type": "request", "command": command, "arguments": arguments}).encode()
    )


def test_bad_messages_are_reported_and_the_session_goes_on() -> None:
    found = answers_to(
        [
            frame(b"{"),
            frame(b"{}"),
            request("1", "threads"),
            request(1, 2),
            request(1, "initialize", {"adapterID": "x"}),
        ]
    )
    assert [each["type"] for each in found] == ["event"] * 4 + ["response"]
    assert found[-1]["success"]
    assert found[1]["body"] == {"category": "stderr", "output": "kmemu: a message is no request\n"}


def test_a_bad_frame_ends_the_session() -> None:
    found = answers_to([request(1, "initialize", {"adapterID": "x"}), b"rubbish\r\n", request(2, "threads")])
    assert [each.get("event") for each in found] == [None, "output", "terminated"]


@pytest.mark.parametrize(
    ("command", "arguments", "problem"),
    [
        ("fly", {}, "kmemu does not know the request 'fly'"),
        ("threads", [], "no kernel has been launched"),
        ("initialize", {"adapterID": "x"}, "initialize comes once"),
        ("launch", [], "launch: the arguments are a list, and not an object"),
        ("launch", {}, "launch: program is missing"),
        ("launch", {"program": 1}, "launch: program is 1, and not a string"),
        ("launch", {"program": "/nowhere"}, "/nowhere: cannot be read: No such file or directory"),
        (
            "launch",
            {"program": "firmware:demo", "ram": "much"},
            "launch: ram is 'much', and not a size such as 64M",
        ),
        (
            "launch",
            {"program": "firmware:demo", "ram": "9000M"},
            "RAM 0x00100000-0x232900000 is larger than 3 GiB",
        ),
        (
            "launch",
            {"program": "firmware:demo", "sanitize": "all"},
            'launch: sanitize is not true, false or "uninitialised"',
        ),
        (
            "launch",
            {"program": "firmware:demo", "sanitise": True},
            "launch: there is no attribute 'sanitise'",
        ),
        ("launch", {"program": "firmware:demo", "modules": [1]}, "launch: modules[0] is 1, and not a string"),
        (
            "launch",
            {"program": "firmware:demo", "maxInstructions": True},
            "launch: maxInstructions is True, and not a number from 1 to 9007199254740991",
        ),
        (
            "launch",
            {"program": "firmware:demo", "layers": {"heap": "sideways"}},
            "launch: layers.heap is 'sideways', and not one of native, model, lockstep",
        ),
        ("launch", {"program": "firmware:demo", "keys": "{nokey}"}, None),
        ("attach", {}, "kmemu launches kernels; there is none to attach to"),
    ],
)
def test_requests_that_cannot_be_served_get_errors(
    command: str, arguments: object, problem: str | None
) -> None:
    *_, answer = answers_to([request(1, "initialize", {"adapterID": "x"}), request(2, command, arguments)])
    assert not answer["success"]
    if problem is not None:
        assert answer["message"] == problem


def hostile(generator: random.Random, kind: dict[str, Any], depth: int = 0) -> Any:  # noqa: ANN401, PLR0911 - JSON, and one for each kind
    """Return a value that looks like one of a schema, now and then of another type, or a strange one."""
    if "$ref" in kind:
        return hostile(generator, schema()["definitions"][kind["$ref"].rpartition("/")[2]], depth)
    wild: Sequence[Any] = (
        None,
        True,
        -1,
        0,
        1 << 60,
        -(1 << 70),
        1.5,
        "",
        "x" * 300,
        "\ud800",
        "a\0b",
        [],
        {},
        [None],
        {"a": []},
        "0x100000",
        "$esp",
        "*&",
    )
    if generator.random() < 0.25 or depth > 4:
        return generator.choice(wild)
    if "enum" in kind:
        return generator.choice(kind["enum"])
    match kind.get("type"):
        case "object":
            names = list(kind.get("properties", {}))
            required = set(kind.get("required", ()))
            return {
                name: hostile(generator, kind["properties"][name], depth + 1)
                for name in names
                if (name in required and generator.random() < 0.95) or generator.random() < 0.4
            }
        case "array":
            return [
                hostile(generator, kind.get("items", {}), depth + 1) for _ in range(generator.randrange(3))
            ]
        case "string":
            return generator.choice(
                [
                    "memmap",
                    "0x00101000",
                    "kmain",
                    "heap.c",
                    "1 + 1",
                    "",
                    "firmware:demo",
                    "goto 3",
                    "who memmap",
                    "instruction",
                ]
            )
        case "integer":
            return generator.choice([0, 1, 1, 2, 3, 5, 50, -1, 4096])
        case "boolean":
            return generator.random() < 0.5
    return generator.choice(wild)


@pytest.mark.parametrize("seed", range(6))
def test_random_requests_get_one_answer_each(seed: int) -> None:
    generator = random.Random(seed)
    kinds = {
        name.removesuffix("Request"): definition
        for name, definition in schema()["definitions"].items()
        if name.endswith("Request") and name != "Request"
    }
    commands = {}
    for name, definition in kinds.items():
        properties = definition["allOf"][1]["properties"]
        if name != "RunInTerminal" and "command" in properties:
            commands[properties["command"]["enum"][0]] = properties.get("arguments", {})
    ends = ("disconnect", "terminate", "restart", "launch", "attach", "initialize", "configurationDone")
    free = [each for each in commands if each not in ends]
    messages = [
        request(1, "initialize", {"adapterID": "x"}),
        request(2, "launch", {"program": "firmware:demo", "stopOnEntry": True, "maxInstructions": 40_000}),
        request(3, "configurationDone"),
    ]
    for number in range(4, 150):
        command = generator.choice(free)
        arguments = hostile(generator, commands[command])
        if isinstance(arguments, dict) and "threadId" in arguments:
            arguments["threadId"] = 1
        messages.append(request(number, command, arguments))
    answers = [each for each in answers_to(messages) if each["type"] == "response"]
    assert [each["request_seq"] for each in answers] == list(range(1, 150))
    assert sum(each["success"] for each in answers) > 10


def test_a_client_that_is_gone_ends_the_adapter() -> None:
    with debug_adapter() as adapter:
        adapter.launch("firmware:demo", stopOnEntry=True)
        adapter.start()
    with debug_adapter() as adapter:
        adapter.write_raw(b"Content-Length: 100\r\n\r\n{")
