"""The devices of the machine, one file each, behind the Protocol of `emulator.devices.device`."""
