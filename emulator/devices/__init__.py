"""The devices of the machine, one file each, behind the Protocol of `emulator.devices.device`."""

__all__ = ["addresses", "apic", "board", "device", "keyboard", "uart", "vga"]
