from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from emulator.cli.main import main
from emulator.cli.terminal.output import Output
from emulator.hle.differences import Difference
from emulator.hle.lockstep import Divergence
from emulator.loader import builtin
from emulator.machine.machine import Machine
from tests.helpers.bad_access_cases import CASES
from tests.helpers.c_kernel import compile_kernel
from tests.helpers.case_kernels import ALLOCATORS, build
from tests.unit.cli import kernels
from tests.unit.loader import elf_builder as eb

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.cli.conftest import Done


@pytest.fixture
def boot_code(kmemu: Callable[..., Done], tmp_path: Path) -> Callable[..., Done]:
    """Boot a kernel made of machine code, without the summary."""

    def boot(code: bytes, *options: str) -> Done:
        path = kernels.write_kernel(tmp_path / "k.elf", code)
        return kmemu("boot", path, "--no-summary", *options)

    return boot


class TestRuns:
    def test_the_demo_kernel_is_the_default(self, kmemu: Callable[..., Done]) -> None:
        done = kmemu("boot")
        assert (done.status, done.err) == (0, "")
        console, _, summary = done.out.partition("\ndone\n")
        assert console.startswith("LiteCore demo: ")
        assert summary.startswith(f"\n-- firmware:demo {'-' * 63}\nMemory 0x00100000-0x00500000, 4 MiB")
        assert summary.splitlines()[-3:-1] == [
            "Layers    memmap native, heap native",
            "Ended     the kernel exited with value 0 (success)",
        ]

    def test_a_kernel_of_ones_own(self, boot_code: Callable[..., Done]) -> None:
        assert boot_code(kernels.send(0x3F8, b"hi\n") + kernels.exit_with(0)) == (0, "hi\n", "")

    def test_com1_receives_the_input(self, boot_code: Callable[..., Done], tmp_path: Path) -> None:
        (tmp_path / "input").write_bytes(b"ab\n")
        # 1: mov dx, 0x3fd; in al, dx; test al, 1; jz 1b; mov dx, 0x3f8; in al, dx; out dx, al
        echo = b"\x66\xba\xfd\x03\xec\xa8\x01\x74\xf7\x66\xba\xf8\x03\xec\xee"
        done = boot_code(echo * 3 + kernels.exit_with(0), "--input", str(tmp_path / "input"))
        assert done == (0, "ab\n", "")

    def test_a_disk_is_read_and_its_file_stays(self, boot_code: Callable[..., Done], tmp_path: Path) -> None:
        disk = tmp_path / "disk.img"
        disk.write_bytes(b"hi" * 256)

        def command(code: int) -> bytes:
            pairs = (0x1F6, 0xE0), (0x1F2, 1), (0x1F3, 0), (0x1F4, 0), (0x1F5, 0), (0x1F7, code)
            # mov dx, port; mov al, value; out dx, al
            return b"".join(
                b"\x66\xba" + port.to_bytes(2, "little") + bytes((0xB0, value, 0xEE)) for port, value in pairs
            )

        data_port = b"\x66\xba\xf0\x01"  # mov dx, 0x1f0
        write = command(0x30) + data_port + b"\x66\xb8ok" + b"\x66\xef" * 256  # mov ax, "ok"; out dx, ax
        read = command(0x20) + data_port + b"\x66\xed"  # in ax, dx
        say = b"\x66\xba\xf8\x03\xee\x88\xe0\xee"  # mov dx, 0x3f8; out dx, al; mov al, ah; out dx, al
        rest = b"\x50" + data_port + b"\x66\xed" * 255 + b"\x58"  # push eax; the rest of the sector; pop eax
        code = read + rest + say + write + read + say + kernels.exit_with(0)
        done = boot_code(code, "--disk", str(disk))
        assert done == (0, "hiok", "")
        assert disk.read_bytes() == b"hi" * 256

    def test_keys_are_typed(self, boot_code: Callable[..., Done]) -> None:
        # 1: in al, 0x64; test al, 1; jz 1b; in al, 0x60; mov dx, 0xe9; out dx, al
        code = b"\xe4\x64\xa8\x01\x74\xfa\xe4\x60\x66\xba\xe9\x00\xee" + kernels.exit_with(0)
        done = boot_code(code, "--keys", "{f10}")
        assert done == (0, "D", "")

    @pytest.mark.parametrize(("options", "year"), [([], "$"), (["--rtc", "2041-12-31T23:59:59"], "A")])
    def test_the_clock_starts_where_it_is_said(
        self, boot_code: Callable[..., Done], options: list[str], year: str
    ) -> None:
        # mov al, 9; out 0x70, al; in al, 0x71; mov dx, 0xe9; out dx, al
        code = b"\xb0\x09\xe6\x70\xe4\x71\x66\xba\xe9\x00\xee" + kernels.exit_with(0)
        assert boot_code(code, *options).out == year

    def test_a_kernel_that_halts_is_good(self, kmemu: Callable[..., Done], tmp_path: Path) -> None:
        done = kmemu("boot", kernels.write_kernel(tmp_path / "k.elf", kernels.HALT))
        assert (done.status, done.err) == (0, "")
        assert "\nEnded     the kernel halted at start+0x1 with interrupts off\n" in done.out
        assert "\nLayers" not in done.out

    def test_a_damaged_symbol_table_does_not_keep_a_kernel_from_halting(
        self, kmemu: Callable[..., Done], tmp_path: Path
    ) -> None:
        data = eb.build_elf(eb.Elf([eb.Load(eb.BASE, kernels.HALT)]))
        (tmp_path / "k.elf").write_bytes(eb.patch_section_header(data, 2, eb.SH_SIZE, 0x7FFFFFF0))
        done = kmemu("boot", str(tmp_path / "k.elf"))
        assert done.status == 0
        assert "Ended     the kernel halted at 0x00100001 with interrupts off\n" in done.out

    @pytest.mark.parametrize(
        ("code", "options", "status", "message"),
        [
            (
                kernels.JUMP_TO_NOWHERE,
                (),
                3,
                "fetch from unmapped physical memory 0xdeadbeef at EIP 0xdeadbeef",
            ),
            (
                kernels.LOOP,
                ("--max-instructions", "10"),
                4,
                "budget of 10 instructions used up at EIP 0x00100000",
            ),
        ],
    )
    def test_a_damaged_symbol_table_does_not_hide_how_a_kernel_ended(
        self,
        kmemu: Callable[..., Done],
        tmp_path: Path,
        code: bytes,
        options: tuple[str, ...],
        status: int,
        message: str,
    ) -> None:
        data = eb.build_elf(eb.Elf([eb.Load(eb.BASE, code)]))
        (tmp_path / "k.elf").write_bytes(eb.patch_section_header(data, 2, eb.SH_SIZE, 0x7FFFFFF0))
        done = kmemu("boot", str(tmp_path / "k.elf"), *options)
        assert (done.status, done.err) == (status, f"kmemu: {message}\n")

    def test_layers_can_be_modelled(self, kmemu: Callable[..., Done]) -> None:
        done = kmemu("boot", "--layer", "memmap=model", "--layer", "heap=lockstep")
        assert (done.status, done.err) == (0, "")
        assert "\nLayers    memmap model, heap lockstep\n" in done.out

    def test_calls_in_lockstep_are_counted(self, kmemu: Callable[..., Done]) -> None:
        layers = ("--layer", "memmap=lockstep", "--layer", "heap=lockstep")
        count = json.loads(kmemu("boot", *layers, "--json").out)["lockstep"]["compared"]
        assert count > 100
        assert f"\nLockstep  {count} calls compared\n" in kmemu("boot", *layers).out
        checked = kmemu("check", "firmware:demo", "--ignore", "show_refusals", *layers)
        assert f"\nin lockstep: {count} calls compared\n" in checked.out
        document = json.loads(kmemu("check", "firmware:demo", *layers, "--json").out)
        assert document["lockstep"] == {"compared": count, "given_up": 0}
        assert json.loads(kmemu("boot", "--layer", "heap=model", "--json").out)["lockstep"] is None

    def test_ram_command_line_and_modules_reach_the_kernel(
        self, kmemu: Callable[..., Done], tmp_path: Path
    ) -> None:
        (tmp_path / "module").write_bytes(b"m" * (1 << 20))
        done = kmemu("boot", "--ram", "64M", "--cmdline", "ram=all", "--module", f"{tmp_path / 'module'} x y")
        assert done.status == 0
        assert "managed memory 0x00100000-0x04100000" in done.out
        assert "\nR    reserved  2 areas " in done.out

    def test_a_raw_image(self, kmemu: Callable[..., Done], tmp_path: Path) -> None:
        raw = tmp_path / "k.bin"
        raw.write_bytes(b"text" + b"\xb0\x21\xe6\xe9\xf4")  # movb $'!', %al; outb %al, $0xe9; hlt
        done = kmemu("boot", str(raw), "--load", "0x7c00", "--entry", "0x7c04", "--no-summary")
        assert (done.out, done.err) == ("!", "")

    def test_symbols_of_another_file(self, kmemu: Callable[..., Done], tmp_path: Path) -> None:
        demo = builtin.resolve("firmware:demo")
        stripped = tmp_path / "stripped.elf.gz"
        subprocess.run(["objcopy", "-S", demo, tmp_path / "stripped.elf"], check=True)  # noqa: S607 - from the path, as gcc
        stripped.write_bytes(gzip.compress((tmp_path / "stripped.elf").read_bytes()))
        assert kmemu("check", str(stripped)).status == 3
        whole, other = (
            json.loads(kmemu("check", *words, "--json").out)
            for words in ([str(demo)], [str(stripped), "--symbols", str(demo)])
        )
        for key in ("profile", "status", "calls", "areas", "findings"):
            assert other[key] == whole[key]

    def test_the_boot_protocol(self, kmemu: Callable[..., Done]) -> None:
        assert kmemu("boot", "--boot", "multiboot1", "--no-summary").status == 0
        done = kmemu("boot", "--boot", "multiboot2")
        assert done.status == 3
        assert done.err.endswith("demo.elf: has no Multiboot 2 header\n")

    def test_list(self, kmemu: Callable[..., Done]) -> None:
        done = kmemu("boot", "--list")
        assert (done.status, done.err) == (0, "")
        heading = "\nWith a defect each; NAME_ok is the same without it:\n"
        assert heading in done.out
        lines = done.out.replace(heading, "").splitlines()
        kernels = builtin.KERNELS | builtin.DEFECTS
        assert [line.split()[0] for line in lines] == [f"firmware:{name}" for name in kernels]
        texts = zip(lines, kernels.values(), strict=True)
        assert {line.index(f"  {text}") for line, text in texts} == {len("firmware:btron_bad_refcount")}

    def test_the_screen(self, kmemu: Callable[..., Done]) -> None:
        done = kmemu("boot", "--no-summary", "--screen")
        assert done.out.splitlines()[-2] == "| LiteCore demo: frames, heap, locks. The report is on COM1.|"

    def test_the_reference_mmu(self, kmemu: Callable[..., Done]) -> None:
        assert kmemu("boot", "--mmu", "reference", "--no-summary").status == 0


