"""The adapter, driven over pipes by a client; each message is checked against the protocol's schema."""

from __future__ import annotations

import base64
import re
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from emulator.debug.dap.adapter import CAPABILITIES
from tests.helpers.c_kernel import compile_kernel
from tests.helpers.call_stack_kernels import ENTRY
from tests.helpers.cpp_kernel import SCOPED, compile_cpp
from tests.helpers.debug_adapter import DebugAdapter, Refused, debug_adapter
from tests.helpers.guest import linked
from tests.helpers.rings import exceptions
from tests.helpers.task_kernel import KERNEL as TASKS
from tests.helpers.variable_kernel import SOURCE, compile_variables

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[4]
HEAP = str(ROOT / "firmware" / "litecore" / "heap.c")


@pytest.fixture
def adapter() -> Iterator[DebugAdapter]:
    with debug_adapter() as found:
        yield found


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The kernel with variables, not optimised."""
    return str(compile_variables(tmp_path_factory.mktemp("adapter"), "gcc", "-O0"))


def line_of(text: str) -> int:
    """Return the line of the kernel's source that has a text."""
    lines = SOURCE.splitlines()
    (found,) = [number for number, line in enumerate(lines, 1) if text in line]
    return found


def at_leaf(adapter: DebugAdapter, kernel: str, **arguments: object) -> Any:  # noqa: ANN401 - JSON
    """Launch the kernel, and run to the innermost line of `leaf`."""
    adapter.launch(kernel, **arguments)
    source = {"path": str(Path(kernel).parent / "kernel.c")}
    adapter.request("setBreakpoints", source=source, breakpoints=[{"line": line_of("sum += n + calls++;")}])
    return adapter.start()


def test_a_session_begins_runs_and_ends(adapter: DebugAdapter) -> None:
    assert adapter.request("initialize", adapterID="kmemu") == CAPABILITIES
    adapter.request("launch", program="firmware:demo", stopOnEntry=True)
    adapter.event("initialized")
    assert adapter.start()["reason"] == "entry"
    assert adapter.request("threads") == {"threads": [{"id": 1, "name": "CPU"}]}
    assert adapter.frames()[0]["name"] == "_start"
    stop = adapter.go("continue")
    assert (stop["reason"], stop["description"]) == ("pause", "the kernel exited with value 0")
    assert "LiteCore" in adapter.output()
    assert adapter.go("stepBack", granularity="instruction")["reason"] == "step"
    assert adapter.go("continue")["description"] == "the kernel exited with value 0"
    adapter.request("continue", threadId=1)
    assert adapter.event("exited") == {"exitCode": 0}
    adapter.event("terminated")
    adapter.request("disconnect")
    assert adapter.receive() is None


def test_a_run_that_is_not_to_stop_at_its_end_ends_the_session(adapter: DebugAdapter) -> None:
    adapter.launch("firmware:bad_exit", stopAtEnd=False)
    adapter.request("configurationDone")
    assert adapter.event("exited")["exitCode"] != 0
    adapter.event("terminated")


def test_breakpoints_in_lines_stop_at_each_pass_forwards_and_backwards(
    adapter: DebugAdapter, kernel: str
) -> None:
    stop = at_leaf(adapter, kernel)
    assert (stop["reason"], stop["hitBreakpointIds"]) == ("breakpoint", [1])
    seen = []
    for _ in range(3):
        seen.append(adapter.evaluate("i", frameId=1))
        stop = adapter.go("continue")
    assert seen == ["0", "1", "2"]
    assert adapter.evaluate("t->list.value", frameId=1) == "76"
    back = []
    for _ in range(3):
        adapter.go("reverseContinue")
        back.append(adapter.evaluate("i", frameId=1))
    assert back == ["2", "1", "0"]
    assert adapter.go("reverseContinue")["reason"] == "entry"
    frame = adapter.frames()[0]
    assert frame["name"] == "_start"


def test_a_frame_says_where_it_is(adapter: DebugAdapter, kernel: str) -> None:
    at_leaf(adapter, kernel)
    inner, outer, outermost = adapter.frames()
    assert (inner["name"], inner["line"]) == ("leaf", line_of("sum += n + calls++;"))
    assert inner["source"] == {"name": "kernel.c", "path": str(Path(kernel).parent / "kernel.c")}
    assert (outer["name"], outer["line"]) == ("kmain", line_of("u32 total = leaf(3"))
    assert outermost["name"] == "_start"
    assert adapter.request("stackTrace", threadId=1, startFrame=1, levels=1)["stackFrames"] == [outer]
    code = adapter.request(
        "disassemble",
        memoryReference=inner["instructionPointerReference"],
        instructionOffset=-2,
        instructionCount=4,
    )["instructions"]
    assert code[2]["address"] == inner["instructionPointerReference"]
    assert code[2]["line"] == inner["line"]
    assert code[2]["symbol"].startswith("leaf+0x")


