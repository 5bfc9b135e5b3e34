"""The BIOS's services for kernels in real mode. A call comes in; registers, memory and ports change."""

__all__ = ["services"]
