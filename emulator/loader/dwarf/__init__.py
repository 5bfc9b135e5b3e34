"""DWARF: source lines, variables and types, call frame information."""
