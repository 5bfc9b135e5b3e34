"""The board. Rows of its table come in; devices on ports, interrupt lines and a clock go out."""

__all__ = ["device_memory", "interrupts", "ports", "windows", "wiring"]
