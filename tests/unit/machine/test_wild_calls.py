"""A call through a pointer that leads to where no code is has a call stack: that of the caller, if the instruction says that it has led there."""

from __future__ import annotations

import pytest

from emulator.errors import UnmappedAccess
from emulator.machine.call_stack import callers, prepare_stacks
from tests.helpers.guest import FUNCTION, machine_of

NOWHERE = 0x7F000000
CALLS = {
    "a register": "movl $0x7f000000, %eax\n call *%eax",
    "another register": "movl $0x7f000000, %edi\n call *%edi",
    "a word": "call *pointer",
    "a word at a register": "movl $pointer, %edx\n call *(%edx)",
    "a member": "movl $pointer - 8, %esi\n call *8(%esi)",
    "a member before": "movl $pointer + 8, %esi\n call *-8(%esi)",
    "a member far away": "movl $pointer - 0x1000, %ebx\n call *0x1000(%ebx)",
    "an element": "movl $pointer - 12, %ecx\n movl $3, %eax\n call *(%ecx, %eax, 4)",
    "an element of a member": "movl $pointer - 20, %ecx\n movl $3, %eax\n call *8(%ecx, %eax, 4)",
    "an element far away": "movl $pointer - 0x106, %ecx\n movl $3, %edx\n call *0x100(%ecx, %edx, 2)",
    "an element of a table": "movl $3, %eax\n call *pointer - 12(, %eax, 4)",
    "a word on the stack": "pushl $0x7f000000\n call *(%esp)",
    "a word further up": "pushl $0x7f000000\n pushl $0\n pushl $0\n call *8(%esp)",
    "a word of the frame": "movl $0x7f000000, -4(%ebp)\n call *-4(%ebp)",
}
"""Ways to call what lies nowhere."""
OTHERS = {
    "is returned to": "movl $back, %eax\n pushl %eax\n pushl $0x7f000000\n ret",
    "is jumped to, and another call was on top": "movl $0x7f000004, %edx\n pushl $back\n jmp *%ecx",
    "nothing is on top": "pushl $0x12345678\n jmp *%ecx",
}


def stack_of(way: str) -> tuple[int, list[str]]:
    """Return where a kernel has ended that leaves its code in some way, and who called that; "": that is not known."""
    machine = machine_of(
        f"""{FUNCTION}
        movl    $0x7f000000, %ecx
        xorl    %ebp, %ebp
        call    work
        exit    0
        function work
        pushl   %ebp
        movl    %esp, %ebp
        subl    $64, %esp
        {way}
        leave
        ret
        call    *%edx
back:   ret
        ends    work
        .data
pointer: .long  0x7f000000
        .text
        """
    )
    prepare_stacks(machine)
    with pytest.raises(UnmappedAccess):
        machine.run()
    found = callers(machine).return_addresses
    names = [machine.image.call_site(each).function if each else "" for each in found]
    return machine.registers().eip, names


@pytest.mark.parametrize("way", CALLS)
def test_the_caller_is_named_whose_pointer_says_so(way: str) -> None:
    assert stack_of(CALLS[way]) == (NOWHERE, ["work", "_start"])


@pytest.mark.parametrize("way", OTHERS)
def test_nobody_is_where_no_call_has_led_there(way: str) -> None:
    assert stack_of(OTHERS[way]) == (NOWHERE, [""])
