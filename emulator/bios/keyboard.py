"""The keyboard: its interrupt fills a buffer in the data area, and int 16h empties it.

Source: Ralf Brown's list, files INTERRUP.LST and MEMORY.LST (40:17 to 40:97); what depends on the BIOS as SeaBIOS has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emulator.bios.pc import DataArea, end_of_interrupt
from emulator.bios.scan_codes import Codes, key_codes
from emulator.devices import addresses

if TYPE_CHECKING:
    from emulator.bios.pc import Call, Pc

_DATA, _COMMAND = addresses.KEYBOARD
_RESET: Final = 0xFE
_FLAGS, _MORE_FLAGS, _HEAD, _TAIL, _START, _END = 0x17, 0x18, 0x1A, 0x1C, 0x80, 0x82  # in the data area
_PREFIXES, _LEDS = 0x96, 0x97
_AFTER_E0, _AFTER_E1, _RIGHT_ALT, _RIGHT_CONTROL = 0x02, 0x01, 0x08, 0x04
_RIGHT_SHIFT, _LEFT_SHIFT, _CONTROL, _ALT, _NUM_LOCK, _CAPS_LOCK = 0x01, 0x02, 0x04, 0x08, 0x20, 0x40
_SHIFT = _LEFT_SHIFT | _RIGHT_SHIFT
_RELEASED: Final = 0x80
_HELD: Final = {0x2A: _LEFT_SHIFT, 0x36: _RIGHT_SHIFT, 0x1D: _CONTROL, 0x38: _ALT}
_LOCKS: Final = {0x3A: _CAPS_LOCK, 0x45: _NUM_LOCK, 0x46: 0x10}
_INSERT: Final = 0x52
_DELETE: Final = 0x53
_KEYPAD: Final = range(0x47, 0x54)
_ENTER, _SLASH = 0x1C, 0x35
_GREY, _OLD_GREY = 0xE0, 0xF0
_ID: Final = 0x41AB
_FUNCTIONS: Final = 0x30
_ANSWERS: Final = (0xFA, 0xFE)  # of the keyboard, to commands


# -- the interrupt -------------------------------------------------------------------------------------


def key_moved(call: Call) -> None:
    """Take what the keyboard has sent: a key, a part of one, or an answer."""
    pc, data = call.pc, DataArea(call.pc)
    byte = pc.read_port(_DATA)
    prefixes = data.get(_PREFIXES)
    if byte in {0xE0, 0xE1}:
        data.put(_PREFIXES, prefixes | (_AFTER_E0 if byte == 0xE0 else _AFTER_E1))  # noqa: PLR2004 - the same
    elif byte not in _ANSWERS:
        _take(pc, data, byte)
        data.put(_PREFIXES, data.get(_PREFIXES) & ~(_AFTER_E0 | (0 if byte & 0x7F == 0x1D else _AFTER_E1)))  # noqa: PLR2004
    end_of_interrupt(pc)


def _take(pc: Pc, data: DataArea, byte: int) -> None:
    scan, is_down = byte & ~_RELEASED, not byte & _RELEASED
    prefixes, flags = data.get(_PREFIXES), data.get(_FLAGS)
    is_grey = bool(prefixes & _AFTER_E0)
    if prefixes & _AFTER_E1:
        return  # Pause
    if scan in _HELD:
        if not (
            is_grey and _HELD[scan] & _SHIFT
        ):  # the keyboard's own, around keys that are not on the keypad
            _hold(data, _HELD[scan], is_grey=is_grey, is_down=is_down)
    elif scan in _LOCKS:
        if is_down:
            data.put(_FLAGS, flags ^ _LOCKS[scan])
    elif is_down and scan == _DELETE and flags & (_CONTROL | _ALT) == _CONTROL | _ALT:
        pc.write_port(_COMMAND, _RESET)
    elif is_down:
        if scan == _INSERT and not flags & _SHIFT:
            data.put(_FLAGS, flags ^ 0x80)
        put_key(data, _code(scan, flags, is_grey=is_grey))


def _hold(data: DataArea, flag: int, *, is_grey: bool, is_down: bool) -> None:
    """Note that Shift, Ctrl or Alt is held, or not any more."""

    def change(offset: int, bits: int) -> None:
        data.put(offset, data.get(offset) | bits if is_down else data.get(offset) & ~bits)

    change(_FLAGS, flag)
    if flag & (_CONTROL | _ALT):
        if is_grey:
            change(_PREFIXES, _RIGHT_CONTROL if flag == _CONTROL else _RIGHT_ALT)
        else:
            change(_MORE_FLAGS, 0x01 if flag == _CONTROL else 0x02)


def _code(scan: int, flags: int, *, is_grey: bool) -> int:
    """Return what a key that goes down is in the buffer; 0: nothing."""
    codes = key_codes().get(scan, Codes())
    if flags & _ALT:
        code = codes.alt
    elif flags & _CONTROL:
        code = codes.control
    else:
        shifted = bool(flags & _SHIFT)
        if scan in _KEYPAD:
            shifted = shifted != bool(flags & _NUM_LOCK) and not is_grey
        elif chr(codes.alone & 0xFF).isalpha():
            shifted = shifted != bool(flags & _CAPS_LOCK)
        code = codes.shift if shifted else codes.alone
    if is_grey and scan in {_ENTER, _SLASH}:
        return code and _GREY << 8 | code & 0xFF
    if is_grey and code and not code & 0xFF:
        return code | _GREY
    return code


def put_key(data: DataArea, code: int) -> bool:
    """Put a key into the buffer, if it is one. Return whether there was room."""
    if not code:
        return True
    tail = data.get(_TAIL, 2)
    after = tail + 2 if tail + 2 < data.get(_END, 2) else data.get(_START, 2)
    if after == data.get(_HEAD, 2):
        return False
    data.put(tail, code, 2)
    data.put(_TAIL, after, 2)
    return True


# -- int 16h -------------------------------------------------------------------------------------------


def serve(call: Call) -> None:
    """Serve int 16h."""
    data = DataArea(call.pc)
    match call.ah:
        case 0x00 | 0x10:
            _next_key(call, data, is_old=call.ah == 0)
        case 0x01 | 0x11:
            _look(call, data, is_old=call.ah == 1)
        case 0x02:
            call.al = data.get(_FLAGS)
        case 0x12:
            call.al = data.get(_FLAGS)
            call.ah = _held_flags(data)
        case 0x05:
            call.al = 0 if put_key(data, call.cx) else 1
        case _:
            _say(call)


def _say(call: Call) -> None:
    """Say what there is. Keys that are held down are not repeated, whatever a caller wants (AH=03)."""
    match call.ah:
        case 0x09:
            call.al = _FUNCTIONS
        case 0x0A:
            call.bx = _ID
        case 0x92:
            call.ah = 0x80
        case 0x03 | 0xA2:
            pass
        case _:
            call.lacks(ah=None)


def _held_flags(data: DataArea) -> int:
    more, right = data.get(_MORE_FLAGS), data.get(_PREFIXES) & (_RIGHT_CONTROL | _RIGHT_ALT)
    return more & ~(_RIGHT_CONTROL | _RIGHT_ALT) | right


def _next_key(call: Call, data: DataArea, *, is_old: bool) -> None:
    head = data.get(_HEAD, 2)
    if head == data.get(_TAIL, 2):
        call.wait()
        return
    after = head + 2
    data.put(_HEAD, after if after < data.get(_END, 2) else data.get(_START, 2), 2)
    call.ax = _shown(data.get(head, 2), is_old=is_old)


def _look(call: Call, data: DataArea, *, is_old: bool) -> None:
    head = data.get(_HEAD, 2)
    is_empty = head == data.get(_TAIL, 2)
    call.set_zero(on=is_empty)
    if is_empty:
        call.pc.read_port(_COMMAND)  # so that whoever types sees that somebody listens
        call.asked_in_vain()
    else:
        call.ax = _shown(data.get(head, 2), is_old=is_old)


def _shown(code: int, *, is_old: bool) -> int:
    """Return a key as a caller is given it: older calls know no keys beside the keypad."""
    if not is_old:
        return code & 0xFF00 if code & 0xFF == _OLD_GREY and code >> 8 else code
    if code >> 8 == _GREY:
        return (_ENTER if code & 0xFF in {0x0D, 0x0A} else _SLASH) << 8 | code & 0xFF
    return code & 0xFF00 if code & 0xFF in {_GREY, _OLD_GREY} and code >> 8 else code
