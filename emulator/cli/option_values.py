"""Read the values of options: text to numbers, ranges, layers."""

from __future__ import annotations

from argparse import ArgumentTypeError
from typing import TYPE_CHECKING

from emulator.x86 import WORD_MAX

if TYPE_CHECKING:
    from emulator.debug.listening import Address
    from emulator.hle.layers import Mode
    from emulator.machine.memory import RamWindow
    from emulator.trace.queries.selection import Bounds
    from emulator.trace.queries.totals import Measure

PROTOCOLS = ("multiboot1", "multiboot2")
"""Names of the boot protocols."""

_SECONDS_MAX = 1e9
_DIGITS_MAX = 10
_CONTENTS_MAX = 64 << 20
_RANGE = "range such as 10..20, 4K.. or ..0x1fffff, and no number"
_UNITS = {"K": 10, "M": 20, "G": 30}
_LONG_UNITS = ("KiB", "MiB", "GiB")


def size(text: str) -> int:
    """Read a size or address: ``0x100000``, ``4096``, ``64M``, ``64MiB``."""
    short = text[:-2] if text.endswith(_LONG_UNITS) else text
    shift = _UNITS.get(short[-1:].upper(), 0)
    digits = short[:-1] if shift else short
    try:
        number = int(digits, 0)
    except ValueError:
        number = -1
    if number < 0 or not digits[0].isdigit():
        raise ArgumentTypeError(f"{text!r} is no size such as 64M, 1G or 0x4000000")
    return number << shift


def file_contents(name: str) -> bytes:
    """Read the regular file that an option names.

    Raises:
        BadFile: It cannot be read, or is larger than 64 MiB.
    """
    from emulator.errors import BadFile  # only if the option is given
    from emulator.loader.files import read_file

    try:
        return read_file(name, _CONTENTS_MAX)
    except OSError as error:
        raise BadFile(name, f"cannot be read: {error.strerror}") from error


def png_name(name: str) -> str:
    """Check the name of a PNG file, and return it."""
    if not name.lower().endswith(".png"):
        raise ArgumentTypeError(f"{name!r} is no PNG file: the name does not end in .png")
    return name


def keys(text: str) -> str:
    """Check that a text can be typed, and return it."""
    if not text:
        return text
    from emulator.devices.keyboard.key_text import UnknownKey, key_events  # only if the option is given

    try:
        key_events(text)
    except UnknownKey as error:
        raise ArgumentTypeError(str(error)) from None
    return text


def awaited_text(text: str) -> str:
    """Check that a text can appear, and return it."""
    if not text:
        raise ArgumentTypeError("'' is no text that appears")
    return text


def address(text: str) -> int:
    """Read a physical address below 4 GiB, as a size."""
    try:
        number = size(text)
    except ArgumentTypeError:
        number = WORD_MAX + 1
    if number > WORD_MAX:
        raise ArgumentTypeError(f"{text!r} is no address such as 0x100000")
    return number


def listening_address(text: str) -> Address:
    """Read a loopback address and a port at which clients are waited for."""
    from emulator.debug import listening  # only if the option is given

    try:
        return listening.listening_address(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error


def date(text: str) -> int:
    """Read a date, or a date and a time, as ISO 8601 has them. Return seconds since 1970."""
    from datetime import UTC, datetime  # only if the option is given

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no date such as 2024-02-29 or 2024-02-29T12:30:00") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp())


def area_size(text: str) -> tuple[str, int]:
    """Read ``SIZE`` or ``AREA=SIZE``; the area is empty where there is none."""
    area, _, value = text.rpartition("=")
    return area, size(value)


def area_share(text: str) -> tuple[str, float]:
    """Read a share from 0 to 1, or ``AREA=SHARE``; the area is empty where there is none."""
    area, _, value = text.rpartition("=")
    try:
        share = float(value)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:  # NaN fails this, too
        raise ArgumentTypeError(f"{text!r} is no share from 0 to 1, such as 0.3, or AREA=SHARE")
    return area, share


def ram_window(text: str) -> RamWindow:
    """Read a RAM window: a size counted from 1 MiB upwards, or ``START-END``."""
    from emulator.machine.address_map import MIB  # only if the option is given
    from emulator.machine.memory import RamWindow, check_ram

    start, dash, end = text.partition("-")
    window = RamWindow(size(start), size(end)) if dash else RamWindow(MIB, MIB + size(text))
    try:
        return check_ram(window)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def bounds(text: str) -> Bounds:
    """Read a range, both of whose ends belong to it: ``A..B``, ``A..``, ``..B``, or ``N`` alone."""
    from emulator.trace.queries.selection import Bounds  # only if the option is given

    first, dots, last = text.partition("..")
    try:
        if not dots:
            number = size(text)
            return Bounds(number, number)
        result = Bounds(size(first) if first else 0, size(last) if last else None)
    except ArgumentTypeError:
        raise ArgumentTypeError(f"{text!r} is no {_RANGE}") from None
    if not first and not last:
        raise ArgumentTypeError(f"{text!r} is no {_RANGE}")
    if result.last is not None and result.last < result.first:
        raise ArgumentTypeError(f"the range {text} ends before it begins")
    return result


def count(text: str) -> int:
    """Read a number of things, 1 or more."""
    if not (text.isascii() and text.isdecimal() and len(text) < _DIGITS_MAX and int(text)):
        raise ArgumentTypeError(f"{text!r} is no number (1 or more)")
    return int(text)


def measure(text: str) -> Measure:
    """Read the name of a number by which callers are measured."""
    from emulator.trace.queries.totals import Measure  # only if the option is given

    try:
        return Measure(text)
    except ValueError:
        known = ", ".join(each.value for each in Measure)
        raise ArgumentTypeError(f"no measure {text!r}; there are: {known}") from None


def layer_mode(text: str) -> tuple[str, Mode]:
    """Read ``NAME=MODE``."""
    from emulator.hle.kernels import layer_names
    from emulator.hle.layers import Mode  # only if the option is given

    name, equals, mode = text.partition("=")
    if not equals:
        raise ArgumentTypeError(f"{text!r} is not NAME=MODE, such as heap=model")
    if name not in layer_names():
        raise ArgumentTypeError(f"no layer {name!r}; there are: {', '.join(layer_names())}")
    try:
        return name, Mode(mode)
    except ValueError:
        modes = ", ".join(each.value for each in Mode)
        raise ArgumentTypeError(f"no mode {mode!r} of layer {name}; there are: {modes}") from None


def instruction_count(text: str) -> int:
    """Read a number of instructions, 1 or more."""
    try:
        count = int(text)
    except ValueError:
        count = 0
    if not 0 < count < 1 << 63:
        raise ArgumentTypeError(f"{text!r} is no number of instructions (1 or more)")
    return count


def timeout(text: str) -> float | None:
    """Read seconds; 0 is no limit."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= _SECONDS_MAX:  # NaN fails this, too
        raise ArgumentTypeError(f"{text!r} is no number of seconds (0 for no limit)")
    return seconds or None
