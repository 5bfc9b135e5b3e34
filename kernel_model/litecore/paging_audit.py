"""The audit of LiteCore's page tables: what they take and what they map is in use, and no table is kept for nothing.

Theory. The frames of the managed window are mapped to themselves, in use or not: the identity map says nothing about who has
a frame, and is left out. Every other mapping of a frame of the window shows one that is in use. Pages outside the window may
be devices. All of this holds while no lock is held.

Source: spec 1.4, 3 (paging).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel_model.audit import Defect, variable
from kernel_model.litecore.audits import FRAMES, broken_field
from kernel_model.page_tables import PAGE_BYTES
from kernel_model.table_audit import FREE_DIRECTORY, TableAudit

if TYPE_CHECKING:
    from kernel_model.litecore.memmap import Memmap, MemmapFields
    from kernel_model.memory import Memory

_SLOT_BYTES = 1 << 22


def paging_defects(memory: Memory, memory_size: int, page_directory: int, memmap: Memmap) -> list[Defect]:
    """Return what is wrong with the page tables; nothing before there are any.

    Args:
        memory: Physical memory.
        memory_size: Its bytes.
        page_directory: Physical address of the variable ``page_directory``.
        memmap: The model of the frames; only read from.
    """
    directory, fields = memory.load_u32(page_directory), memmap.fields()
    if not directory or not any(fields) or broken_field(fields, memory_size) is not None:
        return []

    def unused(frame: int, linear: int | None) -> str:
        if linear == PAGE_BYTES * frame or _is_in_use(memory, fields, frame):
            return ""
        return f"frame 0x{frame:05x}, which is free"

    reason = unused(directory // PAGE_BYTES, None)
    if reason:
        location = variable("page_directory", page_directory)
        return [Defect(FREE_DIRECTORY, FRAMES, location, directory, (reason,))]
    audit = TableAudit(memory, directory, _slots(fields), FRAMES, None, unused)
    for _ in audit.pages():
        """Each page is checked on the way."""
    return audit.defects


def _slots(fields: MemmapFields) -> list[int]:
    """Return the entries of the directory that map more than the window to itself."""
    first, stop = -(-fields.start_addr // _SLOT_BYTES), fields.end_addr // _SLOT_BYTES
    return [index for index in range(1024) if not first <= index < stop]


def _is_in_use(memory: Memory, fields: MemmapFields, frame: int) -> bool:
    """Return whether a frame is in use, or none that is managed."""
    index = frame - fields.start_frame
    if not 0 <= index < fields.max_frames:
        return True
    return bool(memory.load_u8(fields.bitmap + index // 8) >> index % 8 & 1)
