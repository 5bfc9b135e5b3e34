"""Where things lie in the first MiB of the machine, physical, and the addresses at which kernels map it."""

from __future__ import annotations

from typing import Final

MIB: Final = 1 << 20
VGA_START: Final = 0xA0000
ROM_START: Final = 0xC0000  # up to `MIB`

# In the extended BIOS data area, which the memory map keeps from the kernel.
GDT: Final = 0x9FC80
RETURN_TO: Final = 0x9FD00  # holds `hlt`: where functions called from Python return to

KERNEL_BASES: Final = (0, 0x80000000, 0xC0000000)
CALLS_END: Final = frozenset(base | RETURN_TO for base in KERNEL_BASES)
"""Return addresses of functions that `Machine.call` calls."""
