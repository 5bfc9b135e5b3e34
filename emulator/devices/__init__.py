"""The devices of the machine, one file each, behind the Protocol of `emulator.devices.device`."""

__all__ = ["apic_bus", "board", "device", "key_text", "keyboard_controller", "uart", "vga_text"]
