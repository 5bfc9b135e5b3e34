"""The native core (C through cffi); only `emulator.machine.cpu` uses it."""