def test_scopes_have_arguments_locals_globals_and_registers(adapter: DebugAdapter, kernel: str) -> None:
    at_leaf(adapter, kernel)
    arguments = adapter.scope("Arguments")
    assert {name: (each["type"], each["value"]) for name, each in arguments.items() if name != "t"} == {
        "n": ("u32", "3"),
        "flags": ("enum flags", "READ | WRITE (3)"),
        "letter": ("char", "97 'a'"),
    }
    pointed = adapter.variables(arguments["t"]["variablesReference"])
    assert pointed["colour"]["value"] == "GREEN (5)"
    assert pointed["grid"]["indexedVariables"] == 2
    rows = adapter.variables(pointed["grid"]["variablesReference"])
    assert adapter.variables(rows["[1]"]["variablesReference"])["[2]"]["value"] == "-6"
    name = adapter.variables(rows["[1]"]["variablesReference"])["[2]"]["evaluateName"]
    assert (name, adapter.evaluate(name, frameId=1)) == ("t->grid[1][2]", "-6")
    assert adapter.scope("Locals")["calls"]["value"] == "40"
    assert list(adapter.scope("Globals")) == ["lookup", "nodes", "seen", "thing"]
    registers = adapter.scope("Registers")
    assert registers["eip"]["value"] == adapter.frames()[0]["instructionPointerReference"]
    assert adapter.scope("Registers", frame=2)["eax"]["value"] == "<not known in this frame>"
    assert adapter.scope("Arguments", frame=2) == {}
    assert adapter.scope("Locals", frame=2)["total"]["type"] == "u32"


def test_parts_of_arrays_are_paged(adapter: DebugAdapter, kernel: str) -> None:
    at_leaf(adapter, kernel)
    nodes = adapter.request("evaluate", expression="nodes", context="watch")
    assert nodes["indexedVariables"] == 3
    some = adapter.request(
        "variables", variablesReference=nodes["variablesReference"], filter="indexed", start=1, count=1
    )
    assert [each["name"] for each in some["variables"]] == ["[1]"]


def test_conditions_and_counts_of_hits_choose_the_stops(adapter: DebugAdapter, kernel: str) -> None:
    adapter.launch(kernel)
    source = {"path": str(Path(kernel).parent / "kernel.c")}
    line = line_of("sum += n + calls++;")

    def stops(**wanted: object) -> list[str]:
        """Return the values of calls at all stops of the run."""
        adapter.request("setBreakpoints", source=source, breakpoints=[{"line": line, **wanted}])
        found = []
        while adapter.go("continue")["reason"] == "breakpoint":
            found.append(adapter.evaluate("calls", frameId=1))
        adapter.go("reverseContinue") if not found else None
        adapter.evaluate("goto @0", context="repl")
        adapter.event("stopped")
        return found

    adapter.start()
    adapter.evaluate("goto @0", context="repl")
    adapter.event("stopped")
    assert stops() == ["40", "41", "42", "43", "44", "45"]
    assert stops(condition="i == 1") == ["41", "44"]
    assert stops(condition="letter == 'x' && $esp > 0 && t->grid[0][0] == 1") == ["43", "44", "45"]
    assert stops(hitCondition="2") == ["41"]
    assert stops(hitCondition="> 4") == ["44", "45"]
    assert stops(hitCondition="% 3") == ["42", "45"]
    assert stops(condition="i == 1", hitCondition="== 2") == ["44"]
    assert stops(condition="thing.colour / (i - 1)", hitCondition="") == ["41", "42", "44", "45"]
    assert "the condition thing.colour / (i - 1) cannot be evaluated: a division by zero\n" in adapter.output(
        "console"
    )
    assert stops(logMessage="{i} of {letter}: {nobody.x}", condition="i") == []


def test_messages_are_logged_once(adapter: DebugAdapter, kernel: str) -> None:
    adapter.launch(kernel)
    source = {"path": str(Path(kernel).parent / "kernel.c")}
    wanted = {"line": line_of("sum += n + calls++;"), "logMessage": "pass {i} with {letter}, {flags}"}
    adapter.request("setBreakpoints", source=source, breakpoints=[wanted])
    assert adapter.start()["reason"] == "pause"
    adapter.go("reverseContinue")
    adapter.go("continue")
    passes = [f"pass {i} with 97 'a', READ | WRITE (3)" for i in range(3)] + [
        f"pass {i} with 120 'x', READ | EXEC (5)" for i in range(3)
    ]
    assert adapter.output("console").splitlines() == passes


