"""The machine. Pieces of memory, registers and a board come in; runs go out, with what observers have recorded meanwhile.

Only this room knows the native core.
"""

__all__ = [
    "address_map",
    "call_stack",
    "code",
    "consoles",
    "core",
    "execution",
    "machine",
    "memory",
    "recording",
    "unanswered",
]
