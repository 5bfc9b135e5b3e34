"""What a kernel's file says of its functions, whatever compiler made it: their names, and where their arguments are."""

__all__ = [
    "callers",
    "demangling",
    "disassembler",
    "entries",
    "inlined",
    "locations",
    "names",
    "parameters",
    "prologue",
    "prototypes",
]