class TestConsole:
    def test_both_consoles_go_to_standard_output_in_order(self, boot_code: Callable[..., Done]) -> None:
        code = kernels.send(0x3F8, b"a\n") + kernels.send(0xE9, b"b\n") + kernels.send(0x3F8, b"c\n")
        assert boot_code(code + kernels.exit_with(0)).out == "a\nb\nc\n"

    def test_bytes_pass_through_as_they_are(
        self, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
    ) -> None:
        every_byte = bytes(range(256))
        path = kernels.write_kernel(tmp_path / "k.elf", kernels.send(0xE9, every_byte) + kernels.exit_with(0))
        assert main(["boot", path, "--no-summary"]) == 0
        assert capfdbinary.readouterr().out == every_byte

    def test_the_summary_begins_on_a_line_of_its_own(
        self, kmemu: Callable[..., Done], tmp_path: Path
    ) -> None:
        code = kernels.send(0xE9, b"no line end") + kernels.exit_with(0)
        done = kmemu("boot", kernels.write_kernel(tmp_path / "k.elf", code))
        assert done.out.startswith("no line end\n\n-- ")

    def test_an_error_begins_on_a_line_of_its_own_on_a_terminal(
        self, boot_code: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        code = kernels.send(0xE9, b"no line end") + kernels.UNDEFINED
        assert boot_code(code).out == "no line end"
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        monkeypatch.setenv("COLUMNS", "80")
        assert boot_code(code).out == "no line end\n"

    def test_com1_goes_to_a_file(self, boot_code: Callable[..., Done], tmp_path: Path) -> None:
        code = kernels.send(0x3F8, b"serial\n") + kernels.send(0xE9, b"debug\n") + kernels.exit_with(0)
        assert boot_code(code, "--serial", str(tmp_path / "log")) == (0, "debug\n", "")
        assert (tmp_path / "log").read_bytes() == b"serial\n"

    def test_each_serial_port_has_a_console_of_its_own(
        self, boot_code: Callable[..., Done], tmp_path: Path
    ) -> None:
        code = kernels.send(0x2F8, b"two\n") + kernels.send(0x3F8, b"one\n") + kernels.exit_with(0)
        assert boot_code(code) == (0, "two\none\n", "")
        assert boot_code(code, "--serial2", str(tmp_path / "log")) == (0, "one\n", "")
        assert (tmp_path / "log").read_bytes() == b"two\n"
        console = json.loads(boot_code(code, "--json").out)["console"]
        assert console == {"serial": "one\n", "serial2": "two\n", "debug": ""}
        assert boot_code(code, "--until", "wo").status == 0

    def test_two_consoles_do_not_share_a_file(self, boot_code: Callable[..., Done], tmp_path: Path) -> None:
        log = str(tmp_path / "log")
        done = boot_code(kernels.HALT, "--serial", log, "--serial2", log)
        assert done == (2, "", f"kmemu: --serial and --serial2 cannot both write {log}\n")

    def test_com1_goes_to_standard_output_by_name(self, boot_code: Callable[..., Done]) -> None:
        assert boot_code(kernels.send(0x3F8, b"x\n") + kernels.exit_with(0), "--serial", "-").out == "x\n"

    def test_a_file_that_cannot_be_opened(self, boot_code: Callable[..., Done], tmp_path: Path) -> None:
        path = f"{tmp_path}/no/log"
        done = boot_code(kernels.HALT, "--serial", path)
        assert done == (3, "", f"kmemu: cannot write {path}: No such file or directory\n")

    def test_a_full_disk(self, boot_code: Callable[..., Done]) -> None:
        done = boot_code(kernels.send(0x3F8, b"x\n") + kernels.exit_with(0), "--serial", "/dev/full")
        assert done == (3, "", "kmemu: cannot write /dev/full: No space left on device\n")


class TestScreenshots:
    def test_text_becomes_a_picture(self, boot_code: Callable[..., Done], tmp_path: Path) -> None:
        white_on_blue = b"\x66\xc7\x05\x00\x80\x0b\x00\xdb\x1f"  # movw $0x1fdb, 0xb8000: a full block
        picture = tmp_path / "screen.png"
        done = boot_code(white_on_blue + kernels.exit_with(0), "--screenshot", str(picture))
        assert done == (0, "", "")
        with Image.open(picture) as image:
            assert (image.format, image.mode, image.size) == ("PNG", "RGB", (720, 400))
            assert {image.getpixel((x, y)) for x in range(9) for y in range(13)} == {(255, 255, 255)}
            assert image.getpixel((30, 30)) == (0, 0, 0)

    def test_the_document_names_it(self, kmemu: Callable[..., Done], tmp_path: Path) -> None:
        picture = str(tmp_path / "screen.png")
        done = kmemu("boot", "--json", "--screenshot", picture, "--max-instructions", "1000")
        assert json.loads(done.out)["screenshot"] == picture
        with Image.open(picture) as image:
            assert image.size == (720, 400)
        assert json.loads(kmemu("boot", "--json").out)["screenshot"] is None

    def test_text_that_graphics_hide_is_shown_with_a_word(self, boot_code: Callable[..., Done]) -> None:
        a_letter = b"\xc6\x05\x00\x80\x0b\x00H"  # movb $'H', 0xb8000
        graphics = b"\x66\xba\xce\x03\x66\xb8\x06\x0f\x66\xef"  # to port 0x3CE
        code = a_letter + graphics + kernels.exit_with(0)
        box = "+- screen +\n|H        |\n+---------+\n"
        assert boot_code(a_letter + kernels.exit_with(0), "--screen") == (0, box, "")
        done = boot_code(code, "--screen")
        what = "the screen shows graphics (--screenshot FILE.png writes a picture of it); its text in memory:"
        assert done == (0, f"{what}\n{box}", "")
        document = json.loads(boot_code(code, "--screen", "--json").out)
        assert (document["screen"][0], document["graphics"]) == ("H", True)

    def test_another_suffix(self, kmemu: Callable[..., Done]) -> None:
        done = kmemu("boot", "--screenshot", "screen.jpg")
        said = "argument --screenshot: 'screen.jpg' is no PNG file: the name does not end in .png"
        assert (done.status, done.out) == (2, "")
        assert said in done.err

    def test_a_file_that_cannot_be_written_is_known_before_the_run(
        self, boot_code: Callable[..., Done], tmp_path: Path
    ) -> None:
        path = f"{tmp_path}/no/screen.png"
        done = boot_code(kernels.send(0xE9, b"ran") + kernels.HALT, "--screenshot", path)
        assert done == (3, "", f"kmemu: cannot write {path}: No such file or directory\n")

    def test_a_kernel_that_cannot_be_loaded_leaves_no_file(
        self, kmemu: Callable[..., Done], tmp_path: Path
    ) -> None:
        picture = tmp_path / "screen.png"
        assert kmemu("boot", str(tmp_path / "no.elf"), "--screenshot", str(picture)).status == 3
        assert not picture.exists()


class TestFindings:
    def test_what_kmemu_lacks_is_said_without_a_summary_too(self, boot_code: Callable[..., Done]) -> None:
        line = "does not have memory at 0x00500008: read 1 time, first at start+0x0; RAM ends at 0x00500000, see --ram"
        assert boot_code(kernels.READ_NOTHING) == (0, "", f"kmemu: {line}\n")

    def test_a_reset_is_no_good_end(self, boot_code: Callable[..., Done]) -> None:
        done = boot_code(kernels.RESET)
        assert done == (1, "", "kmemu: the kernel reset the PC at start+0x3\n")
        done = boot_code(kernels.RESET, "--until", "login:")
        text = "'login:' did not appear: the kernel reset the PC at start+0x3"
        assert done == (1, "", f"kmemu: {text}\n")

    def test_a_reset_in_the_document_and_the_summary(
        self, kmemu: Callable[..., Done], tmp_path: Path
    ) -> None:
        path = kernels.write_kernel(tmp_path / "k.elf", kernels.RESET)
        document = json.loads(kmemu("boot", path, "--json").out)
        assert (document["outcome"], document["status"]) == ("reset", 1)
        assert (document["exit_value"], document["location"]) == (None, "start+0x3")
        assert [frame["function"] for frame in document["backtrace"]] == ["start"]
        assert "\nEnded     the kernel reset the PC at start+0x3\n" in kmemu("boot", path).out

    def test_switching_the_power_off_is_a_good_end(self, kmemu: Callable[..., Done], tmp_path: Path) -> None:
        path = kernels.write_kernel(tmp_path / "k.elf", kernels.POWER_OFF)
        document = json.loads(kmemu("boot", path, "--json").out)
        assert (document["outcome"], document["status"], document["exit_value"]) == ("power off", 0, None)
        done = kmemu("boot", path)
        assert done.err == ""
        assert "\nEnded     the kernel switched the power off at start+0x9\n" in done.out
        done = kmemu("boot", path, "--until", "login:")
        assert done.status == 1
        assert done.err.endswith("did not appear: the kernel switched the power off at start+0x9\n")

    def test_a_nonzero_exit_value(self, boot_code: Callable[..., Done]) -> None:
        done = boot_code(kernels.exit_with(3))
        assert done == (1, "", "kmemu: the kernel exited with value 3 (exit code 7 in QEMU)\n")

    def test_a_damaged_heap(self, kmemu: Callable[..., Done]) -> None:
        done = kmemu("boot", "firmware:overflow")
        assert done.status == 1
        first_line = done.err.removeprefix("kmemu: the heap is damaged: ").removesuffix("\n")
        assert first_line.endswith("size = 0x41414141: not a multiple of 8")
        assert f"\n          damaged: {first_line}\n" in done.out

    def test_a_lockstep_divergence(self, kmemu: Callable[..., Done], monkeypatch: pytest.MonkeyPatch) -> None:
        def diverge(*_: object, **__: object) -> None:
            raise Divergence("kmalloc(0x00000040)", "kmain+0x9", 3, (Difference("result", "0x1", "0x2"),))

        monkeypatch.setattr(Machine, "run", diverge)
        done = kmemu("boot")
        headline = "lockstep divergence in kmalloc(0x00000040), called from kmain+0x9, call 3 in lockstep"
        assert done.status == 1
        assert done.err == f"kmemu: {headline}\n  result: expected 0x1, actual 0x2\n"
        assert "Ended     lockstep divergence in kmalloc(0x00000040), called from kmain+0x9," in done.out


class TestStops:
    @pytest.mark.parametrize(
        ("code", "problem"),
        [
            (kernels.JUMP_TO_NOWHERE, "fetch from unmapped physical memory 0xdeadbeef at EIP 0xdeadbeef"),
            (
                kernels.UNDEFINED,
                "triple fault: #UD invalid opcode (no handler in the IDT) at start+0x0, EIP 0x00100000",
            ),
            (
                kernels.GARBAGE,
                "triple fault: #UD invalid opcode (no handler in the IDT) at start+0x0, EIP 0x00100000",
            ),
        ],
        ids=["nowhere", "undefined", "garbage"],
    )
    def test_a_guest_that_cannot_go_on(
        self, boot_code: Callable[..., Done], code: bytes, problem: str
    ) -> None:
        assert boot_code(code) == (3, "", f"kmemu: {problem}\n")

    def test_what_kmemu_does_not_have_is_shown_and_ends_nothing(
        self, kmemu: Callable[..., Done], tmp_path: Path
    ) -> None:
        path = kernels.write_kernel(tmp_path / "k.elf", kernels.READ_NOTHING)
        done = kmemu("boot", path)
        assert done.status == 0
        assert "kmemu does not have memory at 0x00500008: read 1 time," in " ".join(done.out.split())
        assert "RAM ends at 0x00500000, see --ram" in " ".join(done.out.split())
        lacks = json.loads(kmemu("boot", path, "--json").out)["lacks"]
        assert [lack["address"] for lack in lacks if lack["port"] is None] == [0x500008]

    def test_the_summary_is_shown_all_the_same(self, kmemu: Callable[..., Done], tmp_path: Path) -> None:
        done = kmemu("boot", kernels.write_kernel(tmp_path / "k.elf", kernels.UNDEFINED))
        assert done.status == 3
        assert (
            "\nEnded     triple fault: #UD invalid opcode (no handler in the IDT) at start+0x0," in done.out
        )
        assert "\nNote      frames and heap are unknown: kmemu reads those of LiteCore and of" in done.out

    def test_the_instruction_budget(self, boot_code: Callable[..., Done]) -> None:
        problem = "budget of 1000 instructions used up at start+0x0, EIP 0x00100000"
        assert boot_code(kernels.LOOP, "--max-instructions", "1000") == (4, "", f"kmemu: {problem}\n")

    def test_a_text_ends_the_run(self, boot_code: Callable[..., Done]) -> None:
        code = kernels.send(0x3F8, b"login: ") + kernels.LOOP
        assert boot_code(code, "--until", "login:") == (0, "login:", "")

    def test_a_text_that_did_not_appear_is_no_success(self, boot_code: Callable[..., Done]) -> None:
        done = boot_code(kernels.HALT, "--until", "login:")
        problem = "'login:' did not appear: the kernel halted at start+0x1 with interrupts off"
        assert done == (1, "", f"kmemu: {problem}\n")

    def test_a_kernel_that_only_waits_ends_well(self, kmemu: Callable[..., Done], tmp_path: Path) -> None:
        # mov al, 0xff; out 0x21, al; sti
        path = kernels.write_kernel(tmp_path / "k.elf", b"\xb0\xff\xe6\x21\xfb" + kernels.SPIN)
        done = kmemu("boot", path, "--until-idle", "--json")
        assert (done.status, json.loads(done.out)["outcome"]) == (0, "idle")

    def test_a_loop_that_nothing_can_end_is_a_halt(self, kmemu: Callable[..., Done], tmp_path: Path) -> None:
        path = kernels.write_kernel(tmp_path / "k.elf", b"\xfa" + kernels.SPIN)
        done = kmemu("boot", path)
        assert "the kernel halted at start+0x1, in an endless loop with interrupts off" in done.out
        assert done.status == 0
        assert json.loads(kmemu("boot", path, "--json").out)["outcome"] == "halted"

    def test_the_time_budget(self, boot_code: Callable[..., Done]) -> None:
        problem = "time budget used up at start+0x0, EIP 0x00100000"
        assert boot_code(kernels.LOOP, "--timeout", "0.05") == (4, "", f"kmemu: {problem}\n")

    def test_instructions_are_counted(self, kmemu: Callable[..., Done], tmp_path: Path) -> None:
        path = kernels.write_kernel(tmp_path / "k.elf", kernels.HALT)
        assert kmemu("boot", path, "--max-instructions", "9").out.endswith(" s for 2 instructions\n")
        assert kmemu("boot", path).out.endswith(" s for 2 instructions\n")

    def test_ctrl_c_still_shows_the_summary(
        self, kmemu: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupted(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(Machine, "run", interrupted)
        done = kmemu("boot")
        assert (done.status, done.err) == (130, "kmemu: interrupted\n")
        assert "\nEnded     interrupted by Ctrl-C\n" in done.out


class TestBadInput:
    @pytest.mark.parametrize(
        ("data", "problem"),
        [
            (b"#!/bin/sh\n", "not an ELF file: begins with 23 21 2f 62, not 7f 45 4c 46"),
            (b"", "is empty"),
            (
                eb.build_elf()[:40],
                "truncated: the ELF header takes bytes 0x00000000-0x00000034, the file ends at 0x00000028",
            ),
            (eb.patch(eb.build_elf(), eb.E_CLASS, "<B", 2), "is a 64-bit ELF file, not a 32-bit one"),
            (
                eb.build_elf(eb.Elf([eb.Load(0x500000)], entry=0x500000)),
                "the segment 0x00500000-0x00500040 lies outside RAM (0x00000000-0x000a0000, 0x00100000-0x00500000); more RAM: --ram",
            ),
            (
                eb.build_elf(eb.Elf([eb.Load(0x100000), eb.Load(0x100020)])),
                "the segment 0x00100000-0x00100040 overlaps the segment 0x00100020-0x00100060",
            ),
            (
                eb.build_elf(eb.Elf([eb.Load(0xFFFFFFF0)], entry=0xFFFFFFF0)),
                "segment 0 at 0xfffffff0 is 0x40 bytes long and wraps past 4 GiB",
            ),
        ],
        ids=["script", "empty", "truncated", "64-bit", "outside RAM", "overlap", "wrap"],
    )
    def test_files_that_are_no_kernels(
        self, kmemu: Callable[..., Done], tmp_path: Path, data: bytes, problem: str
    ) -> None:
        path = tmp_path / "k.elf"
        path.write_bytes(data)
        assert kmemu("boot", str(path)) == (3, "", f"kmemu: {path}: {problem}\n")

    def test_files_that_are_not_there(self, kmemu: Callable[..., Done], tmp_path: Path) -> None:
        assert kmemu("boot", "none.elf") == (
            3,
            "",
            "kmemu: none.elf: cannot be read: No such file or directory\n",
        )
        assert kmemu("boot", str(tmp_path)) == (
            3,
            "",
            f"kmemu: {tmp_path}: cannot be read: it is a directory\n",
        )
        done = kmemu("boot", "--disk", "none.img")
        assert done == (3, "", "kmemu: disk none.img: cannot be read: No such file or directory\n")
        done = kmemu("boot", "--module", "none.img arguments")
        assert done == (3, "", "kmemu: module none.img: cannot be read: No such file or directory\n")

    def test_a_layer_of_a_kernel_without_symbols(
        self, boot_code: Callable[..., Done], tmp_path: Path
    ) -> None:
        done = boot_code(kernels.HALT, "--layer", "memmap=model")
        needs = "layer memmap needs the missing symbols memmap, memmap_lock, __end"
        assert done == (3, "", f"kmemu: {tmp_path}/k.elf: {needs}\n")


class TestJson:
    def test_a_run(self, kmemu: Callable[..., Done]) -> None:
        done = kmemu("boot", "--json", "--screen", "--max-instructions", "10000000")
        document = json.loads(done.out)
        assert (done.status, done.err) == (0, "")
        assert document["kernel"] == "firmware:demo"
        assert (document["status"], document["outcome"]) == (0, "exit")
        assert (document["exit_value"], document["exit_code"]) == (0, 1)
        assert document["console"]["serial"].startswith("LiteCore demo: ")
        assert document["console"]["debug"] == "LiteCore demo: hello from port 0xE9\n"
        assert document["screen"][0] == " LiteCore demo: frames, heap, locks. The report is on COM1."
        assert document["instructions"] > 1000
        assert document["layers"] == {"memmap": "native", "heap": "native"}
        assert document["frames"]["total"] == 1024
        assert document["heap"]["defects"] == []
        assert document["regions"][0]["start"] == 0x100000
        assert document["regions"][-1] == {
            "start": document["heap"]["end"],
            "end": 0x500000,
            "kind": "free",
        }

    def test_a_run_that_fails(self, boot_code: Callable[..., Done]) -> None:
        done = boot_code(kernels.UNDEFINED, "--json")
        document = json.loads(done.out)
        assert done.status == document["status"] == 3
        assert document["outcome"] == "stopped"
        assert document["error"]["kind"] == "GuestException"
        assert done.err == f"kmemu: {document['error']['message']}\n"
        assert document["location"] == "start+0x0"

    def test_a_kernel_that_cannot_be_loaded(self, kmemu: Callable[..., Done]) -> None:
        done = kmemu("boot", "none.elf", "--json")
        document = json.loads(done.out)
        assert done.status == document["status"] == 3
        assert document["outcome"] == "not run"
        assert document["error"]["message"] == "none.elf: cannot be read: No such file or directory"

    def test_com1_can_go_to_a_file_as_well(self, boot_code: Callable[..., Done], tmp_path: Path) -> None:
        code = kernels.send(0x3F8, b"x\n") + kernels.exit_with(0)
        done = boot_code(code, "--json", "--serial", str(tmp_path / "log"))
        assert json.loads(done.out)["console"]["serial"] == "x\n"
        assert (tmp_path / "log").read_bytes() == b"x\n"


class TestBtron:
    def test_the_summary(self, kmemu: Callable[..., Done]) -> None:
        done = kmemu("boot", "firmware:btron_demo", "--layer", "kmem=model")
        assert (done.status, done.err) == (0, "")
        assert re.search(r"\nT    table     0x00[0-9a-f]{3}000-0x00[0-9a-f]{3}800    10 KiB\n", done.out)
        assert "\nOwners    37 pages with 1 owner\n" in done.out
        assert (
            "\nPools     none\nSpaces    2 address spaces: the kernel 0 B, task 1 0 B; alike in all "
            in done.out.replace("\n          ", " ")
        )
        assert (
            "\nProfile   BTRON/386\nLayers    pmem native, kmem model, pools native, regions native\n"
            in done.out
        )
        assert "LiteCore" not in done.out

    def test_waiting_tasks_are_named_in_the_middle_of_a_run(self, kmemu: Callable[..., Done]) -> None:
        text = "A, priority 20, asks for 200 bytes until tick 100\n  B"
        done = kmemu("boot", "firmware:btron_pools_wait", "--until", text)
        assert done.status == 0
        assert "waiting, by priority: task 2 for 200 bytes until 451 ms\n" in done.out

    def test_the_map_shows_each_address_space(self, kmemu: Callable[..., Done]) -> None:
        done = kmemu("boot", "firmware:btron_demo", "--map")
        assert (done.status, done.err) == (0, "")
        assert (
            "\nAlike in all 2\n  0x80000000-0x800a0000 0x00000000   640 KiB s rw pages of 4 MiB\n" in done.out
        )
        assert "\nSpaces " not in done.out

    @pytest.mark.parametrize(
        ("name", "problem"),
        [("none/ram.core", "No such file or directory"), (".", "Is a directory")],
    )
    def test_ram_cannot_be_saved_everywhere(
        self, kmemu: Callable[..., Done], tmp_path: Path, name: str, problem: str
    ) -> None:
        done = kmemu("boot", "--save-ram", str(tmp_path / name))
        assert done == (3, "", f"kmemu: cannot write {tmp_path / name}: {problem}\n")

    def test_two_options_do_not_write_one_file(self, kmemu: Callable[..., Done], tmp_path: Path) -> None:
        name = str(tmp_path / "out.png")
        done = kmemu("boot", "--screenshot", name, "--save-ram", name)
        assert done == (2, "", f"kmemu: --save-ram cannot write {name}, which another option writes\n")

    def test_the_map_is_a_part_of_the_summary(self, kmemu: Callable[..., Done]) -> None:
        done = kmemu("boot", "--map", "--no-summary")
        assert done.status == 2
        assert done.err == "kmemu: --map is a part of the summary, which --no-summary leaves out\n"

    def test_without_paging_the_map_says_so(self, kmemu: Callable[..., Done]) -> None:
        done = kmemu("boot", "--map")
        assert "\npaging is off: linear addresses are physical ones\n" in done.out

    def test_json(self, kmemu: Callable[..., Done]) -> None:
        document = json.loads(kmemu("boot", "firmware:btron_demo", "--json").out)
        assert [each["name"] for each in document["address_spaces"]["spaces"]] == ["the kernel", "task 1"]
        assert document["layers"] == {
            "pmem": "native",
            "kmem": "native",
            "pools": "native",
            "regions": "native",
        }
        assert document["profile"] == "BTRON/386"
        assert (document["frames"], document["heap"], document["pools"]) == (None, None, [])
        assert document["pages"]["total"] == 1280
        assert document["kmem"]["owned"] == document["kmem"]["free"] == 143360

    def test_litecore_names_its_own_layers_only(self, kmemu: Callable[..., Done]) -> None:
        assert "\nProfile   LiteCore\nLayers    memmap native, heap native\n" in kmemu("boot").out


class TestOnATerminal:
    @pytest.fixture
    def on_terminal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Output, "is_beside_errors", lambda _output: True)

    @pytest.mark.usefixtures("on_terminal")
    def test_what_the_summary_says_is_not_said_twice(
        self, kmemu: Callable[..., Done], tmp_path: Path
    ) -> None:
        done = kmemu("boot", kernels.write_kernel(tmp_path / "k.elf", kernels.UNDEFINED))
        assert (done.status, done.err) == (3, "")
        assert done.out.count("triple fault") == 1

    @pytest.mark.usefixtures("on_terminal")
    @pytest.mark.parametrize("option", ["--no-summary", "--json"])
    def test_without_a_summary_it_is_said(
        self, kmemu: Callable[..., Done], tmp_path: Path, option: str
    ) -> None:
        done = kmemu("boot", kernels.write_kernel(tmp_path / "k.elf", kernels.UNDEFINED), option)
        assert done.status == 3
        assert done.err.startswith("kmemu: triple fault: #UD invalid opcode ")

    def test_both_streams_have_to_be_on_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for out, err in ((False, False), (True, False), (False, True), (True, True)):
            monkeypatch.setattr("sys.stdout.isatty", lambda out=out: out, raising=False)
            monkeypatch.setattr("sys.stderr.isatty", lambda err=err: err, raising=False)
            assert Output().is_beside_errors() == (out and err)


def test_the_built_in_kernels_as_a_document(kmemu: Callable[..., Done]) -> None:
    done = kmemu("boot", "--list", "--json")
    assert (done.status, done.err) == (0, "")
    document = json.loads(done.out)
    assert document["version"] == 1
    names = [each["name"] for key in ("kernels", "kernels_with_defects") for each in document[key]]
    assert names == [f"firmware:{name}" for name in builtin.KERNELS | builtin.DEFECTS]
    assert document["kernels"][0]["description"] == builtin.KERNELS["demo"]


def test_the_document_of_a_run_has_a_version(kmemu: Callable[..., Done]) -> None:
    assert json.loads(kmemu("boot", "firmware:demo", "--json").out)["version"] == 1
    assert json.loads(kmemu("boot", "none.elf", "--json").out)["version"] == 1


def test_a_trace_is_no_kernel_and_that_is_said(kmemu: Callable[..., Done], tmp_path: Path) -> None:
    path = tmp_path / "run.kmt"
    assert kmemu("trace", "firmware:overflow", "-o", str(path)).status == 0
    text = "looks like a trace of kmemu, not a kernel; kmemu trace, report, export and diff read traces"
    for command in ("boot", "inspect", "check"):
        assert kmemu(command, str(path)) == (3, "", f"kmemu: {path}: {text}\n")
    path.rename(tmp_path / "other.name")
    assert kmemu("trace", str(tmp_path / "other.name")).out.startswith("#1 ")


def test_a_run_that_is_not_kept_has_no_name(kmemu: Callable[..., Done]) -> None:
    out = kmemu("trace", "firmware:leak", "--summary").out
    assert out.startswith("-- a run that is not kept ---")
    assert json.loads(kmemu("trace", "firmware:leak", "--summary", "--json").out)["trace"] is None


def test_bad_accesses_stand_before_the_summary(kmemu: Callable[..., Done]) -> None:
    done = kmemu("boot", "firmware:use_after_free", "--sanitize")
    assert done.status == 1
    said, bad = done.out.split("BUG: ", 1)
    assert "use_after_free" in said
    assert bad.startswith(
        "use after free: write of 4 bytes to 0x0010b050, 0 bytes inside a freed block of 64 bytes in memcpy"
    )
    assert "-- firmware:use_after_free --" in bad
    document = json.loads(kmemu("boot", "firmware:use_after_free", "--sanitize", "--json").out)
    assert [each["kind"] for each in document["findings"]] == ["use-after-free", "use-after-free"]
    assert json.loads(kmemu("boot", "firmware:use_after_free", "--json").out)["findings"] is None


def test_a_bad_access_alone_is_a_finding(kmemu: Callable[..., Done], tmp_path: Path) -> None:
    source = build(tmp_path, "heap", CASES, "gcc", "-O2").with_name("kernel.c").read_text()
    path = compile_kernel(tmp_path, source.replace("which, defect,", "which, defect = 1,"), ["-w"])
    profile = tmp_path / "heap.toml"
    profile.write_text(ALLOCATORS["heap"].profile)
    done = kmemu("boot", str(path), "--sanitize", "--profile", str(profile))
    assert (done.status, done.err) == (1, "")
    assert "BUG: out-of-bounds read of 1 byte from " in done.out
    assert kmemu("boot", str(path)).status == 0


def test_a_boot_may_end_before_the_first_bad_access(kmemu: Callable[..., Done]) -> None:
    words = ("boot", "firmware:use_after_free", "--sanitize", "--halt-on-error")
    done = kmemu(*words)
    stopped = "stopped before the bad access at memcpy+0x1f (firmware/common/string.c:33)"
    assert (done.status, done.err) == (1, f"kmemu: {stopped}\n")
    assert f"Ended     {stopped}" in done.out.replace("\n          (", " (")
    document = json.loads(kmemu(*words, "--json").out)
    assert (document["outcome"], document["status"], document["eip"]) == ("bad access", 1, 0x101C6F)
    assert [each["kind"] for each in document["findings"]] == ["use-after-free"]


def test_a_kernel_without_bad_accesses_is_good(kmemu: Callable[..., Done]) -> None:
    done = kmemu("boot", "firmware:demo", "--sanitize", "--json")
    assert done.status == 0
    assert json.loads(done.out)["findings"] == []


def test_what_a_boot_cannot_check_is_refused(kmemu: Callable[..., Done], tmp_path: Path) -> None:
    assert kmemu("boot", "--profile", "k.toml") == (2, "", "kmemu: --profile goes with --sanitize\n")
    done = kmemu("boot", "--sanitize", "--memory", "reference")
    assert done == (
        2,
        "",
        "kmemu: --sanitize needs kmemu's MMU: with --memory reference nobody tells each access\n",
    )
    path = kernels.write_kernel(tmp_path / "k.elf", kernels.HALT)
    assert "no built-in profile fits" in kmemu("boot", path, "--sanitize").err
