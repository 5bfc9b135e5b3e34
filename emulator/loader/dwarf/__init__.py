"""DWARF: the bytes of debug sections come in; source lines, variables with their types, and unwind rules go out."""

__all__ = [
    "c_types",
    "call_frames",
    "call_sites",
    "debug_info",
    "declared_pointers",
    "entries",
    "frame_entries",
    "frame_variables",
    "inlined",
    "line_header",
    "locations",
    "scopes",
    "source_lines",
    "subprograms",
    "type_names",
    "types",
    "units",
    "unwind",
    "value_types",
    "variables",
]
