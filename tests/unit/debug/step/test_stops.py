"""What stops the run, as it is typed."""

from __future__ import annotations

import pytest

from emulator.debug import Debugger, StopKind, debugger
from emulator.debug.step.stops import Stops
from emulator.debug.variables import GlobalVariables


@pytest.fixture
def d() -> Debugger:
    return debugger("firmware:overflow")


@pytest.fixture
def stops(d: Debugger) -> Stops:
    return Stops(d, GlobalVariables(d.image))


@pytest.mark.parametrize(
    ("text", "events"),
    [
        ("kmalloc", [8, 10, 12, 20]),
        ("kmalloc if size == 40", [10]),
        ("kmalloc if size > 24 and d.event < 12", [10]),
        ("kmalloc if eip - kmalloc == 0 and heap_error_count == 0", [8, 10, 12]),
        ("kmalloc if any(size == each for each in (24,))", [8, 20]),
        ("overflow.c:20", [8]),
    ],
)
def test_places_and_conditions(d: Debugger, stops: Stops, text: str, events: list[int]) -> None:
    stops.break_at(text)
    found = []
    while (stop := d.run()).kind is StopKind.BREAKPOINT:
        found.append(d.event)
        if stops.problem(stop):
            found.pop()
    assert found == events
    assert stop.kind is StopKind.ENDED


def test_a_place_may_be_an_address(d: Debugger, stops: Stops) -> None:
    address = d.image.symbols["kmalloc"].address
    assert stops.break_at(f"0x{address:x}").number == 1
    assert d.run().kind is StopKind.BREAKPOINT
    assert d.machine.registers().eip == address


def test_what_has_no_value_stops_and_says_why(d: Debugger, stops: Stops) -> None:
    stops.break_at("kmalloc if 1 // (size - 40)")
    reasons = [stops.problem(d.run()) for _ in range(3)]
    assert reasons == ["", "its condition has no value: integer division or modulo by zero", ""]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "where\\?"),
        (" if 1", "where\\?"),
        ("nowhere", "'nowhere' is no address and no symbol of the kernel"),
        ("heap.c:1", "no instruction belongs to heap.c:1"),
        ("kmalloc if size >", "'size >' is no expression of Python: "),
        ("kmalloc if siez > 3", "there is no variable 'siez' there"),
        ("kmalloc if x = 3", "'x = 3' is no expression of Python: "),
    ],
)
def test_what_is_no_place_is_refused(d: Debugger, stops: Stops, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=rf"^{message}"):
        stops.break_at(text)
    assert d.points == ()


def test_writes_stop_the_run(d: Debugger, stops: Stops) -> None:
    stops.watch("heap_error_count")
    stops.watch("heap_error_count 4 if d.event > 16")
    assert [d.run().kind for _ in range(2)] == [StopKind.WATCHPOINT] * 2
    for text in ("heap_error_count x", "heap_error_count 0", "heap_error_count 9999999", "0xf0000000"):
        with pytest.raises(
            ValueError, match=r"number of bytes from 1 to 1048576$|^0xf0000000 is not mapped|no RAM"
        ):
            stops.watch(text)
    assert len(d.points) == 2


def test_the_list_says_all(d: Debugger, stops: Stops) -> None:
    stops.break_at("kmalloc if size == 40")
    stops.watch("heap_error_count").enabled = False
    d.run()
    address, error_count = (d.image.symbols[each].address for each in ("kmalloc", "heap_error_count"))
    assert [text for _, text in stops.texts()] == [
        f" 1     0x{address:08x} kmalloc+0x0 heap.c:168  if size == 40  stopped once",
        f" 2  -  writes to 0x{error_count:08x} heap_error_count, 4 bytes  stopped 0 times",
    ]
