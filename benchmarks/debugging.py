"""A debugger at `kmemu gdb` and at QEMU's own stub: how many stops a second."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from measure import Row, at_least, kmemu, medians, qemu_command

from emulator.debug.gdb.packets import Decoder, encoded
from emulator.loader.builtin import resolve
from emulator.loader.image import KernelImage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KERNEL = "firmware:stress"
FUNCTION = "kmalloc"
RUNS = 3
STOPS = 2_000
CONDITIONS_BUDGET = 60_000_000  # instructions, in which the condition is evaluated CONDITIONS times
CONDITIONS = 28_915
STOPS_TARGET, CONDITIONS_TARGET = 1.0, 20_000
AHEAD, BACKS, BACK_TARGET = 50, 3, 10.0  # stops from which it goes back, and how often
PATIENCE_S = 10  # for QEMU, whose way back sometimes does not end
IMAGE_SIZE = 64 << 20
ESP, WORD = 4, 4
NEVER = "26 0004 2204 02 19 24 000186a0 2a20 2b 15 27".replace(" ", "")
"""``size > 100000``, as gdb compiles it: the word above ESP's is loaded, and compared."""


class Client:
    """A client of a stub, which asks and waits."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._decoder = Decoder()

    def ask(self, payload: bytes) -> bytes:
        """Send a packet, and return the answer."""
        self._socket.sendall(encoded(payload))
        while True:
            item = self._decoder.next()
            if isinstance(item, bytes) and (item == b"OK" or not item.startswith(b"O")):
                return item
            if item is None:
                self._decoder.feed(self._socket.recv(1 << 16))


@contextmanager
def ours(*options: str) -> Iterator[Client]:
    """Start `kmemu gdb`, and connect."""
    command = kmemu("gdb", KERNEL, "--listen", "127.0.0.1:0", *options)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None  # noqa: S101 - it is a pipe
        port = int(process.stderr.readline().rpartition(":")[2].rstrip('"\n'))
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            yield ready(Client(connection))
        process.kill()


@contextmanager
def qemus() -> Iterator[Client]:
    """Start QEMU, stopped in front of the first instruction, and connect to its stub."""
    with TemporaryDirectory() as folder, stub_of(Path(folder)) as client:
        yield client


@contextmanager
def stub_of(folder: Path, *options: str) -> Iterator[Client]:
    """The same with options of QEMU's, and a folder for its socket."""
    path = folder / "gdb"
    chardev = f"socket,id=stub,path={path},server=on,wait=off"
    command = [*qemu_command(Path(resolve(KERNEL)), serial="null"), *options, "-S", "-chardev", chardev]
    with subprocess.Popen([*command, "-gdb", "chardev:stub"], stdout=subprocess.DEVNULL) as process:
        while not path.exists():  # QEMU makes it when it has started
            time.sleep(0.01)
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
            connection.settimeout(PATIENCE_S)
            try:
                yield ready(Client(connection))
            finally:
                process.kill()


