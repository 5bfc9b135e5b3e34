"""Of functions and variables that the linker has dropped the debug information stays, at address 0: nothing is said of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator import debug
from emulator.debug.places import places_of_function, read_places
from emulator.debug.variables import Variables
from emulator.loader.functions.inlined import inlined_copies
from tests.helpers.c_kernel import compile_kernel
from tests.helpers.call_stack_kernels import ENTRY

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = """
int dead_data = 5; int live = 6; volatile int sink; static const int dead_table[4] = {1, 2, 3, 4};
static inline __attribute__((always_inline)) int both(int n) { sink = n; return n + 1; }
int dead(int n) {
    int x = n * 2; sink = x; return both(x) + dead_table[n & 3] + dead_data; }
void (*volatile wild)(void) = (void (*)(void))8;
void kmain(void) { sink = both(live); wild(); for (;;) ; }
"""


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("version", ["-gdwarf-3", "-gdwarf-4", "-gdwarf-5"])
def test_nothing_is_said_of_what_the_linker_has_dropped(tmp_path: Path, compiler: str, version: str) -> None:
    options = [version, "-O1", "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections"]
    with debug.debugger(str(compile_kernel(tmp_path, SOURCE, options, compiler, entry=ENTRY))) as d:
        image = d.image
        assert image.symbol("dead") is None
        assert 5 not in image.lines_of_file("kernel.c")
        assert 7 in image.lines_of_file("kernel.c")
        with pytest.raises(ValueError, match=r"^no instruction belongs to kernel\.c:5$"):
            read_places("kernel.c:5", image)
        assert places_of_function(image, "dead") == ()
        (copy,) = places_of_function(image, "both")
        (listed,) = inlined_copies(image, ["both"])
        assert image.location(copy).function == image.location(listed.address).function == "kmain"
        d.break_at(8)
        d.run()
        assert d.machine.registers().eip == 8
        assert str(image.location(8)) == "0x00000008"
        assert not image.begins_line(0)
        assert {image.inlined_calls(address) for address in range(64)} == {()}
        assert [each.function for each in image.inlined_calls(copy)] == ["both"]
        variables = Variables(d.machine)
        assert [each.name for each in variables.globals_()] == ["live", "sink", "wild"]
        assert variables.find("dead_data") is None
        assert variables.levels[0].stack_frame.frame.function == ""
        assert variables.levels[0].stack_frame.frame.file == ""
        assert variables.levels[0].scope is None
        assert variables.levels[1].stack_frame.frame.name == "kmain"