def test_breakpoints_that_cannot_be_are_refused_each_for_itself(adapter: DebugAdapter, kernel: str) -> None:
    adapter.launch(kernel)
    source = {"path": str(Path(kernel).parent / "kernel.c")}
    wanted = [
        {"line": 9999},
        {"line": 1, "condition": "1 +"},
        {"line": line_of("sum += n + calls++;"), "condition": "nobody == 1"},
        {"line": line_of("sum += n + calls++;"), "condition": "$nobody == 1"},
        {"line": line_of("sum += n + calls++;"), "hitCondition": "often"},
        {"line": line_of("sum += n + calls++;") - 1},
    ]
    *refused, good = adapter.request("setBreakpoints", source=source, breakpoints=wanted)["breakpoints"]
    assert [each["message"] for each in refused] == [
        "no code belongs to line 9999 of this file, or to one soon after it",
        "its end is not expected in '1 +'",
        "there is no variable 'nobody' there",
        "'nobody' is no register",
        "'often' is no count of hits such as 5, >= 5 or % 5",
    ]
    assert not any(each["verified"] for each in refused)
    assert good["verified"]
    functions = adapter.request("setFunctionBreakpoints", breakpoints=[{"name": "leaf"}, {"name": "nobody"}])[
        "breakpoints"
    ]
    assert [each["verified"] for each in functions] == [True, False]
    assert functions[1]["message"] == f"{kernel}: no function 'nobody' in its symbol table"
    elsewhere = adapter.request(
        "setBreakpoints", source={"path": "/nowhere/other.c"}, breakpoints=[{"line": 1}]
    )
    assert not elsewhere["breakpoints"][0]["verified"]


def test_functions_and_instructions_stop(adapter: DebugAdapter, kernel: str) -> None:
    adapter.launch(kernel)
    (function,) = adapter.request("setFunctionBreakpoints", breakpoints=[{"name": "wide"}])["breakpoints"]
    stop = adapter.start()
    assert (stop["reason"], stop["hitBreakpointIds"]) == ("function breakpoint", [function["id"]])
    assert adapter.frames()[0]["instructionPointerReference"] == function["instructionReference"]
    assert adapter.evaluate("a", frameId=1) == "4886718345"
    assert adapter.evaluate("b", frameId=1) == "-3"
    adapter.go("stepBack", granularity="instruction")
    assert adapter.evaluate("a", frameId=1) == "<not stored yet: the function has just been entered>"
    caller = adapter.frames()[1]["instructionPointerReference"]
    adapter.request("setInstructionBreakpoints", breakpoints=[{"instructionReference": caller}])
    assert [adapter.go("continue")["reason"] for _ in range(2)] == [
        "function breakpoint",
        "instruction breakpoint",
    ]
    assert adapter.frames()[0]["instructionPointerReference"] == caller


def test_steps_by_instructions_go_into_calls_and_over_them(adapter: DebugAdapter, kernel: str) -> None:
    adapter.launch(kernel, stopOnEntry=True)
    adapter.start()
    while adapter.frames()[0]["name"] == "_start":
        before = adapter.frames()[0]["instructionPointerReference"]
        adapter.go("stepIn", granularity="instruction")
    assert adapter.frames()[0]["name"] == "kmain"
    adapter.go("stepBack", granularity="instruction")
    assert adapter.frames()[0]["instructionPointerReference"] == before
    assert adapter.go("next", granularity="instruction")["description"] == "the kernel exited with value 0"
    adapter.go("stepBack", granularity="instruction")
    assert adapter.frames()[0]["name"] == "kmain"


def test_steps_by_lines_go_into_calls_over_them_and_back(adapter: DebugAdapter, kernel: str) -> None:
    at_leaf(adapter, kernel)
    adapter.request("setBreakpoints", source={"path": str(Path(kernel).parent / "kernel.c")}, breakpoints=[])

    def place() -> tuple[str, int]:
        frame = adapter.frames()[0]
        return frame["name"], frame["line"]

    here = place()
    assert adapter.go("next")["reason"] == "step"
    assert place() == ("leaf", line_of("seen = sum;"))
    adapter.go("stepBack")
    assert place() == here
    adapter.go("stepOut")
    assert place() == ("kmain", line_of("u32 total = leaf(3"))
    adapter.go("next", granularity="line")
    assert place() == ("kmain", line_of("total += (u32)wide("))
    adapter.go("stepIn", granularity="statement")
    assert place()[0] == "wide"
    adapter.go("stepOut")
    adapter.go("next")
    assert place() == ("kmain", line_of("total += spread("))


