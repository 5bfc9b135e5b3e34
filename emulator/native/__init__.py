"""The native core (C through cffi); only `emulator.machine` imports it."""
