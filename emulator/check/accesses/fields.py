"""Names the field of a block that an access concerns, where the source says what the block is.

That is where a line declares a pointer to a struct, and calls what allocates: `struct task *t = kmalloc(sizeof *t);`. The block has to be
as long as the struct, or as several of them; else the pointer may be another one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.loader.dwarf.c_types import part_at
from emulator.loader.dwarf.declared_pointers import DeclaredPointers

if TYPE_CHECKING:
    from emulator.check.findings import BlockHistory
    from emulator.loader.image import KernelImage


class Fields:
    """Names fields of the blocks of one kernel.

    Args:
        image: The kernel.
    """

    def __init__(self, image: KernelImage) -> None:
        self._pointers = DeclaredPointers(image.units)

    def text(self, block: BlockHistory, distance: int) -> str:
        """Return what to say of a byte in, or after, a block; "": nothing is known.

        Args:
            block: The block.
            distance: From its start, in bytes.
        """
        frames = block.allocated.backtrace
        frame = frames[0] if frames else None
        if frame is None or frame.inlined or not frame.line or distance < 0:
            return ""
        pointer = self._pointers.at(frame.address - frame.offset, frame.line)
        if pointer is None or not block.size or block.size % pointer.struct.size:
            return ""
        index, offset = divmod(min(distance, block.size - 1), pointer.struct.size)
        part = part_at(pointer.struct, offset)
        if part.is_padding:
            return ""
        start = f"{pointer.name}[{index}]." if block.size > pointer.struct.size else f"{pointer.name}->"
        steps = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in part.steps)
        field = start + steps.removeprefix(".")
        return (
            f"after {field}, the end of {pointer.of}"
            if distance >= block.size
            else f"in {field} of {pointer.of}"
        )
