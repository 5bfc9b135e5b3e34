"""Write a view, and the last writer of some bytes, as JSON documents; `docs/step.md` describes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from emulator.debug.dumps import FREED, LIVE, OTHER
from emulator.debug.step.view_text import ended_text
from emulator.profile.functions import Result
from emulator.report.documents.trace import stack_document
from kernel_model.text import defect_text, location_or_address

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.debug.step.view import View
    from emulator.debug.writer import Writer
    from emulator.profile.functions import TracedFunction

_VERSION: Final = 1
_WRITER_VERSION: Final = 1
_STATES: Final = {LIVE: "live", FREED: "freed", OTHER: None}


def view_document(view: View, functions: Sequence[TracedFunction]) -> dict[str, Any]:
    """Return a view.

    Args:
        view: The view.
        functions: The functions that are recorded; a call of one without a result has none.
    """
    call = None if view.call is None else view.call._asdict()
    without = {function.name for function in functions if function.result is Result.NONE}
    if call is not None and call["function"] in without:
        del call["result"]
    return {
        "version": _VERSION,
        "instructions": view.moment.instructions,
        "event": view.event,
        "at_event": view.at_event,
        "events": view.event_count,
        "ending": ended_text(view.ending),
        "call": call,
        "changes": [
            {
                "name": location_or_address(field.address, field.location),
                "address": field.address,
                "before": field.before.hex(),
                "after": field.after.hex(),
            }
            for field in view.fields
        ],
        "more_changes": view.has_more_fields,
        "registers": view.registers._asdict(),
        "floating": dict(view.floating),
        "stack": [{**level.frame._asdict(), "low": level.low, "high": level.high} for level in view.stack],
        "variables": [
            {"path": list(each.path), "type": each.type, "value": each.text, "address": each.address}
            for each in view.variables
            if len(each.path) > 1
        ],
        "tasks": [
            {
                "number": task.number,
                "name": task.name,
                "state": task.state,
                "running": task.is_running,
                "frames": [level.frame._asdict() for level in stack],
            }
            for task, stack in view.threads.values()
        ],
        "code": [
            {"address": line.address, "code": line.code.hex(), "text": line.text, "next": line.is_next}
            for line in view.code
        ],
        "areas": [
            {
                "name": area.name,
                "blocks": area.block_count,
                "bytes": area.size,
                "live": [
                    {**block._asdict(), "owner": None if block.owner is None else block.owner._asdict()}
                    for block in area.blocks
                ],
            }
            for area in view.areas
        ],
        "bytes": [
            {"address": row.address, "data": row.data.hex(), "states": [_STATES[each] for each in row.states]}
            for row in view.dump
        ],
        "defects": [defect_text(defect) for defect in view.memory_map.defects],
        "console": view.console,
    }


def writer_document(writer: Writer) -> dict[str, Any]:
    """Return the last writer of some bytes."""
    return {
        "version": _WRITER_VERSION,
        "address": writer.address,
        "name": location_or_address(writer.address, writer.location),
        "instructions": writer.instructions,
        "event": writer.event,
        "instruction": {"address": writer.eip, "text": writer.text, "source": writer.source},
        "before": writer.before.hex(),
        "after": writer.after.hex(),
        "stack": stack_document(writer.backtrace),
    }
