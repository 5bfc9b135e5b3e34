"""Every allocation fails once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from emulator import boot
from emulator.errors import NoEnd
from emulator.hle.layers import Mode
from emulator.inject.campaign import (
    PATIENCE,
    PATIENCE_MORE,
    Reaction,
    Trial,
    TrialRunner,
    sampled,
)
from emulator.inject.workers import run_campaign
from emulator.profile.known import matching_profile
from emulator.profile.model import Profile
from emulator.replay.engine import Rerun
from emulator.run.ending import Budget, How
from tests.helpers.guest import FUNCTION, machine_of
from tests.unit.inject.test_policy import PROFILE

ROOT = Path(__file__).parents[3]
ALL = 10_000
PROFILE_OF_ONE = Profile("one", PROFILE.functions[:1])
TAKE = """
        hlt
        function take
        movl    $0x2000, %eax
        ret
        ends    take
"""


def fragile(requests: int = 3, mode: Mode = Mode.NATIVE) -> Rerun:
    layers = {"heap": mode, "memmap": mode}
    new = partial(boot, "firmware:fragile", command_line=f"requests={requests}", layers=layers)
    return Rerun(new, matching_profile(new().image))


def facts(trial: Trial) -> tuple[str, str, str]:
    return trial.call.call_site.backtrace[0].function, trial.reaction.value, trial.ending


def test_each_failure_of_a_fragile_kernel_has_its_own_end() -> None:
    campaign = run_campaign(fragile(), limit=ALL, workers=1)
    good = campaign.good
    assert (good.how, good.exit_value, campaign.allocations) == (How.EXIT, 0, 14)
    assert [trial.number for trial in campaign.trials] == list(range(1, 15))
    patience = PATIENCE * (good.instructions or 0) + PATIENCE_MORE
    request = [
        ("use_cache", "survives", "exit value 0"),
        ("open_session", "dies", "#UD invalid opcode"),
        ("name_session", "survives", "exit value 0"),
        ("send_reply", "hangs", f"no end after {patience} instructions"),
    ]
    assert [facts(trial) for trial in campaign.trials] == [
        ("load_table", "reports", "exit value 1"),
        ("use_frame", "survives", "exit value 0"),
        *request * 3,
    ]
    call_sites = {
        trial.call.call_site.backtrace[0].function: trial.location.partition("+")[0]
        for trial in campaign.trials
    }
    assert call_sites == {
        **dict.fromkeys(["load_table", "use_frame", "use_cache", "name_session"], ""),
        "open_session": "serve_session",
        "send_reply": "send_reply",
    }
    assert [campaign.number_of(reaction) for reaction in Reaction] == [7, 0, 1, 3, 3, 0]
    assert campaign.is_bad


@pytest.mark.parametrize("mode", [Mode.MODEL, Mode.LOCKSTEP])
def test_models_fail_as_native_code_does(mode: Mode) -> None:
    native = run_campaign(fragile(1), limit=ALL, workers=1)
    modelled = run_campaign(fragile(1, mode), limit=ALL, workers=1)
    assert [(*facts(trial)[:2], trial.call) for trial in modelled.trials] == [
        (*facts(trial)[:2], trial.call) for trial in native.trials
    ]


def test_the_result_does_not_depend_on_the_number_of_workers() -> None:
    steps: list[int] = []
    alone = run_campaign(fragile(), limit=ALL, workers=1)
    assert (
        run_campaign(fragile(), limit=ALL, workers=2, on_start=steps.append, on_trial=steps.append) == alone
    )
    assert steps == [14] + [1] * 14
    assert run_campaign(fragile(), limit=ALL, workers=1) == alone


def test_more_workers_than_allocations() -> None:
    assert len(run_campaign(fragile(0), limit=ALL, workers=3).trials) == 2


def test_a_failure_is_the_same_alone_as_among_all() -> None:
    whole = run_campaign(fragile(), limit=ALL, workers=1)
    good = TrialRunner(fragile()).good_run(Budget())
    for number in (4, 9, 14):
        (alone,) = TrialRunner(fragile()).trials([number], good)
        assert alone == whole.trials[number - 1]


@pytest.mark.parametrize(
    ("code", "reaction", "ending"),
    [
        ("exit 0", Reaction.SURVIVES, "exit value 0"),
        ("cli\n hlt", Reaction.SURVIVES, "halted"),
        ("testl %eax, %eax\n jnz 1f\n cli\n hlt\n1: exit 0", Reaction.REPORTS, "halted"),
        ("cli\n testl %eax, %eax\n jnz 1f\n hlt\n1: hlt", Reaction.REPORTS, "halted"),
        ("testl %eax, %eax\n jnz 1f\n exit 3\n1: exit 0", Reaction.REPORTS, "exit value 3"),
        (
            "testl %eax, %eax\n jnz 1f\n movl 0xe0000000, %eax\n1: exit 0",
            Reaction.DIES,
            "read of unmapped physical memory 0xe0000000",
        ),
        (
            "testl %eax, %eax\n jnz 1f\n ud2\n1: exit 0",
            Reaction.DIES,
            "triple fault: #UD invalid opcode (no handler in the IDT)",
        ),
        (
            "testl %eax, %eax\n jnz 1f\n movl $0xf0000, %eax\n jmp *%eax\n1: exit 0",
            Reaction.UNKNOWN,
            "kmemu does not have code of a BIOS: a jump into its ROM",
        ),
        (
            "1: testl %eax, %eax\n jz 1b\n exit 0",
            Reaction.HANGS,
            "no end after {} instructions",
        ),
        ("movl $1, 4(%eax)\n exit 0", Reaction.ACCESSES_NULL, "exit value 0"),
        (
            "movl (%eax), %ecx\n testl %eax, %eax\n jnz 1f\n exit 3\n1: exit 0",
            Reaction.ACCESSES_NULL,
            "exit value 3",
        ),
        ("movl 0x40e, %ecx\n exit 0", Reaction.SURVIVES, "exit value 0"),
    ],
)
def test_reactions(code: str, reaction: Reaction, ending: str) -> None:
    source = FUNCTION + "pushl $7\n call take\n" + code + TAKE
    rerun = Rerun(partial(machine_of, source), PROFILE_OF_ONE)
    good = TrialRunner(rerun).good_run(Budget(timeout_s=10))
    (trial,) = TrialRunner(rerun).trials([1], good)
    patience = PATIENCE * (good.ending.instructions or 0) + PATIENCE_MORE
    assert (trial.reaction, trial.ending) == (reaction, ending.format(patience))
    assert bool(trial.location) == (reaction in (Reaction.DIES, Reaction.HANGS, Reaction.UNKNOWN))


def test_a_trial_says_what_was_accessed_through_null_and_where() -> None:
    found = run_campaign(fragile(), limit=ALL, workers=1)
    assert {trial.null_access.partition("+")[0] for trial in found.trials} == {
        "",
        "write to 0x00000004 through a null pointer at open_session",
    }
    assert {trial.reaction for trial in found.trials if trial.null_access} == {Reaction.DIES}


def test_what_the_good_run_does_is_meant() -> None:
    code = "pushl $7\n call take\n xorl %eax, %eax\n movl 8(%eax), %ecx\n exit 0"
    rerun = Rerun(partial(machine_of, FUNCTION + code + TAKE), PROFILE_OF_ONE)
    (trial,) = run_campaign(rerun, limit=ALL).trials
    assert (trial.reaction, trial.null_access) == (Reaction.SURVIVES, "")


def test_what_only_a_trial_does_is_found_where_the_good_run_accesses_null_too() -> None:
    use = "use: movl $1, (%eax)\n ret"
    code = f"pushl $7\n call take\n call use\n xorl %eax, %eax\n call use\n exit 0\n{use}"
    rerun = Rerun(partial(machine_of, FUNCTION + code + TAKE), PROFILE_OF_ONE)
    (trial,) = run_campaign(rerun, limit=ALL).trials
    assert trial.reaction is Reaction.ACCESSES_NULL


def test_each_trial_begins_without_null_accesses() -> None:
    code = "pushl $7\n call take\n movl %eax, %ecx\n pushl $7\n call take\n andl %ecx, %eax\n call use\n exit 0\nuse: movl $1, (%eax)\n ret"
    rerun = Rerun(partial(machine_of, FUNCTION + code + TAKE), PROFILE_OF_ONE)
    trials = run_campaign(rerun, limit=ALL).trials
    assert [trial.reaction for trial in trials] == [Reaction.ACCESSES_NULL] * 2


def test_a_good_run_has_to_end_well() -> None:
    with pytest.raises(NoEnd, match=r"^the run without a failure did not end by itself: budget of 1000 "):
        run_campaign(fragile(), limit=ALL, budget=Budget(1000))


def test_no_allocation_is_no_trial() -> None:
    new = partial(machine_of, FUNCTION + "exit 0" + TAKE)
    found = run_campaign(Rerun(new, PROFILE_OF_ONE), limit=ALL)
    assert (found.trials, found.allocations, found.is_bad) == ((), 0, False)


def test_a_sample_is_spread_evenly() -> None:
    assert sampled(5, 5) == [1, 2, 3, 4, 5]
    assert sampled(0, 2) == []
    assert sampled(10, 2) == [1, 10]
    assert sampled(10, 4) == [1, 4, 7, 10]
    assert len(set(sampled(1_000_003, 2000))) == 2000
    trials = run_campaign(fragile(), limit=4, workers=2).trials
    assert [trial.number for trial in trials] == [1, 5, 9, 14]


SCRIPT = """
import os, signal, sys
from functools import partial
from emulator import boot
from emulator.inject.workers import run_campaign
from emulator.cli.terminal.signals import ending_in_order
from emulator.errors import EmulatorError, HostError
from emulator.profile.known import matching_profile
from emulator.replay.engine import Rerun

