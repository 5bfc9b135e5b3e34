"""The board. Rows of its table come in; devices on ports, interrupt lines and a clock go out."""

__all__ = ["bios_calls", "device_memory", "interrupts", "ports", "windows", "wiring"]
