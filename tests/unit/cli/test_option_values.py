from __future__ import annotations

import re
from argparse import ArgumentTypeError
from typing import TYPE_CHECKING

import pytest

from emulator.cli.option_values import (
    address,
    area_share,
    area_size,
    bounds,
    count,
    date,
    file_contents,
    instruction_count,
    keys,
    layer_mode,
    measure,
    ram_window,
    size,
    timeout,
)
from emulator.errors import BadFile
from emulator.hle.layers import Mode
from emulator.machine.memory import RamWindow
from emulator.trace.queries.selection import Bounds
from emulator.trace.queries.totals import Measure

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RANGE = "range such as 10..20, 4K.. or ..0x1fffff, and no number"


def test_the_contents_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "input").write_bytes(b"ls\r\0")
    assert file_contents(str(tmp_path / "input")) == b"ls\r\0"


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for name, problem in (("none", "No such file or directory"), ("", "it is a directory")):
        path = tmp_path / name
        with pytest.raises(BadFile, match=f"^{re.escape(str(path))}: cannot be read: {problem}$"):
            file_contents(str(path))
    with pytest.raises(BadFile, match=r"^a\x00b: cannot be read: embedded null byte$"):
        file_contents("a\0b")


def test_what_need_not_end_is_not_read() -> None:
    with pytest.raises(BadFile, match=r"^/dev/zero: cannot be read: it is not a regular file$"):
        file_contents("/dev/zero")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01", 0),
        ("2024-02-29T12:30:01", 1709209801),
        ("2024-02-29T12:30:01+01:00", 1709206201),
    ],
)
def test_dates(text: str, seconds: int) -> None:
    assert date(text) == seconds


@pytest.mark.parametrize("text", ["", "now", "2023-02-29"])
def test_what_is_no_date(text: str) -> None:
    with pytest.raises(
        ArgumentTypeError, match=rf"^{text!r} is no date such as 2024-02-29 or 2024-02-29T12:30:00$"
    ):
        date(text)


def test_keys_are_checked() -> None:
    assert keys("") == ""
    assert keys("ls{enter}") == "ls{enter}"
    with pytest.raises(ArgumentTypeError, match=r"^there is no key \{return\}; there are: alt .* wait$"):
        keys("{return}")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("4096", 4096),
        ("0x1000", 4096),
        ("64M", 64 << 20),
        ("64m", 64 << 20),
        ("3G", 3 << 30),
        ("8k", 8192),
        ("64KiB", 65536),
        ("3MiB", 3 << 20),
        ("1GiB", 1 << 30),
    ],
)
def test_sizes(text: str, value: int) -> None:
    assert size(text) == value


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("4M", RamWindow(0x100000, 0x500000)),
        ("3G", RamWindow(0x100000, 0xC0100000)),
        ("1M-64M", RamWindow(0x100000, 0x4000000)),
        ("0x100000-0x200000", RamWindow(0x100000, 0x200000)),
    ],
)
def test_ram(text: str, window: RamWindow) -> None:
    assert ram_window(text) == window


def test_layers() -> None:
    assert layer_mode("heap=lockstep") == ("heap", Mode.LOCKSTEP)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("17", Bounds(17, 17)),
        ("10..20", Bounds(10, 20)),
        ("10..10", Bounds(10, 10)),
        ("4K..", Bounds(4096, None)),
        ("..0x1FFFFF", Bounds(0, 0x1FFFFF)),
        ("1M..2M", Bounds(1 << 20, 2 << 20)),
    ],
)
def test_ranges(text: str, value: Bounds) -> None:
    assert bounds(text) == value


def test_measures() -> None:
    assert list(map(measure, ("peak", "end", "calls", "allocated"))) == list(Measure)


def test_values_of_an_area() -> None:
    assert area_size("64KiB") == ("", 65536)
    assert area_size("slab=0") == ("slab", 0)
    assert area_share("0.3") == ("", 0.3)
    assert area_share("slab=1") == ("slab", 1.0)


def test_addresses() -> None:
    assert address("0x7c00") == 0x7C00
    assert address("1M") == 0x100000
    assert address("0xffffffff") == 0xFFFFFFFF


def test_counts_and_times() -> None:
    assert instruction_count("1_000") == 1000
    assert count("20") == 20
    assert timeout("0.5") == 0.5
    assert timeout("0") is None


@pytest.mark.parametrize(
    ("convert", "text", "message"),
    [
        *(
            (size, text, f"{text!r} is no size such as 64M, 1G or 0x4000000")
            for text in ("", "M", "-1", " 1", "1T", "x", "KiB", "1B", "1kib", "iB")
        ),
        *(
            (address, text, f"{text!r} is no address such as 0x100000")
            for text in ("", "-1", "0x100000000", "main")
        ),
        (size, "9" * 5000, f"'{'9' * 5000}' is no size such as 64M, 1G or 0x4000000"),
        (ram_window, "-4M", "'' is no size such as 64M, 1G or 0x4000000"),
        (ram_window, "0", "RAM 0x00100000-0x00100000 is empty"),
        (ram_window, "5000", "RAM 0x00100000-0x00101388 does not lie on page boundaries (0x1000)"),
        (ram_window, "4G", "RAM 0x00100000-0x100100000 is larger than 3 GiB"),
        (
            ram_window,
            "2M-4M",
            "RAM 0x00200000-0x00400000 does not start at 0x00100000, as extended RAM of a PC does",
        ),
        (layer_mode, "heap", "'heap' is not NAME=MODE, such as heap=model"),
        (
            layer_mode,
            "heep=model",
            "no layer 'heep'; there are: memmap, heap, paging, vspace, pmem, kmem, pools, regions",
        ),
        (layer_mode, "heap=modle", "no mode 'modle' of layer heap; there are: native, model, lockstep"),
        *(
            (instruction_count, text, f"{text!r} is no number of instructions (1 or more)")
            for text in ("0", "-5", "1.5", "many", str(1 << 63))
        ),
        (area_size, "slab=", "'' is no size such as 64M, 1G or 0x4000000"),
        *(
            (area_share, text, f"{text!r} is no share from 0 to 1, such as 0.3, or AREA=SHARE")
            for text in ("", "-0.1", "1.1", "nan", "30%", "slab=")
        ),
        (bounds, "..", f"'..' is no {RANGE}"),
        (bounds, "20..10", "the range 20..10 ends before it begins"),
        (bounds, "1...5", f"'1...5' is no {RANGE}"),
        (bounds, "5-6", f"'5-6' is no {RANGE}"),
        (measure, "size", "no measure 'size'; there are: peak, end, calls, allocated"),
        *(
            (count, text, f"{text!r} is no number (1 or more)")
            for text in ("", "0", "-1", "1K", "1" * 11, "٣")
        ),
        *(
            (timeout, text, f"{text!r} is no number of seconds (0 for no limit)")
            for text in ("-1", "nan", "inf", "soon", "")
        ),
    ],
)
def test_wrong_values(convert: Callable[[str], object], text: str, message: str) -> None:
    with pytest.raises(ArgumentTypeError, match=f"^{re.escape(message)}$"):
        convert(text)
