"""Where a kernel keeps its tasks, as a profile says it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PUSHED: Final = ("eax", "ecx", "edx", "ebx", "esi", "edi", "ebp", "eip", "eflags")
"""Registers that a switch of tasks may push."""


@dataclass(frozen=True, slots=True)
class TaskRules:
    """Where a kernel keeps its tasks. Fields are paths of members of a task's structure: ``context.esp``.

    Attributes:
        list: A variable, perhaps with members of it: an array of structures or of pointers to them, or a pointer to the first of a list.
        id: Field with the task's number.
        next: Field with the pointer to the next one of a list; "": it is an array.
        name: Field with what it is called, an array of characters; "": nothing.
        unused: Field and value of an entry that is no task; None: all are.
        current: Variable with a pointer to the task that runs; "": its stack says it.
        stack: Field with the lowest address of the stack that the kernel uses for it; "": that is not known.
        stack_size: Bytes of the stack.
        esp: Field with ESP while it does not run; "": it is not known where its registers are.
        pushed: What lies there, from that address upwards, a word each.

    Raises:
        ValueError: What one of them needs is missing.
    """

    list: str
    id: str
    next: str = ""
    name: str = ""
    unused: tuple[str, int] | None = None
    current: str = ""
    stack: str = ""
    stack_size: int = 0
    esp: str = ""
    pushed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.list or not self.id:
            raise ValueError("list and id have to be there")
        if bool(self.stack) != (self.stack_size > 0):
            raise ValueError("stack and stack_size go together")
        if not self.stack and not self.current:
            raise ValueError("neither stack nor current says which task runs")
        if bool(self.esp) != bool(self.pushed):
            raise ValueError("esp and pushed go together")
        if self.pushed and "eip" not in self.pushed:
            raise ValueError("pushed lacks eip")
        if set(self.pushed) - set(PUSHED) or len(set(self.pushed)) < len(self.pushed):
            raise ValueError(f"pushed is a list of registers, each once: {', '.join(PUSHED)}")
