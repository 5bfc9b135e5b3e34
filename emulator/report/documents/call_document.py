"""Write calls of a trace, and the instructions in them, as JSON values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emulator.profile.model import Result

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from emulator.guest.executed import ExecutedInstruction
    from emulator.guest.symbolizer import Frame
    from emulator.profile.model import TracedFunction
    from emulator.trace.events import Call


def call_document(
    call: Call, functions: Mapping[str, TracedFunction], frames: Sequence[Frame]
) -> dict[str, Any]:
    """Return a call; numbers are unsigned, what is not known is null. A function without a result has none.

    Args:
        call: The call.
        functions: By name.
        frames: Its stack, innermost first.
    """
    document = call._asdict()
    function = functions[call.function]
    document["arguments"] = dict(zip(function.parameters, call.arguments, strict=True))
    if function.out is None:
        del document["out"]
    if function.result is Result.NONE:
        del document["result"]
    document["stack"] = [frame._asdict() for frame in frames]
    return document


def instruction_document(instruction: ExecutedInstruction) -> dict[str, Any]:
    """Return an instruction in a call."""
    return {
        "address": instruction.address,
        "text": instruction.text,
        "place": instruction.location,
        "accesses": [
            {
                "kind": "store" if access.is_store else "load",
                "address": access.address,
                "size": access.size,
                "value": access.value,
            }
            for access in instruction.accesses
        ],
    }
