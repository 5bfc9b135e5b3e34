"""The IDE controller of a PC: two channels, their drives, and the bus master. Accesses of ports come in; sectors go out."""

__all__ = ["controller", "disk", "identity"]
