"""A drive: an ATA disk, or the place of one that is not there.

A command is executed when it is written, and takes no time: no guest ever sees a busy drive. Where the standard and QEMU differ
this does what QEMU does: INITIALIZE DEVICE PARAMETERS leaves the geometry alone, DEVICE RESET is for packet devices only.

Source: ATA/ATAPI-6, chapter 8 (commands) and 9 (protocols).
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol

from emulator.devices.ide.commands import (
    FEATURES_WITHOUT_EFFECT,
    TRIM,
    Command,
    Feature,
    Smart,
    TransferMode,
)
from emulator.devices.ide.disk import SECTOR_SIZE, Disk
from emulator.devices.ide.identity import MULTIPLE_MAX, Geometry, Modes, guess_geometry, identify
from emulator.devices.ide.task_file import ALWAYS_SET, IDLE, Status, TaskFile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from emulator.devices.ide.disk import DiskContents


_SMART_KEY = 0xC2, 0x4F  # in the registers high and low
_SMART_AUTOSAVE = 0x00, 0xF1


class Following(Enum):
    """What comes when all data have been transferred."""

    NOTHING = 0
    READ = 1  # the next sectors
    WRITE = 2  # what was received goes to the disk


class DmaKind(Enum):
    """What a drive wants from the bus master."""

    READ = 0  # from the disk into memory
    WRITE = 1
    TRIM = 2  # a list of sectors that are needed no more


class Cable(Protocol):
    """What connects a drive with its channel."""

    def interrupt(self) -> None:
        """Raise INTRQ, if the guest lets drives do that."""

    def send(self, data: bytes) -> None:
        """Let the guest read data at the data port; after them the channel calls `Drive.transferred`."""

    def receive(self, size: int) -> None:
        """Let the guest write so many bytes to the data port; then the channel calls `Drive.transferred` with them."""

    def cut(self) -> None:
        """End a transfer that goes on."""

    def start_dma(self) -> None:
        """Let the bus master do what `Drive.dma` waits for, at once or when the guest starts it."""


class DriveState(NamedTuple):
    """What a snapshot keeps of a drive."""

    registers: TaskFile
    modes: Modes
    following: Following
    block: int
    smart: bool
    dma: DmaKind | None
    written: Mapping[int, bytes]


class Drive:
    """One of the two drives of a channel.

    Args:
        number: Of the drive in the PC, from 0; its serial number.
        contents: Of the disk; None: there is no drive.

    Attributes:
        registers: The drive's. A drive that is not there has some, too: the other one's are written together with them.
        dma: What the present DMA command does; None: there is none.
        is_present: Whether there is a drive.
    """

    def __init__(self, number: int, contents: DiskContents | None) -> None:
        self._cable: Cable
        self._number = number
        self._disk = None if contents is None else Disk(contents)
        self._geometry = Geometry(0, 0, 0) if self._disk is None else guess_geometry(self._disk)
        self.is_present = contents is not None
        self.registers = TaskFile()
        self._modes = Modes()
        self._following = Following.NOTHING
        self._block = 1  # sectors between two interrupts of the present command
        self._smart = True
        self.dma: DmaKind | None = None
        self.reset()

    def connect(self, cable: Cable) -> None:
        """Connect the drive with its channel, before anything else is asked of it."""
        self._cable = cable

    # -- what the channel calls ------------------------------------------------------------------------

    def reset(self) -> None:
        """Do what a reset does, without its interrupt."""
        self.registers = TaskFile(device=ALWAYS_SET)
        self.registers.sign(present=self.is_present)
        self._modes = self._modes._replace(multiple=MULTIPLE_MAX)
        self._following, self._block, self.dma = Following.NOTHING, 1, None

    def diagnose(self) -> None:
        """Do what EXECUTE DEVICE DIAGNOSTIC does: passed."""
        self.registers.sign(present=self.is_present)
        self.registers.status, self.registers.error = IDLE, 0x01
        self._cable.interrupt()

    def execute(self, command: int) -> None:
        """Execute a command of an idle drive."""
        try:
            known = Command(command)
        except ValueError:
            self._abort()
            return
        self.registers.status, self.registers.error = Status.READY, 0
        self._COMMANDS.get(known, Drive._change_power)(self, known)

    def transferred(self, data: bytes) -> None:
        """Go on with a command whose data have been transferred.

        Args:
            data: What the guest has written; empty if it has read.
        """
        following, self._following = self._following, Following.NOTHING
        if following is Following.READ:
            self._read_block()
        elif following is Following.WRITE:
            self._write_block(data)

    def dma_size(self) -> int:
        """Return how many bytes the present DMA command transfers."""
        return self.registers.count * SECTOR_SIZE

    def dma_too_short(self) -> None:
        """End the present DMA command: the guest has given less memory than it needs. That raises no interrupt."""
        self.dma, self.registers.status = None, IDLE

    def dma_read(self) -> bytes | None:
        """Return what the present DMA command reads; None: it cannot, and is over."""
        first, count = self._addressed()
        if self._disk is None or not self._is_on_disk(first, count):
            self.dma = None
            self._abort()
            return None
        return self._disk.read(first, count)

    def dma_write(self, data: bytes) -> bool:
        """Take what the present DMA command writes. False: it cannot, and is over."""
        first, count = self._addressed()
        if self.dma is DmaKind.TRIM:  # the sectors keep what they hold
            return True
        if self._disk is None or not self._is_on_disk(first, count):
            self.dma = None
            self._abort()
            return False
        self._disk.write(first, data)
        return True

    def dma_done(self) -> None:
        """End the present DMA command well."""
        first, count = self._addressed()
        self.registers.address(first + count, self._geometry)
        self.dma, self.registers.count, self.registers.status = None, 0, IDLE
        self._cable.interrupt()

    def save(self) -> DriveState:
        """Return registers, modes and the sectors written."""
        written = {} if self._disk is None else self._disk.save()
        return DriveState(
            self.registers.copy(), self._modes, self._following, self._block, self._smart, self.dma, written
        )

    def restore(self, state: DriveState) -> None:
        """Go back to a state that `save` returned."""
        self.registers = state.registers.copy()
        self._modes, self._following = state.modes, state.following
        self._block, self._smart, self.dma = state.block, state.smart, state.dma
        if self._disk is not None:
            self._disk.restore(state.written)

    # -- sectors through the data port -----------------------------------------------------------------

    def _addressed(self) -> tuple[int, int]:
        return self.registers.first_sector(self._geometry), self.registers.count

    def _is_on_disk(self, first: int, count: int) -> bool:
        return self._disk is not None and first >= 0 and first + count <= self._disk.sectors

    def _advance(self, count: int) -> None:
        first, left = self._addressed()
        self.registers.address(first + count, self._geometry)
        self.registers.count = left - count

    def _read_block(self) -> None:
        self.registers.status, self.registers.error = IDLE, 0
        first, left = self._addressed()
        count = min(left, self._block)
        if not left:
            return
        if self._disk is None or not self._is_on_disk(first, count):
            self._abort()
            return
        data = self._disk.read(first, count)
        self._advance(count)
        self._send(data, Following.READ)

    def _write_block(self, data: bytes) -> None:
        self.registers.status = IDLE
        first, _left = self._addressed()
        count = len(data) // SECTOR_SIZE
        if self._disk is None or not self._is_on_disk(first, count):
            self._abort()
            return
        self._disk.write(first, data)
        self._advance(count)
        if self.registers.count:
            self._receive()
        self._cable.interrupt()

    def _send(self, data: bytes, following: Following = Following.NOTHING) -> None:
        self._following = following
        self.registers.status |= Status.DATA_REQUEST
        self._cable.send(data)
        self._cable.interrupt()

    def _receive(self) -> None:
        self._following = Following.WRITE
        self.registers.status |= Status.DATA_REQUEST
        self._cable.receive(SECTOR_SIZE * min(self.registers.count, self._block))

    # -- commands --------------------------------------------------------------------------------------

    def _abort(self) -> None:
        self._following = Following.NOTHING
        self._cable.cut()
        self.registers.abort()
        self._cable.interrupt()

    def _done(self, _command: Command | None = None) -> None:
        """Do nothing, successfully; of commands that move heads, too."""
        self.registers.status = IDLE
        self._cable.interrupt()

    def _change_power(self, _command: Command) -> None:
        """Do nothing, successfully: the drive does not sleep."""
        self.registers.status = Status.READY
        self._cable.interrupt()

    def _diagnose(self, _command: Command) -> None:
        self.diagnose()

    def _identify(self, _command: Command) -> None:
        if self._disk is None:
            self._abort()
            return
        self.registers.status = IDLE
        self._send(identify(self._number, self._disk.sectors, self._geometry, self._modes))

    def _begin(self, command: Command, block: int) -> bool:
        """Begin a command that transfers sectors, so many between two interrupts. False: it cannot be, and is over."""
        if not self.is_present or not block:
            self._abort()
            return False
        self.registers.begin(is_48_bit=command.is_48_bit)
        self._block = block
        return True

    def _read(self, command: Command) -> None:
        if self._begin(command, 1):
            self._read_block()

    def _read_multiple(self, command: Command) -> None:
        if self._begin(command, self._modes.multiple):
            self._read_block()

    def _write(self, command: Command) -> None:
        if self._begin(command, 1):
            self.registers.status = IDLE
            self._receive()

    def _write_multiple(self, command: Command) -> None:
        if self._begin(command, self._modes.multiple):
            self.registers.status = IDLE
            self._receive()

    def _read_dma(self, command: Command) -> None:
        if self._begin(command, 1):
            self._start_dma(DmaKind.READ)

    def _write_dma(self, command: Command) -> None:
        if self._begin(command, 1):
            self._start_dma(DmaKind.WRITE)

    def _manage_data(self, _command: Command) -> None:
        if self.registers.feature == TRIM and self.is_present:
            self._start_dma(DmaKind.TRIM)
        else:
            self._abort()

    def _start_dma(self, kind: DmaKind) -> None:
        self.dma, self.registers.status = kind, IDLE | Status.DATA_REQUEST
        self._cable.start_dma()

    def _verify(self, command: Command) -> None:
        self.registers.begin(is_48_bit=command.is_48_bit)
        self._done()

    def _native_max(self, command: Command) -> None:
        if self._disk is None:
            self._abort()
            return
        self.registers.begin(is_48_bit=command.is_48_bit)
        self.registers.address(self._disk.sectors - 1, self._geometry)
        self._done()

    def _set_multiple(self, _command: Command) -> None:
        count = self.registers.count & 0xFF
        if count > MULTIPLE_MAX or count & count - 1:
            self._abort()
            return
        self._modes = self._modes._replace(multiple=count)
        self._done()

    def _check_power_mode(self, _command: Command) -> None:
        self.registers.count = 0xFF  # active
        self._done()

    def _freeze_security(self, _command: Command) -> None:
        self.registers.count = 0
        self._done()

    def _set_features(self, _command: Command) -> None:
        feature = self.registers.feature
        if not self.is_present:
            self._abort()
        elif feature in (Feature.WRITE_CACHE, Feature.NO_WRITE_CACHE):
            self._modes = self._modes._replace(write_cache=feature == Feature.WRITE_CACHE)
            self._done()
        elif feature in FEATURES_WITHOUT_EFFECT:
            self._done()
        elif feature == Feature.TRANSFER_MODE:
            self._set_transfer_mode(*divmod(self.registers.count & 0xFF, 8))
        else:
            self._abort()

    def _set_transfer_mode(self, kind: int, number: int) -> None:
        try:
            chosen = dict.fromkeys(TransferMode, 0) | {TransferMode(kind): 0x100 << number}
        except ValueError:
            self._abort()
            return
        self._modes = self._modes._replace(
            single_word_dma=0x07 | chosen[TransferMode.SINGLE_WORD_DMA],
            multiword_dma=0x07 | chosen[TransferMode.MULTIWORD_DMA],
            ultra_dma=0x3F | chosen[TransferMode.ULTRA_DMA],
        )
        self._done()

    def _monitor(self, _command: Command) -> None:
        """SMART: on, off, and that all is well. A drive without a history has no data and no logs."""
        registers = self.registers
        asked = registers.feature
        if (registers.high, registers.low) != _SMART_KEY or not (self._smart or asked == Smart.ENABLE):
            self._abort()
        elif asked in (Smart.ENABLE, Smart.DISABLE):
            self._smart = asked == Smart.ENABLE
            self._done()
        elif asked == Smart.STATUS or (asked == Smart.AUTOSAVE and registers.sector in _SMART_AUTOSAVE):
            self._done()
        else:
            self._abort()

    _COMMANDS: ClassVar[dict[Command, Callable[[Drive, Command], None]]] = {
        Command.DATA_SET_MANAGEMENT: _manage_data,
        **dict.fromkeys((Command.READ, Command.READ_WITHOUT_RETRY, Command.READ_EXT), _read),
        **dict.fromkeys((Command.READ_MULTIPLE, Command.READ_MULTIPLE_EXT), _read_multiple),
        **dict.fromkeys(
            (Command.WRITE, Command.WRITE_WITHOUT_RETRY, Command.WRITE_EXT, Command.WRITE_VERIFY), _write
        ),
        **dict.fromkeys((Command.WRITE_MULTIPLE, Command.WRITE_MULTIPLE_EXT), _write_multiple),
        **dict.fromkeys((Command.READ_DMA, Command.READ_DMA_WITHOUT_RETRY, Command.READ_DMA_EXT), _read_dma),
        **dict.fromkeys(
            (Command.WRITE_DMA, Command.WRITE_DMA_WITHOUT_RETRY, Command.WRITE_DMA_EXT), _write_dma
        ),
        **dict.fromkeys((Command.VERIFY, Command.VERIFY_WITHOUT_RETRY, Command.VERIFY_EXT), _verify),
        **dict.fromkeys((Command.READ_NATIVE_MAX, Command.READ_NATIVE_MAX_EXT), _native_max),
        **dict.fromkeys((Command.CHECK_POWER_MODE, Command.OLD_CHECK_POWER_MODE), _check_power_mode),
        Command.SET_MULTIPLE: _set_multiple,
        Command.SET_FEATURES: _set_features,
        Command.SECURITY_FREEZE_LOCK: _freeze_security,
        Command.SMART: _monitor,
        Command.DIAGNOSE: _diagnose,
        Command.IDENTIFY: _identify,
        **dict.fromkeys(
            (
                Command.RECALIBRATE,
                Command.SEEK,
                Command.INITIALIZE_PARAMETERS,
                Command.FLUSH_CACHE,
                Command.FLUSH_CACHE_EXT,
            ),
            _done,
        ),
    }  # the others change the power mode
