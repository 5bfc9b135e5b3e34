"""What callbacks may not do to the machine that calls them is refused; the run ends with it, and the machine is as it was."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from emulator.hle.layers import Mode, attach_layers
from emulator.loader.builtin import resolve
from emulator.loader.image import KernelImage
from emulator.machine.machine import Machine
from emulator.machine.recording import RecordedFunction, record
from tests.helpers.guest import ADDING, core_of, machine_of, symbol

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.machine.core.snapshots import Snapshot

ADD = RecordedFunction("add", 2)
RUNS = "while the machine runs: a callback may look at it, and end the run with stop()"
TALKING = "movb $10, %al\n outb %al, $0xe9\n inb $0x60, %al\n" + ADDING


def guest() -> Machine:
    return machine_of(TALKING)


CALLS: dict[str, Callable[[Machine, Snapshot], object]] = {
    "run()": lambda machine, _: machine.run(),
    "call()": lambda machine, _: machine.call("add", 1, 2),
    "snapshot()": lambda machine, _: machine.snapshot(),
    "reset()": lambda _, snapshot: snapshot.reset(),
    "discard()": lambda _, snapshot: snapshot.discard(),
    "return_here()": lambda machine, _: machine.allocations.return_here(0),
    "attach_layers()": lambda machine, _: attach_layers(machine, {"heap": Mode.NATIVE}),
}
CALLS_OF_THE_CPU: dict[str, Callable[[Machine, Snapshot], object]] = {
    "set_registers()": lambda machine, _: machine.cpu.set_registers(machine.cpu.registers()),
    "flush_code()": lambda machine, _: machine.cpu.flush_code(),
    "probe()": lambda machine, _: machine.observers.probe(0x100000, lambda *_: 0),
    "record()": lambda machine, _: machine.calls.stop(),
    "watch()": lambda machine, _: machine.observers.watch(0x300000, 4),
    "log_steps()": lambda machine, _: machine.observers.log_steps(10),
}


def from_output(machine: Machine, callback: Callable[[], object]) -> None:
    def output(_number: int, _data: bytes) -> None:
        callback()

    machine.device("debug console")  # while it sleeps, the core does not take its output
    core_of(machine).console = output


def from_a_device(machine: Machine, callback: Callable[[], object]) -> None:
    def read(_port: int, _size: int) -> int:
        callback()
        return 0

    core_of(machine).port_read = read


def from_a_probe(machine: Machine, callback: Callable[[], object]) -> None:
    def reached(_kind: int, _esp: int, eax: int) -> int:
        callback()
        return eax

    machine.observers.probe(symbol(machine, "add"), reached)


def from_recorded_calls(machine: Machine, callback: Callable[[], object]) -> None:
    def entered() -> None:
        callback()

    record(machine, [ADD])
    machine.calls.at_entries(1, entered)


def from_a_pause(machine: Machine, callback: Callable[[], object]) -> None:
    def pause() -> None:
        callback()

    machine.pause_after(3, pause)


WHERE = {
    "output": from_output,
    "a device": from_a_device,
    "a probe": from_a_probe,
    "recorded calls": from_recorded_calls,
    "a pause": from_a_pause,
}


def refused(call: str, where: str) -> None:
    machine = guest()
    do = (CALLS | CALLS_OF_THE_CPU)[call]
    core = core_of(machine)
    console, port_read = core.console, core.port_read
    WHERE[where](machine, lambda: do(machine, snapshot))
    snapshot = machine.snapshot()
    with pytest.raises(ValueError, match=rf"^{call[:-2]}\(\) ") as caught:
        machine.run(timeout_s=10)
    assert str(caught.value) == f"{call} {RUNS}"
    snapshot.reset()
    core.console, core.port_read = console, port_read
    if where in ("output", "a device", "a pause"):  # the others are called again
        assert machine.run(timeout_s=10).exit_value == 0


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("call", CALLS)
def test_what_changes_the_machine_below_a_run_is_refused(call: str, where: str) -> None:
    refused(call, where)


@pytest.mark.parametrize("where", [each for each in WHERE if each != "a pause"])
@pytest.mark.parametrize("call", CALLS_OF_THE_CPU)
def test_what_changes_the_cpu_below_the_core_is_refused(call: str, where: str) -> None:
    refused(call, where)


def test_what_a_callback_may_do() -> None:
    machine = guest()

    def note_esp() -> None:
        noted.append(machine.cpu.registers().esp)
        machine.memory.store_u32(0x300000, 5)
        machine.interrupts.pic.request(0)
        machine.stop()

    noted: list[int] = []
    from_output(machine, note_esp)
    assert machine.run(timeout_s=10).ending.value == "asked"
    assert (len(noted), machine.memory.load_u32(0x300000)) == (1, 5)


def test_another_machine_may_run_in_a_callback() -> None:
    machine, other = guest(), guest()
    values: list[int | None] = []
    from_output(machine, lambda: values.append(other.run().exit_value))
    assert machine.run(timeout_s=10).exit_value == 0
    assert values == [0]


def test_an_error_in_a_callback_leaves_the_machine_usable() -> None:
    image = KernelImage.read(resolve("firmware:demo"))
    calls: list[int] = []

    def again(*_: object) -> None:
        calls.append(1)
        if len(calls) == 1:
            machine.run()

    machine = Machine(image, on_output=again)
    with pytest.raises(ValueError, match=r"^run\(\) while the machine runs: "):
        machine.run()
    assert machine.run(timeout_s=10).exit_value == 0
    assert len(calls) > 1


FOREIGN_ENGINE = """
import json, sys
from tests.unit.machine.test_callbacks import from_output, guest
machine = guest()
machine.run()  # libunicorn is loaded by the core
import unicorn
from unicorn import x86_const

CODE = b"\\x40" * 8 + b"\\x89\\x05" + (0x11000).to_bytes(4, "little") + b"\\x40" * 8 + b"\\xf4"

def stopped_engine():
    engine = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_32)
    engine.mem_map(0x10000, 0x2000)
    engine.mem_write(0x10000, CODE)
    engine.hook_add(unicorn.UC_HOOK_MEM_WRITE, lambda uc, *_: uc.emu_stop())
    engine.emu_start(0x10000, 0x10000 + len(CODE))
    return engine.reg_read(x86_const.UC_X86_REG_EAX)

machine, values = guest(), []
from_output(machine, lambda: values.append(stopped_engine()))
machine.run()
json.dump([values, stopped_engine()], sys.stdout)
"""


def test_an_engine_of_unicorns_own_in_a_callback_stops_where_it_does_elsewhere() -> None:
    """At the store between eight increments and eight more; in a process of its own, for it imports unicorn."""
    command = [sys.executable, "-c", FOREIGN_ENGINE]
    done = subprocess.run(command, capture_output=True, check=True, cwd=Path(__file__).parents[3])
    assert json.loads(done.stdout) == [[8], 8]