def test_variables_and_registers_are_set_and_stay_set(adapter: DebugAdapter, kernel: str) -> None:
    at_leaf(adapter, kernel)
    scopes = {
        each["name"]: each["variablesReference"] for each in adapter.request("scopes", frameId=1)["scopes"]
    }
    changed = adapter.request(
        "setVariable", variablesReference=scopes["Locals"], name="sum", value="n + 1000"
    )
    assert (changed["value"], changed["type"]) == ("1000", "u32")
    assert (
        adapter.request("setExpression", expression="thing.bits.middle", value="-2", frameId=1)["value"]
        == "-2"
    )
    assert adapter.request("setExpression", expression="thing.colour", value="9")["value"] == "BLUE (9)"
    assert (
        adapter.request("setVariable", variablesReference=scopes["Registers"], name="edi", value="0x1234")[
            "value"
        ]
        == "0x00001234"
    )
    assert adapter.evaluate("thing.bits", frameId=1).startswith("{low = 5, middle = -2, high = 703710")
    adapter.go("continue")
    adapter.go("reverseContinue")
    assert adapter.evaluate("$edi") == "4660 (0x1234)"
    assert adapter.evaluate("sum", frameId=1) == "1000"
    for name, problem in (("t", None), ("nobody", "there is no variable 'nobody' there")):
        arguments = {
            "variablesReference": adapter.request("scopes", frameId=1)["scopes"][0]["variablesReference"]
        }
        if problem:
            with pytest.raises(Refused, match=f"^{problem}$"):
                adapter.request("setVariable", name=name, value="1", **arguments)
    with pytest.raises(Refused, match=r"^a value of type struct bits cannot be set$"):
        adapter.request("setExpression", expression="thing.bits", value="1")
    with pytest.raises(Refused, match=r"^99 does not fit into 5 bits$"):
        adapter.request("setExpression", expression="thing.bits.middle", value="99")


def test_memory_is_read_and_written(adapter: DebugAdapter, kernel: str) -> None:
    at_leaf(adapter, kernel)
    reference = adapter.request("evaluate", expression="lookup", context="watch")["memoryReference"]
    read = adapter.request("readMemory", memoryReference=reference, count=3)
    assert (read["address"], base64.b64decode(read["data"])) == (reference, b"\1\2\3")
    written = adapter.request(
        "writeMemory", memoryReference=reference, offset=1, data=base64.b64encode(b"\7").decode()
    )
    assert written == {"bytesWritten": 1}
    assert adapter.evaluate("lookup[1]") == "7 '\\a'"
    assert adapter.request("readMemory", memoryReference="0xfffffff0", count=64)["unreadableBytes"] == 64
    with pytest.raises(Refused, match=r"^'home' is no memory reference$"):
        adapter.request("readMemory", memoryReference="home", count=1)


def test_data_breakpoints_stop_at_accesses_forwards_and_backwards(adapter: DebugAdapter, kernel: str) -> None:
    adapter.launch(kernel, stopOnEntry=True)
    adapter.start()
    info = adapter.request("dataBreakpointInfo", name="thing.colour")
    assert (info["accessTypes"], info["description"][:22]) == (
        ["read", "write", "readWrite"],
        "thing.colour: 4 bytes ",
    )
    (point,) = adapter.request(
        "setDataBreakpoints", breakpoints=[{"dataId": info["dataId"], "accessType": "write"}]
    )["breakpoints"]
    assert point["verified"]
    stop = adapter.go("continue")
    assert (stop["reason"], stop["hitBreakpointIds"]) == ("data breakpoint", [point["id"]])
    assert stop["description"] == "data breakpoint: 0x5 -> 0x9"
    assert re.fullmatch(r"0x[0-9a-f]{8} written at writes\+0x\w+ kernel.c:\d+: 0x5 -> 0x9", stop["text"])
    assert adapter.evaluate("thing.colour") == "BLUE (9)"
    written = adapter.evaluate("who thing.colour", context="repl")
    assert written.startswith("written at writes+0x")
    assert re.search(r": 0x5 -> 0x9, after [0-9]+ instructions, called from kmain\+0x", written)
    assert adapter.evaluate("who lookup 3", context="repl").startswith("nobody has written to 0x")
    assert adapter.go("continue")["reason"] == "pause"
    assert adapter.go("reverseContinue")["reason"] == "data breakpoint"
    assert adapter.go("reverseContinue")["reason"] == "entry"
    refused = adapter.request("setDataBreakpoints", breakpoints=[{"dataId": "home"}])["breakpoints"]
    assert [each["message"] for each in refused] == ["'home' is no data that can be watched"]
    assert adapter.request("dataBreakpointInfo", name="nobody") == {
        "dataId": None,
        "description": "there is no variable 'nobody' here",
    }
    by_address = adapter.request("dataBreakpointInfo", name="thing", asAddress=True, bytes=12)
    assert by_address["dataId"].endswith(":12")
    assert adapter.request("dataBreakpointInfo", name="$eax")["dataId"] is None


def test_findings_stop_the_run_in_front_of_the_access(adapter: DebugAdapter) -> None:
    adapter.launch("firmware:overflow", sanitize=True)
    filters = adapter.request(
        "setExceptionBreakpoints", filters=["finding", "allocation-failed", "guest-exception", "rain"]
    )
    assert [each["verified"] for each in filters["breakpoints"]] == [True, True, True, False]
    stop = adapter.start()
    assert (stop["reason"], stop["description"]) == ("exception", "Finding")
    info = adapter.request("exceptionInfo", threadId=1)
    assert info["exceptionId"] == "out-of-bounds"
    assert info["description"] == stop["text"]
    outputs = [each["body"]["output"] for each in adapter.events if each["event"] == "output"]
    (report,) = (each for each in outputs if each.startswith("BUG: out-of-bounds"))
    assert "Allocated by call #" in report
    assert "Memory state around the buggy address:" in report
    heap = adapter.scope("Heap")["heap"]
    assert heap["value"].startswith("3 blocks, ")
    blocks = adapter.variables(heap["variablesReference"])
    assert all("kmalloc from kmain" in each["value"] for each in blocks.values())
    (first, *_) = blocks.values()
    assert adapter.variables(first["variablesReference"])["allocated by"]["value"] == "kmalloc"


