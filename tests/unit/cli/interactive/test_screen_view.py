from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from emulator.cli.interactive.screen_view import ScreenView
from emulator.devices.addresses import TEXT_MEMORY
from emulator.report.text.style import Style
from tests.helpers.guest import machine_of

if TYPE_CHECKING:
    from emulator.machine.machine import Machine


class _Terminal:
    """Takes the place of standard output on a terminal."""

    def __init__(self, columns: int, rows: int, *, colour: bool = False) -> None:
        self.size = columns, rows
        self.style = Style(columns, colour)
        self.drawn: list[str] = []

    def draw(self, text: str) -> None:
        self.drawn.append(text)

    def sequence(self, data: bytes) -> None:
        self.drawn.append(data.decode())


def _view(machine: Machine, terminal: Any) -> ScreenView:  # noqa: ANN401 - takes the place of an Output
    return ScreenView(machine, terminal, "the status")


@pytest.fixture
def machine() -> Machine:
    """Return a machine whose screen shows the letter of its row everywhere."""
    machine = machine_of("1: jmp 1b")
    for row in range(25):
        machine.memory.write(TEXT_MEMORY[0] + 160 * row, bytes((ord("a") + row, 0x07)) * 80)
    return machine


def put_cursor(machine: Machine, row: int, column: int) -> None:
    at = 80 * row + column
    machine.ports.write(0x3D4, 2, (at & 0xFF00) | 0x0E)
    machine.ports.write(0x3D4, 2, (at & 0xFF) << 8 | 0x0F)


def test_only_what_has_changed_is_drawn(machine: Machine) -> None:
    terminal = _Terminal(80, 26)
    view = _view(machine, terminal)
    view.draw()
    assert terminal.drawn[0].count("\x1b[K") == 26
    view.draw()
    assert len(terminal.drawn) == 1
    machine.memory.write(TEXT_MEMORY[0] + 160 * 3, b"X")
    view.draw()
    assert terminal.drawn[1] == f"\x1b[4;1HX{'d' * 79}\x1b[0m\x1b[K\x1b[1;1H\x1b[?25h"
    put_cursor(machine, 4, 2)
    view.draw()
    assert terminal.drawn[2] == "\x1b[5;3H\x1b[?25h"


def test_the_cursor_can_be_off_the_screen(machine: Machine) -> None:
    terminal = _Terminal(80, 25)
    put_cursor(machine, 25, 0)
    _view(machine, terminal).draw()
    assert terminal.drawn[0].endswith("\x1b[?25l")


@pytest.mark.parametrize(
    ("cursor", "first", "last", "at"),
    [
        ((0, 0), "a", "j", "1;1"),
        ((9, 19), "a", "j", "10;20"),
        ((12, 30), "d", "m", "10;20"),
        ((24, 79), "p", "y", "10;20"),
    ],
)
def test_a_small_terminal_shows_the_part_with_the_cursor(
    machine: Machine, cursor: tuple[int, int], first: str, last: str, at: str
) -> None:
    terminal = _Terminal(20, 10)
    put_cursor(machine, *cursor)
    view = _view(machine, terminal)
    view.hide_status()
    view.draw()
    assert f"\x1b[1;1H{first * 20}\x1b[0m" in terminal.drawn[0]
    assert f"\x1b[10;1H{last * 20}\x1b[0m" in terminal.drawn[0]
    assert terminal.drawn[0].endswith(f"\x1b[{at}H\x1b[?25h")


def test_the_status_takes_the_last_line_until_it_is_hidden(machine: Machine) -> None:
    terminal = _Terminal(8, 25)
    view = _view(machine, terminal)
    view.draw()
    assert "\x1b[25;1Hthe stat\x1b[0m" in terminal.drawn[0]
    view.hide_status()
    view.draw()
    assert terminal.drawn[1].startswith(f"\x1b[25;1H{'y' * 8}\x1b[0m")
    view.show_status("another one")
    view.draw()
    assert terminal.drawn[2].startswith("\x1b[25;1Hanother \x1b[0m")


def test_another_size_draws_all_of_it(machine: Machine) -> None:
    terminal = _Terminal(80, 30)
    view = _view(machine, terminal)
    view.draw()
    terminal.size = 40, 12
    view.draw()
    assert terminal.drawn[1].startswith("\x1b[0m\x1b[2J\x1b[1;1Haaaa")
    view.close()
    view.open()
    view.draw()
    assert terminal.drawn[-1].count("\x1b[K") == 12


def test_colours_are_those_of_the_cells(machine: Machine) -> None:
    terminal = _Terminal(80, 26, colour=True)
    machine.memory.write(TEXT_MEMORY[0], b"A\x1eB\x1eC\x4f")
    _view(machine, terminal).draw()
    assert "\x1b[1;1H\x1b[0;93;44mAB\x1b[0;97;41mC\x1b[0;37;40maaa" in terminal.drawn[0]


def test_graphics_are_named(machine: Machine) -> None:
    terminal = _Terminal(70, 25)
    view = _view(machine, terminal)
    view.hide_status()
    view.draw()
    machine.ports.write(0x3CE, 2, 0x0F06)
    view.draw()
    assert terminal.drawn[1].startswith(
        "\x1b[25;1Hkmemu: the kernel shows graphics, which a terminal does not; "
    )
    machine.ports.write(0x3CE, 2, 0x0E06)  # text
    view.draw()
    assert terminal.drawn[2].startswith(f"\x1b[25;1H{'y' * 70}\x1b[0m")


def test_a_screen_has_the_rows_that_it_says(machine: Machine) -> None:
    terminal = _Terminal(80, 51)
    machine.memory.write(TEXT_MEMORY[0] + 160 * 49, b"Z")
    machine.ports.write(0x3D4, 2, 0x4709)  # characters of 8 lines
    _view(machine, terminal).draw()
    assert "\x1b[50;1HZ" in terminal.drawn[0]
    assert "\x1b[51;1Hthe status" in terminal.drawn[0]
