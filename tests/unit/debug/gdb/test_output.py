from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.debug import Debugger
from emulator.debug.gdb.output import NewOutput
from emulator.machine.consoles import Console
from tests.helpers.guest import machine_of, symbol

if TYPE_CHECKING:
    from collections.abc import Iterator

SAYS = """
        movl    $5, %ecx
        movb    letter, %al
again:  outb    %al, $0xe9
        incb    %al
        loop    again
        exit    0
        .data
letter: .byte   'A'
"""


@pytest.fixture
def talking() -> Iterator[tuple[Debugger, NewOutput, list[bytes]]]:
    output, said = NewOutput(), []
    machine = machine_of(SAYS, on_output=output)
    output.follow(machine)
    output.pass_on = lambda console, data: said.append(data) if console is Console.DEBUG else None
    with Debugger(machine) as debugger:
        yield debugger, output, said


def test_what_is_written_again_is_not_passed_on_again(
    talking: tuple[Debugger, NewOutput, list[bytes]],
) -> None:
    debugger, _, said = talking
    debugger.go_to(8)
    debugger.go_to(0)
    debugger.go_to(5)
    debugger.run()
    debugger.back()
    debugger.run()
    assert b"".join(said) == b"ABCDE"


def test_what_a_changed_guest_writes_is_new(talking: tuple[Debugger, NewOutput, list[bytes]]) -> None:
    debugger, output, said = talking
    debugger.run()
    debugger.go_to(1)
    debugger.write_memory(symbol(debugger.machine, "letter"), b"a")
    output.forget_future()
    debugger.run()
    assert b"".join(said) == b"ABCDEabcde"
