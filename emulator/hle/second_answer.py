"""What a model answers once more, for a call in the middle of which others have changed memory.

Theory. The model has made its call on memory as it was at the entry. A handler may change what the call finds afterwards: it
takes the frame that would have been the call's. So the model is asked again, on memory as if the handler's changes had
come before the call, and with the bits that the CPU has set in page tables meanwhile. A call that does what either of the two
answers says is right. Where both say the same after a handler, and the native code did something else, it is wrong; where they differ from
each other, too, nobody knows.

Source: docs/decisions/0019-calls-that-exceptions-interrupt.md.
"""

from __future__ import annotations

from dataclasses import replace
from operator import or_
from typing import TYPE_CHECKING

from emulator.hle.model import MODEL_ERRORS

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.hle.differences import Difference
    from emulator.hle.memory_views import OwnMemory
    from emulator.hle.open_call import OpenCall
    from emulator.machine.core.observed import Written


def asked_again(overlay: OwnMemory, printed: list[str], call: OpenCall, written: Written) -> OpenCall | None:
    """Return the call as the model makes it now; None: it cannot.

    Args:
        overlay: What the model works on. It is left as the model leaves it.
        printed: Where the model prints.
        call: The call.
        written: The pages that the native code wrote, as they were before, with what was changed by others meanwhile, and the
            bits that the CPU has set.
    """
    overlay.clear()
    printed.clear()
    overlay.stack = ()
    for page, before in written.pages.items():
        marks = written.marked.get(page)
        overlay.write(page, bytes(map(or_, before, marks)) if marks else before)
    given = overlay.changes()
    overlay.stack = call.stack
    try:
        result = call.function.call(*call.arguments)
    except MODEL_ERRORS:
        return None
    changes = {at: value for at, value in overlay.changes().items() if given.get(at) != value}
    return replace(call, result=result, changes=changes, console="".join(printed))


def what_is_wrong(
    first: tuple[Difference, ...],
    second: OpenCall | None,
    compare: Callable[[OpenCall], tuple[Difference, ...]],
    *,
    resumed: bool,
) -> tuple[Difference, ...] | None:
    """Return what the native code has done wrong in such a call; None: nobody knows.

    Args:
        first: What it did in another way than the model had said at the entry, at least one.
        second: What `asked_again` has returned.
        compare: Returns what it did in another way than a call.
        resumed: An exception was handled in the middle of it. Else there are only the bits that the CPU has set.
    """
    again = None if second is None else compare(second)
    if again == ():
        return ()
    if not resumed:
        return first
    mine = tuple(each for each in first if each.place != "console")  # others print while it is interrupted
    return mine if mine and again == first else None