def test_without_checks_findings_cannot_be_had(adapter: DebugAdapter) -> None:
    adapter.launch("firmware:overflow")
    (finding,) = adapter.request("setExceptionBreakpoints", filters=["finding"])["breakpoints"]
    assert finding == {"verified": False, "message": 'findings are looked for with "sanitize": true'}
    adapter.start()
    with pytest.raises(Refused, match=r"^the kernel has not stopped at an exception$"):
        adapter.request("exceptionInfo", threadId=1)


def test_a_failed_allocation_has_the_name_of_its_error(adapter: DebugAdapter) -> None:
    adapter.launch("firmware:btron_pools_wait")
    adapter.request("setExceptionBreakpoints", filters=["allocation-failed"])
    assert re.fullmatch(r"\w+ returned E_\w+", adapter.start()["text"])


def test_failed_allocations_stop_the_run_at_their_return(adapter: DebugAdapter) -> None:
    adapter.launch("firmware:exhaust")
    adapter.request("setExceptionBreakpoints", filters=["allocation-failed"])
    stop = adapter.start()
    assert (stop["reason"], stop["description"]) == ("exception", "Allocation failed")
    assert stop["text"].endswith(" returned 0 (no block)")
    first = adapter.evaluate("where", context="repl")
    second = adapter.go("continue")
    assert second["description"] == "Allocation failed"
    assert adapter.evaluate("where", context="repl") != first
    assert adapter.go("reverseContinue")["description"] == "Allocation failed"
    assert adapter.evaluate("where", context="repl") == first
    assert adapter.go("reverseContinue")["reason"] == "entry"


def test_what_stops_after_a_failed_allocation_comes_first_on_the_way_back(adapter: DebugAdapter) -> None:
    adapter.launch("firmware:exhaust")
    adapter.request("setExceptionBreakpoints", filters=["allocation-failed"])
    adapter.start()
    adapter.go("next", granularity="instruction")
    here = adapter.frames()[0]["instructionPointerReference"]
    adapter.request("setInstructionBreakpoints", breakpoints=[{"instructionReference": here}])
    assert adapter.go("continue")["description"] == "Allocation failed"
    assert adapter.go("reverseContinue")["reason"] == "instruction breakpoint"
    assert adapter.frames()[0]["instructionPointerReference"] == here
    assert adapter.go("reverseContinue")["description"] == "Allocation failed"


def test_after_a_change_hits_are_counted_anew_from_there(adapter: DebugAdapter, kernel: str) -> None:
    adapter.launch(kernel)
    wanted = {"line": line_of("sum += n + calls++;"), "hitCondition": "<= 3"}
    adapter.request("setBreakpoints", source={"path": "kernel.c"}, breakpoints=[wanted])
    adapter.start()
    assert [
        adapter.go(each)["reason"] for each in ("continue", "continue", "reverseContinue", "reverseContinue")
    ] == ["breakpoint"] * 4
    adapter.request("setExpression", expression="i", value="5", frameId=1)
    assert adapter.go("continue")["reason"] == "breakpoint"  # the second one: the loop has ended
    assert adapter.evaluate("letter", frameId=1) == "120 'x'"


def test_what_is_written_again_after_a_change_is_new(adapter: DebugAdapter) -> None:
    adapter.launch("firmware:demo")
    adapter.start()
    written = adapter.output()
    adapter.evaluate("goto @0", context="repl")
    adapter.event("stopped")
    adapter.go("continue")
    assert adapter.output() == written
    adapter.evaluate("goto @0", context="repl")
    adapter.event("stopped")
    adapter.request("writeMemory", memoryReference="0x300000", data="AAAA")
    adapter.go("continue")
    assert adapter.output() == written * 2


def test_exceptions_of_the_guest_stop_at_their_handlers(adapter: DebugAdapter) -> None:
    adapter.launch("firmware:vm_fault")
    adapter.request("setExceptionBreakpoints", filters=["guest-exception"])
    stop = adapter.start()
    assert stop["description"] == "Exception of the guest"
    assert stop["text"].startswith("#PF page fault at write_null")
    assert adapter.request("exceptionInfo", threadId=1)["exceptionId"] == "guest-exception"


