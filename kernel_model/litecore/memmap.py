"""Physical frames: the memmap and its bitmap.

Theory. One window of physical memory is managed, in frames of 4096 bytes. ``memmap_t`` says which window, and
where its bitmap lies: bit ``i % 8`` of byte ``i / 8`` is frame ``start_frame + i``, 0 = free, 1 = in use. The
unused bits of the last byte are set, so no search needs a bound check; nothing beyond
``ceil(max_frames / 8)`` bytes is read or written. Frames are named by their absolute number, address / 4096.
Before `Memmap.init` the struct is zero: a window of no frames, where nothing can be allocated.

Shortcomings. ``end_addr`` is exclusive, so the last page of the 4 GiB address space cannot be managed.
The number of owners of a frame is not kept; whoever frees an allocated frame frees it for everybody.

Source: spec 1.1 and 1.2; LiteCore memory document, "`memmap_t` and bitmap".
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Final, NamedTuple

from kernel_model.frames import FRAME_BYTES, frame_usage
from kernel_model.litecore import bitmap as bits
from kernel_model.litecore.spinlock import SpinLock
from kernel_model.structs import MEMMAP

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from kernel_model.frames import FrameUsage
    from kernel_model.memory import Memory

_WORD_MASK: Final = 0xFFFF_FFFF

_WORDS: Final = len(MEMMAP.fields)
_NO_BITMAP: Final = memoryview(b"")


class InvalidFree(ValueError):
    """Frames were given back that are outside the window or not all in use. Nothing was changed.

    Attributes:
        first: Absolute number of the first frame.
        count: Number of frames.
    """

    def __init__(self, first: int, count: int) -> None:
        super().__init__(f"frames {first}..{first + count - 1} are not all in use and in the window")
        self.first = first
        self.count = count


class MemmapFields(NamedTuple):
    """The members of ``memmap_t``, by their names in C."""

    start_addr: int
    end_addr: int
    start_frame: int
    max_frames: int
    bitmap: int

    @property
    def bitmap_bytes(self) -> int:
        """Size of the bitmap in bytes."""
        return -(-self.max_frames // 8)

    @property
    def end_frame(self) -> int:
        """Number of the first frame after the window; as in C it wraps, where the struct makes no sense."""
        return self.start_frame + self.max_frames & _WORD_MASK


class Memmap:
    """The frame allocator on its struct and bitmap in guest memory.

    Args:
        memory: Guest memory.
        struct_address: Address of the ``memmap_t``.
        lock_address: Address of ``memmap_lock``, or None to work without a lock.
        image_end: Address of the linker symbol ``__end``; the bitmap goes there.

    Attributes:
        address: Of the ``memmap_t``.
    """

    def __init__(self, memory: Memory, struct_address: int, lock_address: int | None, image_end: int) -> None:
        self._memory = memory
        self.address = struct_address
        self._image_end = image_end
        self._lock: AbstractContextManager[object] = (
            nullcontext() if lock_address is None else SpinLock(memory, lock_address)
        )

    # What the guest calls.

    def init(self, start: int, end: int) -> None:
        """Manage ``[start, end)``, rounded inwards to whole frames, with all frames free.

        A window that holds no whole frame changes nothing. C: ``memmap_init``.
        """
        start_frame, end_frame = -(-start // FRAME_BYTES), end // FRAME_BYTES
        if end_frame <= start_frame:
            return
        fields = MemmapFields(
            start_addr=start_frame * FRAME_BYTES,
            end_addr=end_frame * FRAME_BYTES,
            start_frame=start_frame,
            max_frames=end_frame - start_frame,
            bitmap=(self._image_end + 3) & ~3,
        )
        unused_bits = 8 * fields.bitmap_bytes - fields.max_frames
        last = bytes((0xFF00 >> unused_bits & 0xFF,))
        with self._lock:
            self._memory.store_words(self.address, fields)
            self._memory.write(fields.bitmap, bytes(fields.bitmap_bytes - 1) + last)

    def alloc_frame(self) -> int | None:
        """Take the lowest free frame and return its number, or None if none is left. C: ``alloc_frame``."""
        with self._lock:
            fields = self.fields()
            bitmap = self._bitmap(fields)
            byte_index = bits.first_free_byte(bitmap)
            if byte_index == len(bitmap):
                return None
            byte = bitmap[byte_index]
            index = 8 * byte_index + bits.lowest_clear_bit(byte)
            if index >= fields.max_frames:  # only where something cleared an unused bit
                return None
            self._memory.store_u8(fields.bitmap + byte_index, byte | (byte + 1))
            return fields.start_frame + index & _WORD_MASK

    def alloc_frames(self, count: int) -> int | None:
        """Take the lowest run of *count* free frames. C: ``alloc_frames``.

        Returns:
            The number of the first frame; None, with nothing changed, if there is no run or *count* is 0.
        """
        with self._lock:
            fields = self.fields()
            index = self._lowest_run(fields, count)
            if index is None:
                return None
            self._set_used(fields, index, count)
            return fields.start_frame + index & _WORD_MASK

    def free_frames(self, first: int, count: int) -> None:
        """Give back *count* frames from *first* upwards, all or none. C: ``free_frames``.

        Args:
            first: Absolute frame number (physical address / 4096).
            count: Frames, all of them in use.

        Raises:
            InvalidFree: A frame is outside the window or already free, or *count* is 0. Nothing is changed.
        """
        with self._lock:
            fields = self.fields()
            index = first - fields.start_frame & _WORD_MASK
            if count <= 0 or index + count > fields.max_frames:
                raise InvalidFree(first, count)
            address, size, mask = _span(fields, index, count)
            used = int.from_bytes(self._memory.read(address, size), "little")
            if used & mask != mask:
                raise InvalidFree(first, count)
            self._memory.write(address, (used ^ mask).to_bytes(size, "little"))

    def reserve(self, start: int, end: int) -> None:
        """Mark every frame that ``[start, end)`` touches as in use, as far as it lies in the window.

        Frames already in use stay so; an empty range changes nothing. C: ``memmap_reserve``.
        """
        if end <= start:
            return
        with self._lock:
            fields = self.fields()
            first = max(start // FRAME_BYTES, fields.start_frame)
            stop = min(-(-end // FRAME_BYTES), fields.end_frame)
            if first < stop:
                self._set_used(fields, first - fields.start_frame, stop - first)

    def free_count(self) -> int:
        """Return the number of free frames. C: ``memmap_free_count``."""
        with self._lock:
            return bits.count_free(self._bitmap(self.fields()))

    def has_run(self, count: int) -> bool:
        """Return whether `alloc_frames` would find *count* frames. C: ``mem_has_space(MEM_TYPE_FRAME, ..)``."""
        with self._lock:
            return self._lowest_run(self.fields(), count) is not None

    # Readers: no lock, no change.

    def fields(self) -> MemmapFields:
        """Return the struct's members. C: ``*memmap_get()``."""
        return MemmapFields._make(self._memory.load_words(self.address, _WORDS))

    def usage(self) -> FrameUsage:
        """Return how the window is used. Before `init` it has no frames."""
        fields = self.fields()
        return frame_usage(fields.start_frame, fields.max_frames, bytes(self._bitmap(fields)))

    def _bitmap(self, fields: MemmapFields) -> memoryview:
        """Return a view of the whole bitmap; before `init` there is none, and its address means nothing.

        Raises:
            BrokenStructure: There is no memory for it.
        """
        if not fields.max_frames:
            return _NO_BITMAP
        try:
            return self._memory.view(fields.bitmap, fields.bitmap_bytes)
        except IndexError as error:
            from kernel_model.litecore.audits import bitmap_outside_memory  # only damage needs it

            raise bitmap_outside_memory(self.address, fields) from error

    def _lowest_run(self, fields: MemmapFields, count: int) -> int | None:
        """Return the index of the lowest run of *count* free frames, or None."""
        bitmap = self._bitmap(fields)  # C reads it in any case
        if not 0 < count <= fields.max_frames:
            return None
        index = bits.lowest_run(bitmap, count)
        if index is None or index + count > fields.max_frames:  # see `alloc_frame`
            return None
        return index

    def _set_used(self, fields: MemmapFields, index: int, count: int) -> None:
        """Set *count* bits of the bitmap from bit *index* on."""
        address, size, mask = _span(fields, index, count)
        used = int.from_bytes(self._memory.read(address, size), "little") | mask
        self._memory.write(address, used.to_bytes(size, "little"))


def _span(fields: MemmapFields, index: int, count: int) -> tuple[int, int, int]:
    """Return address, size and mask of the bitmap bytes that hold *count* bits from bit *index* on."""
    first_byte, shift = divmod(index, 8)
    size = -(-(shift + count) // 8)
    return fields.bitmap + first_byte, size, ((1 << count) - 1) << shift