@contextmanager
def replayed() -> Iterator[Client]:
    """Let QEMU record the whole run, replay it, stopped in front of the first instruction, and connect to its stub."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        image, log = folder / "states.qcow2", folder / "log"
        make_image(image)
        network = ("-net", "none", "-drive", f"file={image},if=none,id=states")
        options = {
            mode: (*network, "-icount", f"shift=auto,rr={mode},rrfile={log},rrsnapshot=init")
            for mode in ("record", "replay")
        }
        command = [*qemu_command(Path(resolve(KERNEL)), serial="null"), *options["record"]]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
        with stub_of(folder, *options["replay"]) as client:
            yield client


def make_image(path: Path) -> None:
    """Let QEMU make the empty disk image in which it keeps states of the machine."""
    command = [qemu_command(path)[0], "-S", "-display", "none", "-machine", "none", "-qmp", "stdio"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        requests, answers = process.stdin, process.stdout
        assert requests is not None  # noqa: S101 - it is a pipe
        assert answers is not None  # noqa: S101 - the same
        answers.readline()

        def ask(command: str, **arguments: object) -> Any:  # noqa: ANN401 - JSON
            requests.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
            requests.flush()
            while "return" not in (answer := json.loads(answers.readline())):
                if "error" in answer:
                    raise RuntimeError(answer["error"])
            return answer["return"]

        def create(**options: object) -> None:
            ask("blockdev-create", **{"job-id": "create", "options": options})
            while ask("query-jobs")[0]["status"] != "concluded":  # it takes milliseconds
                time.sleep(0.01)
            ask("job-dismiss", id="create")

        ask("qmp_capabilities")
        create(driver="file", filename=str(path), size=0)
        ask("blockdev-add", **{"driver": "file", "node-name": "file", "filename": str(path)})
        create(driver="qcow2", file="file", size=IMAGE_SIZE)
        ask("quit")


def ready(client: Client) -> Client:
    """Begin as gdb does."""
    client.ask(b"qSupported:swbreak+;hwbreak+;vContSupported+;xmlRegisters=i386")
    client.ask(b"QStartNoAckMode")
    client.ask(b"?")
    return client


def function() -> int:
    """Return where the breakpoint is."""
    return KernelImage.read(resolve(KERNEL)).symbols[FUNCTION].address


def stops_a_second(client: Client, look: Callable[[Client], None]) -> float:
    """Stop at a breakpoint again and again, as gdb does: it is taken away for a step, and put back."""
    place = b"0,%x,1" % function()
    client.ask(b"Z" + place)
    client.ask(b"vCont;c")
    started = time.perf_counter()
    for _ in range(STOPS):
        look(client)
        client.ask(b"z" + place)
        client.ask(b"vCont;s:1;c")
        client.ask(b"Z" + place)
        client.ask(b"vCont;c")
    return STOPS / (time.perf_counter() - started)


def look_nowhere(_: Client) -> None:
    """Ask nothing."""


def look_at_size(client: Client) -> None:
    """Ask for the registers, and for the function's first argument, as a condition of the client's does."""
    digits = client.ask(b"g")
    esp = int.from_bytes(bytes.fromhex(digits[2 * WORD * ESP : 2 * WORD * (ESP + 1)].decode()), "little")
    client.ask(b"m%x,4" % (esp + WORD))


def stops() -> Row:
    """Stops at a breakpoint through the protocol, against QEMU's stub."""

    def here() -> float:
        with ours() as client:
            return stops_a_second(client, look_nowhere)

    def there() -> float:
        with qemus() as client:
            return stops_a_second(client, look_nowhere)

    mine, theirs = medians(RUNS, here, there)
    return Row(
        "gdb-stops",
        "stops at a breakpoint that gdb's protocol asks for",
        f"{mine:,.0f} a second",
        f"QEMU's stub {theirs:,.0f}",
        mine / theirs,
        at_least(mine / theirs, STOPS_TARGET, f">= {STOPS_TARGET} x"),
    )


def backs_a_second(client: Client) -> float:
    """Go back from breakpoint to breakpoint."""
    place = b"0,%x,1" % function()
    client.ask(b"Z" + place)
    client.ask(b"vCont;c")
    for _ in range(AHEAD):
        client.ask(b"z" + place)
        client.ask(b"vCont;s:1;c")
        client.ask(b"Z" + place)
        client.ask(b"vCont;c")
    started = time.perf_counter()
    for _ in range(BACKS):
        if not client.ask(b"bc").startswith(b"T05"):
            raise RuntimeError("it has not gone back")
    return BACKS / (time.perf_counter() - started)


def backwards() -> Row:
    """Breakpoints on the way back, against QEMU's stub that replays."""
    lost = 0

    def here() -> float:
        with ours() as client:
            return backs_a_second(client)

    def there() -> float:
        nonlocal lost
        with replayed() as client, suppress(TimeoutError):
            return backs_a_second(client)
        lost += 1
        return BACKS / PATIENCE_S  # at most

    mine, theirs = medians(RUNS, here, there)
    return Row(
        "gdb-backwards",
        "stops on the way back, near the start of stress",
        f"{mine:,.0f} a second",
        f"QEMU's stub {theirs:,.1f}",
        mine / theirs,
        at_least(mine / theirs, BACK_TARGET, f">= {BACK_TARGET} x"),
        (f"in {lost} of {RUNS} runs QEMU's replay had not gone back after {PATIENCE_S} s",) if lost else (),
    )


def conditions() -> Row:
    """Evaluations of a breakpoint's condition, which is false, against a client that evaluates it at QEMU's stub."""

    def here() -> float:
        with ours("--max-instructions", str(CONDITIONS_BUDGET)) as client:
            condition = b";X%x,%s" % (len(NEVER) // 2, NEVER.encode())
            client.ask(b"Z0,%x,1%s" % (function(), condition))
            started = time.perf_counter()
            client.ask(b"vCont;c")
            return CONDITIONS / (time.perf_counter() - started)

    def there() -> float:
        with qemus() as client:
            return stops_a_second(client, look_at_size)

    mine, theirs = medians(RUNS, here, there)
    return Row(
        "gdb-conditions",
        "conditions of a breakpoint",
        f"{mine:,.0f} a second",
        f"QEMU's stub, and a client in Python {theirs:,.0f}",
        mine / theirs,
        at_least(mine, CONDITIONS_TARGET, f">= {CONDITIONS_TARGET:,} a second"),
    )