FAULTS = """
        movl    %cr4, %eax
        orl     $0x10, %eax
        movl    %eax, %cr4
        movl    $0x87, directory                # the first 4 MiB, in ring 3, too
        movl    $directory, %eax
        movl    %eax, %cr3
        movl    %cr0, %eax
        orl     $0x80000000, %eax
        movl    %eax, %cr0
        after   1f
in_0:   movl    0x500000, %eax
1:      after   2f
        in_ring_3
in_3:   movl    %eax, 0x600000
2:      after   3f
        in_ring_3
halts:  hlt
3:      nop
        .bss
        .balign 4096
directory: .skip 4096
        .text
"""


def test_exceptions_of_each_ring_stop_forwards_and_backwards(adapter: DebugAdapter, tmp_path: Path) -> None:
    (tmp_path / "faults.elf").write_bytes(linked(exceptions(FAULTS)))
    adapter.launch(str(tmp_path / "faults.elf"))
    adapter.request("setExceptionBreakpoints", filters=["guest-exception"])
    faults = ["#PF page fault at in_0", "#PF page fault at in_3", "#GP general protection at halts"]

    def text(stop: dict[str, str]) -> str:
        assert (stop["reason"], stop["description"]) == ("exception", "Exception of the guest")
        assert adapter.request("exceptionInfo", threadId=1)["description"] == stop["text"]
        handler, interrupted, *_ = (each["name"] for each in adapter.frames())
        assert handler.startswith("on_1")
        assert f" at {interrupted}+" in stop["text"]
        return stop["text"].partition("+")[0]

    assert [text(adapter.start()), text(adapter.go("continue")), text(adapter.go("continue"))] == faults
    assert adapter.go("continue")["reason"] == "pause", "the run has ended"
    assert [text(adapter.go("reverseContinue")) for _ in faults] == faults[::-1]
    assert adapter.go("reverseContinue")["reason"] == "entry"
    adapter.request("setExceptionBreakpoints", filters=[])
    assert adapter.go("continue")["reason"] == "pause"
    adapter.request("setExceptionBreakpoints", filters=["guest-exception"])
    assert text(adapter.go("reverseContinue")) == faults[-1]


def test_a_kernel_whose_client_reads_slowly_is_paused(adapter: DebugAdapter, tmp_path: Path) -> None:
    source = """
    volatile unsigned n;
    void kmain(void) { for (;;) { n++; __asm__ volatile("outb %0, $0xe9" : : "a"((char)(n % 64 ? 65 : 10))); } }
    """
    adapter.launch(str(compile_kernel(tmp_path, source, ["-g"], entry=ENTRY)), stopOnEntry=False)
    adapter.request("configurationDone")
    for _ in range(3):
        time.sleep(0.2)  # what the kernel prints fills the pipe, for which the adapter waits
        pause = adapter.send("pause", threadId=1)
        assert adapter.answer(pause)["success"]
        assert adapter.event("stopped")["reason"] == "pause"
        assert int(adapter.evaluate("n")) > 0
        adapter.request("continue", threadId=1)
    adapter.request("disconnect")


def test_what_is_typed_goes_to_events_and_back(adapter: DebugAdapter) -> None:
    adapter.launch("firmware:demo", stopOnEntry=True)
    adapter.start()
    assert adapter.evaluate("where", context="repl") == "after 0 instructions"
    assert re.fullmatch(
        "after [0-9]+ instructions, after event 6", adapter.evaluate("goto 6", context="repl")
    )
    assert adapter.event("stopped")["reason"] == "goto"
    assert "who ADDRESS" in adapter.evaluate("help", context="repl")
    assert adapter.evaluate("1 + 1", context="repl") == "2 (0x2)"
    with pytest.raises(Refused, match=r"^'x' is no number of an event, and no @INSTRUCTIONS$"):
        adapter.evaluate("goto x", context="repl")
    with pytest.raises(Refused, match=r"^there is no variable 'nobody' here$"):
        adapter.evaluate("nobody", context="hover")


