"""Spin locks that are held when they should not be, in any kernel.

A spin lock is a word that is taken with an atomic instruction. There is one CPU: whoever waits for a lock with
interrupts off waits for ever, because nobody else can give it back. Which words are locks is not written anywhere; a
symbol that is called so is believed to be one if its last change was made by an atomic instruction.

Shortcomings. A lock that is held at the end is only found if it has a symbol of its own whose name ends in ``lock``.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.check.call_sites import CallSites
from emulator.check.faulting_writes import faulting_write_of
from emulator.check.findings import Finding, Kind
from emulator.errors import GuestStopped
from emulator.loader.functions.demangling import demangled
from emulator.machine.core.observed import StepKind
from emulator.replay.word import Word, last_change_of_run
from emulator.x86 import WORD_SIZE, Eflags

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.check.findings import FaultingWrite
    from emulator.machine.machine import Machine
    from emulator.replay.engine import Rerun
    from emulator.trace.trace import Trace

_TURNS: Final = 3
_INSTRUCTIONS: Final = 96
_STEPS_MAX: Final = 1024
_STACK_NEAR: Final = 256
_is_lock_name: Final = re.compile(
    r"(?:.*_)?(?:spin)?lock(?:\.\d+)?"
).fullmatch  # a static one may be "lock.0"
_is_atomic: Final = re.compile(r"lock |xchg ").match  # SDM volume 3, 9.1.2.1: xchg locks the bus by itself


class Lock(NamedTuple):
    """A spin lock: its name, and the physical address of its word."""

    name: str
    address: int


def check_locks(machine: Machine, trace: Trace | None, rerun: Rerun, *, finished: bool) -> list[Finding]:
    """Check the locks at the end of a run.

    Args:
        machine: As the run left it.
        trace: Of the run; None: findings have no call sites.
        rerun: To find out who took a lock.
        finished: The kernel ended the run by itself; otherwise it may be about to give back what it holds, and only a
            lock that it waits for is reported.
    """
    if not finished:
        lock = _awaited(machine)
        return [] if lock is None else _taken_twice(machine, lock, trace, rerun)
    found = []
    for lock in _named_locks(machine):
        if machine.memory.load_u32(lock.address):
            taker = _taker(lock, rerun)
            if taker is not None and _is_atomic(taker.text):
                message = f"{lock.name} is still held at the end of the run"
                found.append(Finding(Kind.LOCK_HELD, "", message, None, faulting_write=taker))
    return found


def _taken_twice(machine: Machine, lock: Lock, trace: Trace | None, rerun: Rerun) -> list[Finding]:
    taker = _taker(lock, rerun)
    if taker is None or not _is_atomic(taker.text):
        return []
    waiting = _waiting(machine, lock)
    details = ["waits for it:", *(f"  {frame}" for frame in waiting.backtrace)] if waiting else []
    message = f"{lock.name} is taken by who holds it already: the kernel waits for ever"
    call_site = None if trace is None else CallSites(trace).at(trace.event_count)
    return [Finding(Kind.LOCK_TWICE, "", message, call_site, faulting_write=taker, details=tuple(details))]


def _taker(lock: Lock, rerun: Rerun) -> FaultingWrite | None:
    """Return the instruction that took a lock for the last time."""
    replay = rerun.replay()
    return faulting_write_of(replay.machine, last_change_of_run(replay, Word(lock.address)), lock.address)


def _named_locks(machine: Machine) -> Iterator[Lock]:
    for symbol in machine.image.symbols.values():
        name = demangled(symbol.name)
        if symbol.kind == "object" and symbol.size >= WORD_SIZE and _is_lock_name(name):
            address = machine.translate(symbol.address)
            if address is not None and address + WORD_SIZE <= len(machine.memory):
                yield Lock(name, address)


def _awaited(machine: Machine) -> Lock | None:
    """Return the word that the CPU, with interrupts off, does nothing but read, and which is not 0."""
    registers = machine.registers()
    if registers.eflags & Eflags.IF:
        return None
    stack = machine.translate(registers.on_stack(registers.esp))
    with machine.snapshot(), machine.observers.log_steps(_STEPS_MAX) as log:
        with suppress(GuestStopped):
            machine.run(max_instructions=_INSTRUCTIONS)
        steps = log.steps()
    locks = [
        step.address
        for step in steps
        if step.kind is not StepKind.INSTRUCTION
        and (stack is None or abs(step.address - stack) > _STACK_NEAR)
    ]
    if len(set(locks)) != 1 or len(locks) < _TURNS or locks[0] + WORD_SIZE > len(machine.memory):
        return None
    if not machine.memory.load_u32(locks[0]):
        return None
    return Lock(_name_of(machine, locks[0]), locks[0])


def _waiting(machine: Machine, lock: Lock) -> FaultingWrite | None:
    """Return the instruction that tries to take a lock again and again."""
    with machine.snapshot(), machine.observers.watch(lock.address, WORD_SIZE) as watchpoint:
        with suppress(GuestStopped):
            machine.run(max_instructions=_INSTRUCTIONS)
        write = watchpoint.last_write()
    return faulting_write_of(machine, write, lock.address)


def _name_of(machine: Machine, address: int) -> str:
    for symbol in machine.image.symbols.values():
        offset = address - machine.image.physical(symbol.address)
        if symbol.kind == "object" and 0 <= offset < max(symbol.size, WORD_SIZE):
            name = demangled(symbol.name)
            return f"{name}+0x{offset:x}" if offset else name
    return f"the lock at 0x{address:08x}"
