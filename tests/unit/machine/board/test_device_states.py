"""Devices go back to what snapshots keep of them; those that nobody touched are left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast
from unittest.mock import Mock

import pytest

from emulator.devices.addresses import LOCAL_APIC
from emulator.devices.apic.local_apic import Register
from emulator.devices.board import Row, pc_board
from emulator.devices.vga.modes import VIDEO_MODES
from emulator.machine.board.ports import DeviceStates
from tests.helpers.guest import machine_of
from tests.unit.machine.board.test_board import AFTER_NS, PORT, Alarm

if TYPE_CHECKING:
    from emulator.devices.board import Wires
    from emulator.machine.machine import Machine

PRIORITY = LOCAL_APIC[0] + Register.TASK_PRIORITY
SERVE = f"""
    hlt
    .globl set_alarm
    set_alarm: mov 4(%esp), %eax; mov $PORT, %edx; outb %al, %dx; ret
    .globl wait
    wait: mov ${AFTER_NS // 10}, %ecx; 1: loop 1b; ret
    .globl apic_off
    apic_off: mov $0x1b, %ecx; rdmsr; and $~0x800, %eax; wrmsr; ret
    .globl set_priority
    set_priority: mov 4(%esp), %eax; mov %eax, {PRIORITY:#x}; ret
    .globl priority
    priority: mov {PRIORITY:#x}, %eax; ret
""".replace("PORT", str(PORT))


class CountingAlarm(Alarm):
    """One that counts how often it is asked for its state, and put back."""

    def __init__(self, wires: Wires) -> None:
        super().__init__(wires)
        self.wires = wires
        self.saved = self.restored = 0

    def save(self) -> object:
        """Return its state."""
        self.saved += 1
        return super().save()

    def restore(self, state: object) -> None:
        """Go back to that."""
        self.restored += 1
        super().restore(state)


@pytest.fixture
def machine() -> Machine:
    board = (*pc_board(), Row(lambda wires: wires.ticking(CountingAlarm(wires)), name="alarm"))
    machine = machine_of(SERVE, board=board)
    machine.run()
    return machine


def alarm_of(machine: Machine) -> CountingAlarm:
    return cast("CountingAlarm", machine.device("alarm"))


def test_a_device_that_nobody_touched_is_neither_asked_nor_put_back(machine: Machine) -> None:
    alarm = alarm_of(machine)
    outer = machine.snapshot()
    machine.call("wait")
    inner = machine.snapshot()
    for snapshot in (inner, inner, outer):
        snapshot.reset()
    assert (alarm.saved, alarm.restored) == (1, 0)


def test_a_device_that_was_touched_is_put_back_once(machine: Machine) -> None:
    alarm = alarm_of(machine)
    machine.call("set_alarm", 7)
    snapshot = machine.snapshot()
    machine.call("set_alarm", 8)
    for _ in range(3):
        snapshot.reset()
        assert alarm.read_port(PORT, 1) == 7
    assert (alarm.saved, alarm.restored) == (2, 1)


def test_a_device_goes_back_to_each_of_two_snapshots(machine: Machine) -> None:
    alarm = alarm_of(machine)
    lengths = {}
    for length in (1, 2, 3):
        machine.call("set_alarm", length)
        lengths[machine.snapshot()] = length
    for snapshot, length in reversed(lengths.items()):
        for _ in range(2):
            snapshot.reset()
            assert alarm.read_port(PORT, 1) == length
            machine.call("set_alarm", 9)


def test_a_timer_that_has_ticked_ticks_again(machine: Machine) -> None:
    alarm = alarm_of(machine)
    machine.call("set_alarm", 1)
    snapshot = machine.snapshot()
    for _ in range(3):
        assert alarm.next_tick_ns() is not None
        machine.call("wait")
        assert alarm.next_tick_ns() is None
        snapshot.reset()


def test_an_apic_that_its_registers_changed_goes_back(machine: Machine) -> None:
    snapshot = machine.snapshot()
    for _ in range(2):
        machine.call("set_priority", 0x20)
        assert machine.call("priority") == 0x20
        snapshot.reset()
        assert machine.call("priority") == 0


def test_what_a_user_does_to_devices_is_undone(machine: Machine) -> None:
    for name in ("keyboard", "COM1"):
        machine.device(name)
    snapshot = machine.snapshot()
    untouched = machine.ports.save()
    for _ in range(2):
        machine.keys("a")
        machine.send(b"b")
        assert machine.ports.save() != untouched
        snapshot.reset()
        assert machine.ports.save() == untouched


def test_a_mode_of_graphics_goes_back_in_all_devices(machine: Machine) -> None:
    machine.screenshot()  # all of the adapter is awake
    snapshot = machine.snapshot()
    text = machine.ports.save()
    for _ in range(2):
        machine.set_video_mode(VIDEO_MODES[0x101])
        assert machine.ports.save() != text
        snapshot.reset()
        assert machine.ports.save() == text
        for port, value in ((0x1CE, 4), (0x1CF, 1)):
            machine.ports.write(port, 2, value)
        assert machine.ports.save() != text
        snapshot.reset()
        assert machine.ports.save() == text


def test_a_device_that_came_after_a_snapshot_goes_back_to_what_it_was_then(machine: Machine) -> None:
    early, late = CountingAlarm(alarm_of(machine).wires), CountingAlarm(alarm_of(machine).wires)
    states = DeviceStates()
    states.add(early)
    saved = states.save()
    states.add(late)
    for alarm in (early, late):
        states.touched(alarm)
        alarm.write_port(PORT, 1, 5)
    assert list(states.restore(saved)) == [early, late]
    assert [alarm.read_port(PORT, 1) for alarm in (early, late)] == [0, 0]
    assert not list(states.restore(saved))


def test_an_apic_that_the_cpu_switched_off_is_on_again(machine: Machine) -> None:
    machine.device("local APIC")
    machine.device("I/O APIC")
    snapshot = machine.snapshot()
    on = machine.ports.save()
    machine.call("apic_off")
    assert machine.ports.save() != on
    snapshot.reset()
    assert machine.ports.save() == on


def test_a_device_that_another_one_touches_while_it_goes_back_is_put_back_the_next_time() -> None:
    states = DeviceStates()
    first, second = Mock(), Mock()
    second.restore.side_effect = lambda _state: states.touched(first)
    states.add(first)
    states.add(second)
    saved = states.save()
    states.touched(second)
    assert list(states.restore(saved)) == [second]
    assert list(states.restore(saved)) == [first]
    assert list(states.restore(saved)) == []
