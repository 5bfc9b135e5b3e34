"""The built-in kernels by family."""

from __future__ import annotations

from typing import Final

from emulator.loader.builtin import DEFECTS, KERNELS, TWINS


def is_btron(name: str) -> bool:
    return name.startswith(("btron_", "vm_"))


BTRON: Final = [name for name in KERNELS if is_btron(name)]
LITECORE: Final = [name for name in KERNELS if name not in BTRON]

#: Those that never write to the exit device.
ENDLESS: Final = "bad_lock_twice"
SHUT_DOWN: Final = ("bad_divide", "btron_bad_stack")
HALTED: Final = "btron_bad_wait"
EXITING_DEFECTS: Final = [name for name in DEFECTS if name not in (ENDLESS, HALTED, *SHUT_DOWN)]
LITECORE_DEFECTS: Final = [name for name in EXITING_DEFECTS if not is_btron(name)]
BTRON_DEFECTS: Final = [name for name in EXITING_DEFECTS if is_btron(name)]
EVERY: Final = [*KERNELS, *DEFECTS, *TWINS]
