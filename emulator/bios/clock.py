"""Ticks of the timer, the time of day, and waits: the interrupts of timer and clock, and int 1Ah.

Source: Ralf Brown's list, file INTERRUP.LST; what depends on the BIOS as SeaBIOS has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emulator.bios.pc import DataArea, end_of_interrupt
from emulator.devices import addresses

if TYPE_CHECKING:
    from emulator.bios.pc import Call, Pc

_INDEX, _DATA = addresses.RTC
_TICKS, _DAY_PASSED = 0x6C, 0x70  # in the data area
_TICKS_A_DAY: Final = 0x1800B0
_WAIT_LEFT, _WAIT_STATE = 0x9C, 0xA0
_WAITS, _WAIT_OVER = 0x01, 0x80
_WAIT_STEP_US: Final = 976  # of the clock's periodic interrupt
_STATUS_A, _STATUS_B, _STATUS_C = 0x0A, 0x0B, 0x0C  # of the clock
_PERIODIC, _PERIODIC_FLAG, _UPDATING, _SUMMER = 0x40, 0x40, 0x80, 0x01
_STOPPED: Final = 0x80
_CENTURY: Final = 0x32
_SLAVE_MASK, _CLOCK_LINE = 0xA1, 0x01


def read_clock(pc: Pc, register: int) -> int:
    """Return a register of the real-time clock."""
    pc.write_port(_INDEX, register)
    return pc.read_port(_DATA)


def _write_clock(pc: Pc, register: int, value: int) -> None:
    pc.write_port(_INDEX, register)
    pc.write_port(_DATA, value)


# -- interrupts --------------------------------------------------------------------------------------


def tick(call: Call) -> None:
    """Count a tick of the timer."""
    data = DataArea(call.pc)
    ticks = data.get(_TICKS, 4) + 1
    if ticks >= _TICKS_A_DAY:
        ticks = 0
        data.put(_DAY_PASSED, data.get(_DAY_PASSED) + 1 & 0xFF)
    data.put(_TICKS, ticks, 4)


def clock_interrupt(call: Call) -> None:
    """Count down the time that somebody waits."""
    pc, data = call.pc, DataArea(call.pc)
    happened = read_clock(pc, _STATUS_C) & read_clock(pc, _STATUS_B)
    if happened & _PERIODIC_FLAG and data.get(_WAIT_STATE) & _WAITS:
        left = data.get(_WAIT_LEFT, 4)
        if left > _WAIT_STEP_US:
            data.put(_WAIT_LEFT, left - _WAIT_STEP_US, 4)
        else:
            data.put(_WAIT_STATE, _WAIT_OVER)
            _let_tick(pc, on=False)
    end_of_interrupt(pc, slave=True)


def _let_tick(pc: Pc, *, on: bool) -> None:
    status = read_clock(pc, _STATUS_B)
    _write_clock(pc, _STATUS_B, status | _PERIODIC if on else status & ~_PERIODIC)


def wait(call: Call) -> None:
    """Wait CX:DX microseconds (int 15h, AH=86)."""
    data = DataArea(call.pc)
    match data.get(_WAIT_STATE):
        case 0:
            data.put(_WAIT_LEFT, call.cx << 16 | call.dx, 4)
            data.put(_WAIT_STATE, _WAITS)
            call.pc.write_port(_SLAVE_MASK, call.pc.read_port(_SLAVE_MASK) & ~_CLOCK_LINE)
            _let_tick(call.pc, on=True)
            call.wait()
        case 0x01:
            call.wait()
        case _:
            data.put(_WAIT_STATE, 0)
            call.done(call.ah)


# -- int 1Ah -----------------------------------------------------------------------------------------


def serve(call: Call) -> None:
    """Serve int 1Ah."""
    if call.ah == 0xB1:  # noqa: PLR2004 - PCI
        from emulator.bios import pci

        pci.serve(call)
        return
    service = {0: _ticks, 1: _set_ticks, 2: _time, 3: _set_time, 4: _date, 5: _set_date}.get(call.ah)
    if service is None:
        call.lacks(ah=call.ah)
    else:
        service(call)


def _ticks(call: Call) -> None:
    data = DataArea(call.pc)
    ticks = data.get(_TICKS, 4)
    call.cx, call.dx, call.al = ticks >> 16, ticks, data.get(_DAY_PASSED)
    data.put(_DAY_PASSED, 0)
    call.done()
    call.asked_in_vain()


def _set_ticks(call: Call) -> None:
    data = DataArea(call.pc)
    data.put(_TICKS, call.cx << 16 | call.dx, 4)
    data.put(_DAY_PASSED, 0)
    call.done()


def _updates(call: Call) -> bool:
    """Return whether the clock changes at this moment; the caller asks again then."""
    if not read_clock(call.pc, _STATUS_A) & _UPDATING:
        return False
    call.failed(call.ah)
    return True


def _time(call: Call) -> None:
    if _updates(call):
        return
    call.dh, call.cl, call.ch = (read_clock(call.pc, register) for register in (0x00, 0x02, 0x04))
    call.dl = read_clock(call.pc, _STATUS_B) & _SUMMER
    call.ah, call.al = 0, call.ch
    call.set_carry(on=False)


def _set_time(call: Call) -> None:
    for register, value in ((0x00, call.dh), (0x02, call.cl), (0x04, call.ch)):
        _write_clock(call.pc, register, value)
    _start(call)


def _date(call: Call) -> None:
    call.ah = 0
    if _updates(call):
        return
    call.cl, call.dh, call.dl = (read_clock(call.pc, register) for register in (0x09, 0x08, 0x07))
    call.ch = read_clock(call.pc, _CENTURY)
    call.al = call.ch
    call.set_carry(on=False)


def _set_date(call: Call) -> None:
    for register, value in ((0x09, call.cl), (0x08, call.dh), (0x07, call.dl), (_CENTURY, call.ch)):
        _write_clock(call.pc, register, value)
    _start(call)


def _start(call: Call) -> None:
    """Let the clock go on."""
    status = read_clock(call.pc, _STATUS_B) & ~_STOPPED
    _write_clock(call.pc, _STATUS_B, status)
    call.ah, call.al = 0, status
    call.set_carry(on=False)
