"""The built-in kernels by family."""

from __future__ import annotations

from typing import Final

from emulator.loader.builtin import KERNELS

BTRON: Final = [name for name in KERNELS if name.startswith("btron_")]
LITECORE: Final = [name for name in KERNELS if name not in BTRON]
