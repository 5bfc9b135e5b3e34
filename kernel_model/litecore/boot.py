"""How the memory subsystem comes up at boot.

Theory. Four things share the managed window: the kernel image, which ends at ``__end``; the bitmap, right after it; the heap,
from the next page on; and the frames that are free for everybody. `memory_init` builds them in that
order and then reserves the first three, so that no later `Memmap.alloc_frame` hands out a frame of theirs. The boot code
has put its settings into three globals before.

Source: spec 1.1; LiteCore memory document, "Memory layout and initialisation".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from kernel_model.frames import FRAME_BYTES

if TYPE_CHECKING:
    from kernel_model.litecore.heap import Heap
    from kernel_model.litecore.memmap import Memmap

_WORD_MASK: Final = 0xFFFF_FFFF

IMAGE_START: Final = 0x0010_0000
"""Where the kernel image is linked."""


class BootSettings(NamedTuple):
    """What the boot code decides; the names are those of the globals in C.

    Attributes:
        memory_window_start: First address of the memory to manage.
        memory_window_end: Its end, exclusive.
        heap_bytes: Size that the heap should have; the window's end may cut it short.
    """

    memory_window_start: int = 0x0010_0000
    memory_window_end: int = 0x0050_0000
    heap_bytes: int = 0x0001_0000


def memory_init(memmap: Memmap, heap: Heap, image_end: int, settings: BootSettings) -> None:
    """Bring up frames and heap. C: ``memory_init``.

    Args:
        memmap: The frame allocator.
        heap: The kernel heap.
        image_end: Address of the linker symbol ``__end``.
        settings: What the boot code decided.
    """
    memmap.init(settings.memory_window_start, settings.memory_window_end)
    fields = memmap.fields()
    bitmap_end = fields.bitmap + fields.bitmap_bytes & _WORD_MASK
    heap_start = -(-max(image_end, bitmap_end) // FRAME_BYTES) * FRAME_BYTES & _WORD_MASK
    heap_end = min(heap_start + settings.heap_bytes, fields.end_addr)
    heap.init(heap_start, heap_end)
    memmap.reserve(heap_start, heap_end)
    memmap.reserve(IMAGE_START, heap_start)