def test_threads_are_the_tasks_of_a_kernel_whose_tasks_are_known(adapter: DebugAdapter) -> None:
    adapter.launch("firmware:btron_pools_wait")
    adapter.request("setFunctionBreakpoints", breakpoints=[{"name": "rel_blk"}])
    stop = adapter.start()
    assert (stop["threadId"], stop["description"]) == (1, "function breakpoint")
    threads = {each["id"]: each["name"] for each in adapter.request("threads")["threads"]}
    assert threads[1] == "task 1: running, priority 30"
    assert threads[2] == "task 2: waits for memory pool 1, priority 20"
    assert threads[1000] == "kernel: idle"
    assert adapter.frames()[0]["name"] == "rel_blk"
    waiting = adapter.request("stackTrace", threadId=2)
    names = [each["name"] for each in waiting["stackFrames"]]
    assert names[0] == "dispatch"
    assert "tget_blk" in names
    assert waiting["totalFrames"] == len(names)
    asking = waiting["stackFrames"][names.index("ask")]["id"]
    scopes = {each["name"]: each for each in adapter.request("scopes", frameId=asking)["scopes"]}
    found = adapter.variables(scopes["Locals"]["variablesReference"])
    assert found["result"]["value"] == "<optimised out>"
    request = adapter.variables(found["request"]["variablesReference"])
    assert request["pool"]["value"] == "1"
    registers = adapter.variables(scopes["Registers"]["variablesReference"])
    assert registers["eax"]["value"] == "<not known in this frame>"
    assert registers["ebp"]["value"].startswith("0x8012")
    assert "cr3" not in registers
    assert adapter.request("evaluate", expression="request->pool == 1", frameId=asking)["result"] == "1 (0x1)"
    for name in ("ebp", "eax"):
        with pytest.raises(Refused, match=rf"^{name} cannot be set$"):
            adapter.request(
                "setVariable",
                variablesReference=scopes["Registers"]["variablesReference"],
                name=name,
                value="1",
            )
    for frame in (asking, waiting["stackFrames"][0]["id"]):
        with pytest.raises(Refused, match=r"^registers can be set in the innermost frame of what runs$"):
            adapter.request("setExpression", expression="$ebx", value="1", frameId=frame)
    changed = adapter.request("setExpression", expression="request->size", value="77", frameId=asking)
    assert changed["value"] == "77"
    assert adapter.request("evaluate", expression="request->size", frameId=asking)["result"] == "77"
    for command in ("next", "stepIn", "stepOut", "stepBack"):
        with pytest.raises(Refused, match=r"^thread 2 does not run: only what runs can be stepped$"):
            adapter.request(command, threadId=2)
    with pytest.raises(Refused, match=r"^there is no frame 99999999 here$"):
        adapter.request("scopes", frameId=99999999)
    some = adapter.request("stackTrace", threadId=2, startFrame=1, levels=1)["stackFrames"]
    assert some == waiting["stackFrames"][1:2]
    with pytest.raises(Refused, match=r"^there is no thread 77$"):
        adapter.request("stackTrace", threadId=77)


def test_a_kernel_that_runs_is_paused(adapter: DebugAdapter, tmp_path: Path) -> None:
    path = compile_kernel(
        tmp_path, "volatile unsigned n; void kmain(void) { for (;;) n++; }", ["-g"], entry=ENTRY
    )
    adapter.launch(str(path))
    adapter.request("configurationDone")
    running = adapter.send("threads")
    assert adapter.answer(running)["success"]
    refused = adapter.answer(adapter.send("stackTrace", threadId=1))
    assert (refused["success"], refused["message"]) == (False, "the kernel runs")
    adapter.request("pause", threadId=1)
    assert adapter.event("stopped")["reason"] == "pause"
    assert adapter.frames()[0]["name"] == "kmain"
    number = int(adapter.evaluate("n"))
    adapter.request("continue", threadId=1)
    adapter.request("pause", threadId=1)
    adapter.event("stopped")
    assert int(adapter.evaluate("n")) >= number
    adapter.request("continue", threadId=1)
    adapter.request("terminate")
    adapter.event("terminated")
    adapter.request("disconnect")


def test_a_source_file_is_given_where_it_is_here(adapter: DebugAdapter, kernel: str) -> None:
    adapter.launch(kernel, stopOnEntry=True)
    adapter.start()
    assert adapter.request("source", source={"path": "kernel.c"}, sourceReference=0)["content"] == SOURCE
    with pytest.raises(Refused, match=r"^the source file '/etc/passwd' is not here$"):
        adapter.request("source", source={"path": "/etc/passwd"}, sourceReference=0)
    lines = adapter.request("breakpointLocations", source={"path": "kernel.c"}, line=1, endLine=200)[
        "breakpoints"
    ]
    assert {"line": line_of("sum += n + calls++;")} in lines


def test_the_same_messages_get_the_same_answers(kernel: str) -> None:
    def transcript() -> list[dict[str, Any]]:
        with debug_adapter() as adapter:
            at_leaf(adapter, kernel)
            adapter.scope("Locals")
            adapter.scope("Globals")
            adapter.go("continue")
            adapter.go("reverseContinue")
            adapter.go("stepIn", granularity="instruction")
            adapter.frames()
            adapter.request("disconnect")
        return adapter.transcript

    assert transcript() == transcript()


def test_a_kernel_of_which_no_allocator_is_known_says_so(adapter: DebugAdapter, kernel: str) -> None:
    at_leaf(adapter, kernel)
    why = f"no built-in profile fits; kmemu init {kernel} writes one"
    heap = adapter.scope("Heap")
    assert {name: each["value"] for name, each in heap.items()} == {"no allocator is known": why}
    (refused,) = adapter.request("setExceptionBreakpoints", filters=["allocation-failed"])["breakpoints"]
    assert refused == {
        "verified": False,
        "message": f"no profile says which functions allocate: {why}",
    }


