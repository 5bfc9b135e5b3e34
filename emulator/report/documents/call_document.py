"""A call of a trace as it stands in JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emulator.profile.model import Result

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from emulator.profile.model import TracedFunction
    from emulator.trace.events import Call, Frame


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
