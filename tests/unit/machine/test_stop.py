"""A callback ends the run that goes on."""

from __future__ import annotations

from emulator import Console, Machine, boot
from emulator.guest.symbolizer import Symbolizer
from emulator.machine.call_stack import callers
from emulator.machine.execution import Returned


def test_output_stops_a_run_and_the_next_one_goes_on() -> None:
    machines: list[Machine] = []

    def stop(_console: Console, data: bytes) -> None:
        if b"lowest frame first" in data:
            machines[0].stop()

    machine = boot("firmware:demo", on_output=stop)
    machines.append(machine)
    outcome = machine.run(timeout_s=20)
    assert (outcome.ending, outcome.exit_code) == (Returned.ASKED, None)
    assert machine.output[Console.SERIAL].endswith(b"lowest frame first\n")
    assert machine.run(timeout_s=20).exit_value == 0
    assert machine.output[Console.SERIAL].endswith(b"done\n")
    undisturbed = boot("firmware:demo")
    undisturbed.run()
    assert machine.output == undisturbed.output


def test_a_pause_stops_a_run_and_what_was_asked_before_a_run_does_not_count() -> None:
    machine = boot("firmware:demo")
    machine.stop()
    machine.pause_after(5000, machine.stop)
    outcome = machine.run()
    assert outcome.ending is Returned.ASKED
    assert 5000 <= outcome.instructions < 6000
    assert outcome.eip == machine.cpu.registers().eip


def test_a_machine_that_stands_still_has_its_call_stack() -> None:
    machine = boot("firmware:leak")
    machine.pause_after(20_000, machine.stop)
    assert machine.run().ending is Returned.ASKED
    frames = Symbolizer(machine.image).backtrace(
        machine.cpu.registers().eip, callers(machine).return_addresses
    )
    assert [frame.function for frame in frames][-2:] == ["kmain", "_start"]
    assert len(frames) > 2
