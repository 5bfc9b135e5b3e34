"""Boot a kernel for a test and check what the test leaves: markers come in, a `Kernel` and a verdict leave.

`emulator.testing` is the public door, and imports this only when a test uses it.
"""

__all__ = ["checks", "kernel", "settings"]
