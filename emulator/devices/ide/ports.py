"""Where the IDE controller is reached."""

from __future__ import annotations

BASES = 0x1F0, 0x170
"""First port of each channel."""

DRIVES = 2 * len(BASES)
"""How many there can be, two on a channel."""

BLOCK = 8
"""Ports of a channel from there on."""

CONTROLS = 0x3F6, 0x376
"""Its control register."""

BUS_MASTER = 0xC000
"""Where a BIOS puts the ports of the bus masters."""

MASTER_BLOCK = 8
"""Ports of a channel's bus master."""

PORTS = (
    *(port for base in BASES for port in range(base, base + BLOCK)),
    *CONTROLS,
    *range(BUS_MASTER, BUS_MASTER + len(BASES) * MASTER_BLOCK),
)
"""All of them."""
