"""The machine. Pieces of memory, registers and a board come in; runs go out, with what observers have seen meanwhile.

Only this room knows the native core.
"""