def test_steps_are_by_instructions_where_there_are_no_source_lines(
    adapter: DebugAdapter, tmp_path: Path
) -> None:
    adapter.launch(str(compile_variables(tmp_path, "gcc", "-g0")), stopOnEntry=True)
    adapter.start()
    start = adapter.frames()[0]["instructionPointerReference"]
    places = []
    for command in ("next", "stepIn", "stepBack", "stepBack"):
        adapter.go(command)
        places.append(adapter.frames()[0]["instructionPointerReference"])
    assert places[3] == start
    assert places[2] == places[0] != start


def test_what_editors_add_to_a_launch_is_no_attribute(adapter: DebugAdapter) -> None:
    """Visual Studio Code sends where its configuration stands, and an id of the session."""
    adapter.launch("firmware:demo", stopOnEntry=True, __configurationTarget=6, __sessionId="15b2")
    assert adapter.start()["reason"] == "entry"


def test_an_error_is_shown_to_the_user_unless_it_stands_where_the_value_would_be(
    adapter: DebugAdapter,
) -> None:
    adapter.launch("firmware:demo", stopOnEntry=True)
    adapter.start()
    shown = {}
    for command, arguments in (
        ("evaluate", {"expression": "nobody", "context": "watch"}),
        ("setExpression", {"expression": "nobody", "value": "1"}),
        ("source", {"source": {"path": "/etc/passwd"}, "sourceReference": 0}),
        ("stackTrace", {"threadId": 7}),
    ):
        answer = adapter.answer(adapter.send(command, **arguments))
        shown[command] = answer["body"]["error"]["showUser"]
    assert shown == {"evaluate": False, "setExpression": False, "source": False, "stackTrace": True}


def test_a_frame_whose_source_is_not_here_is_one_like_others(adapter: DebugAdapter, tmp_path: Path) -> None:
    """Editors fold frames that are said to be of no interest, and show no variables of them."""
    kernel = compile_variables(tmp_path, "gcc", "-O0")
    source = kernel.parent / "kernel.c"
    source.unlink()
    adapter.launch(str(kernel))
    adapter.request("setFunctionBreakpoints", breakpoints=[{"name": "leaf"}])
    adapter.start()
    assert adapter.frames()[0]["source"] == {"name": "kernel.c", "origin": f"{source}, which is not here"}


def test_the_source_of_a_built_in_kernel_travels_with_it(adapter: DebugAdapter) -> None:
    adapter.launch("firmware:overflow", stopOnEntry=True)
    adapter.start()
    path = Path(adapter.frames()[0]["source"]["path"])
    assert path.parts[-3:] == ("firmware", "common", "entry.S")
    assert path.read_bytes() == (ROOT / "firmware" / "common" / "entry.S").read_bytes()


def test_instructions_that_are_not_known_have_addresses_of_their_own(adapter: DebugAdapter) -> None:
    """Editors take an address twice for one instruction."""
    adapter.launch("firmware:overflow", stopOnEntry=True)
    adapter.start()
    here = adapter.frames()[0]["instructionPointerReference"]
    found = adapter.request(
        "disassemble", memoryReference=here, instructionOffset=-3000, instructionCount=3001
    )["instructions"]
    addresses = [int(each["address"], 16) for each in found]
    assert addresses[-1] == int(here, 16)
    assert all(earlier < later for earlier, later in pairwise(addresses))
    assert "invalid" in {each.get("presentationHint") for each in found}


def test_conditions_have_names_with_scopes_and_registers_of_the_fpu(
    adapter: DebugAdapter, tmp_path: Path
) -> None:
    adapter.launch(str(compile_cpp(tmp_path, SCOPED)))
    conditions = ("sched::queue.head == 5", "Queue::push && inner::only == 9", "sched::nothing", "$st8")
    points = [{"name": "push", "condition": each} for each in (*conditions, "&$st0")]
    found = adapter.request("setFunctionBreakpoints", breakpoints=points)["breakpoints"]
    assert [each.get("message") for each in found[:4]] == [
        None,
        None,
        "there is no variable 'sched::nothing' there",
        "'st8' is no register",
    ]
    assert adapter.start()["hitBreakpointIds"][:2] == [found[0]["id"], found[1]["id"]]
    assert adapter.evaluate("sched::queue.head") == "5"


def test_calls_that_switch_tasks_are_stepped_over_by_instructions_in_their_task(
    adapter: DebugAdapter, tmp_path: Path
) -> None:
    adapter.launch(str(compile_kernel(tmp_path, TASKS, ["-g", "-O0"])))
    source = {"path": str(tmp_path / "kernel.c")}
    adapter.request("setBreakpoints", source=source, breakpoints=[{"line": 13, "condition": "i == 1"}])
    adapter.start()
    adapter.request("setBreakpoints", source=source, breakpoints=[])
    assert adapter.evaluate("self", frameId=1) == "0"
    while adapter.frames()[0]["line"] == 13:
        adapter.go("next", granularity="instruction")
    assert adapter.evaluate("self", frameId=1) == "0"
