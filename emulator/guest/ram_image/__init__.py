"""RAM images: a guest's RAM and control registers in a file, from which its address spaces can be read later.

The format is that of QEMU's ``dump-guest-memory``: an ELF core file (docs/decisions/0020-ram-images.md).
"""

__all__ = ["directory", "reader", "writer"]
