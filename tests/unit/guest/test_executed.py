from __future__ import annotations

from emulator.guest.executed import Access, ExecutedInstruction, executed_instructions
from emulator.wording import code_location
from tests.helpers.guest import machine_of, symbol

ADD_TWICE = """
        call    add
        exit    0
        .type   add, @function
add:    addl    $2, word; addl $2, word
        ret
        .size   add, . - add
        .data
word:   .long   5
"""


def test_instructions_have_their_accesses_and_a_location_where_it_changes() -> None:
    machine = machine_of(ADD_TWICE)
    log = machine.observers.log_steps(9)
    machine.run()
    _stack, call, first, second = executed_instructions(machine, log.steps())
    add, word = symbol(machine, "add"), symbol(machine, "word")
    assert (call.text, call.location) == (
        f"call 0x{add:x}",
        code_location(*machine.image.location(call.address)),
    )
    assert [access.is_store for access in call.accesses] == [True]
    assert first == ExecutedInstruction(
        add,
        f"add dword ptr [0x{word:x}], 2",
        code_location(*machine.image.location(add)),
        (Access(is_store=False, address=word, size=4, value=5), Access(True, word, 4, 7)),  # noqa: FBT003 - as tuples
    )
    assert (second.address, second.location) == (add + 7, "")
