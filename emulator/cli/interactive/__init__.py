"""An interactive run: what is typed reaches the kernel, and virtual time goes no faster than that of whoever types."""

__all__ = ["session"]
