"""The native core and the CPU. A machine's memory size comes in; a handle, registers and runs go out."""

__all__ = [
    "call_recorder",
    "checked_accesses",
    "core_types",
    "cpu",
    "doctor",
    "flat_areas",
    "handle",
    "lives",
    "narrow_columns",
    "observed",
    "observers",
    "snapshots",
    "stacks",
    "stops",
]