def new(parent, what):
    if os.getpid() != parent:
        if what == "error":
            raise HostError("no room here")
        if what == "death":
            os._exit(3)
    machine = boot("firmware:fragile", command_line="requests=100000" if what == "long" else "requests=6")
    if os.getpid() != parent and what.startswith("killed"):
        deadly = [int(word) for word in what.split()[1:]]
        go_on = machine.allocations.return_here
        def return_from_function(result):
            if machine.allocations.here in deadly:
                os.kill(os.getpid(), signal.SIGKILL)
            go_on(result)
        machine.allocations.return_here = return_from_function
    return machine

if __name__ == "__main__":
    rerun = Rerun(partial(new, os.getpid(), sys.argv[1]), matching_profile(boot("firmware:fragile").image))
    try:
        with ending_in_order():
            found = run_campaign(rerun, limit=100000, workers=2, on_trial=lambda _: print("point", flush=True))
        for trial in found.trials:
            print(trial.number, trial.reaction.value, trial.ending if trial.reaction.value == "unknown" else "")
    except (EmulatorError, KeyboardInterrupt) as error:
        print(type(error).__name__, error)
"""


def script(folder: Path, what: str) -> subprocess.Popen[str]:
    path = folder / "script.py"
    path.write_text(SCRIPT)
    return subprocess.Popen(
        [sys.executable, str(path), what],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("error", "EmulatorError no room here"),
        ("death", "HostError no worker of --exhaust lives: the process that tried it ended with status 3"),
    ],
)
def test_a_worker_that_cannot_work_is_an_error(tmp_path: Path, what: str, said: str) -> None:
    with script(tmp_path, what) as process:
        output, _ = process.communicate()
    assert output.splitlines() == [said]


VERDICTS = ["reports", "survives", *["survives", "dies", "survives", "hangs"] * 6]


@pytest.mark.parametrize("deadly", [[5], [1, 2], [25, 26], [3, 5, 7, 9], [4, 8]])
def test_a_worker_that_dies_loses_one_result(tmp_path: Path, deadly: list[int]) -> None:
    with script(tmp_path, " ".join(["killed", *map(str, deadly)])) as process:
        output, _ = process.communicate(timeout=60)
    lines = [line.strip() for line in output.splitlines()]
    assert lines[:26] == ["point"] * 26
    lost = "unknown the process that tried it ended by SIGKILL"
    assert lines[26:] == [
        f"{number} {lost if number in deadly else reaction}" for number, reaction in enumerate(VERDICTS, 1)
    ]


def test_workers_that_die_again_and_again_are_given_up(tmp_path: Path) -> None:
    with script(tmp_path, "killed 1 3 5 7 9 11 13 15") as process:
        output, _ = process.communicate(timeout=60)
    lines = output.splitlines()[26:]
    assert [int(line.split()[0]) for line in lines if " unknown " in line] == list(range(1, 27, 2))
    assert [line.split()[1] for line in lines if " unknown " not in line] == VERDICTS[1::2]


def group_is_gone(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_end_the_workers(tmp_path: Path, number: signal.Signals) -> None:
    with script(tmp_path, "long") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "point\n"
        os.killpg(process.pid, number)
        output, _ = process.communicate()
        rest = [line for line in output.splitlines() if line != "point"]
        assert rest == ["KeyboardInterrupt " if number is signal.SIGINT else f"Interrupted {number.name}"]
    while not group_is_gone(process.pid):
        time.sleep(0.05)
