"""DWARF: the bytes of debug sections come in; source lines, variables with their types, and unwind rules go out."""
