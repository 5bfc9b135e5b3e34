"""The commands of ATA drives, and what SET FEATURES and SMART can be asked for.

Source: ATA/ATAPI-6, chapter 8. Some codes are of older standards: the drive still knows them.
"""

from __future__ import annotations

from enum import IntEnum


class Command(IntEnum):
    """What a drive can execute. `_EXT`: with a 48-bit address."""

    DATA_SET_MANAGEMENT = 0x06
    RECALIBRATE = 0x10
    READ = 0x20
    READ_WITHOUT_RETRY = 0x21
    READ_EXT = 0x24
    READ_DMA_EXT = 0x25
    READ_NATIVE_MAX_EXT = 0x27
    READ_MULTIPLE_EXT = 0x29
    WRITE = 0x30
    WRITE_WITHOUT_RETRY = 0x31
    WRITE_EXT = 0x34
    WRITE_DMA_EXT = 0x35
    WRITE_MULTIPLE_EXT = 0x39
    WRITE_VERIFY = 0x3C
    VERIFY = 0x40
    VERIFY_WITHOUT_RETRY = 0x41
    VERIFY_EXT = 0x42
    SEEK = 0x70
    DIAGNOSE = 0x90
    INITIALIZE_PARAMETERS = 0x91
    OLD_STANDBY_IMMEDIATE = 0x94
    OLD_IDLE_IMMEDIATE = 0x95
    OLD_STANDBY = 0x96
    OLD_IDLE = 0x97
    OLD_CHECK_POWER_MODE = 0x98
    OLD_SLEEP = 0x99
    SMART = 0xB0
    READ_MULTIPLE = 0xC4
    WRITE_MULTIPLE = 0xC5
    SET_MULTIPLE = 0xC6
    READ_DMA = 0xC8
    READ_DMA_WITHOUT_RETRY = 0xC9
    WRITE_DMA = 0xCA
    WRITE_DMA_WITHOUT_RETRY = 0xCB
    STANDBY_IMMEDIATE = 0xE0
    IDLE_IMMEDIATE = 0xE1
    STANDBY = 0xE2
    IDLE = 0xE3
    CHECK_POWER_MODE = 0xE5
    SLEEP = 0xE6
    FLUSH_CACHE = 0xE7
    FLUSH_CACHE_EXT = 0xEA
    IDENTIFY = 0xEC
    SET_FEATURES = 0xEF
    SECURITY_FREEZE_LOCK = 0xF5
    READ_NATIVE_MAX = 0xF8

    @property
    def is_48_bit(self) -> bool:
        """Whether it has a 48-bit address."""
        return self.name.endswith("_EXT")


class Feature(IntEnum):
    """What SET FEATURES has an effect for."""

    WRITE_CACHE = 0x02
    TRANSFER_MODE = 0x03
    NO_WRITE_CACHE = 0x82


FEATURES_WITHOUT_EFFECT = frozenset({0x05, 0x42, 0x55, 0x66, 0x67, 0x69, 0x85, 0x96, 0x9A, 0xAA, 0xC2, 0xCC})
"""Look-ahead, power management, noise: SET FEATURES takes them."""


class TransferMode(IntEnum):
    """Bits 3-7 of the count register for `Feature.TRANSFER_MODE`; the lower ones are the mode's number."""

    PIO_DEFAULT = 0
    PIO = 1
    SINGLE_WORD_DMA = 2
    MULTIWORD_DMA = 4
    ULTRA_DMA = 8


class Smart(IntEnum):
    """What SMART is asked for in the feature register."""

    AUTOSAVE = 0xD2
    ENABLE = 0xD8
    DISABLE = 0xD9
    STATUS = 0xDA


TRIM = 1
"""In the feature register, for DATA SET MANAGEMENT."""
