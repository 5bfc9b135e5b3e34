"""The fixture: calls, memory, symbols, the console, snapshots."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from emulator.loader.builtin import resolve
from emulator.loader.image import KernelImage

if TYPE_CHECKING:
    import pytest

    from tests.unit.pytest_plugin.conftest import Run


def test_a_test_calls_the_kernel_and_inspects_it(run: Run) -> None:
    run(
        """
        from emulator.errors import KernelMismatch

        def test_it(kernel):
            block = kernel.call("kmalloc", 64, max_instructions=10_000)
            assert block == kernel.memory.load_u32(kernel.symbol("heap_start")) + 8
            kernel.memory.store_u16(block + 1, 0xBEEF)
            assert kernel.memory.read(block + 1, 2) == b"\\xef\\xbe"
            assert kernel.memory.load_words(block - 8, 2) == (64, 1)
            assert kernel.machine.image.name == "demo.elf"
            kernel.memory.write(block, b"some text\\0more")
            assert kernel.memory.load_text(block) == "some text"
            with pytest.raises(KernelMismatch):
                kernel.symbol("nonsense")
        """
    ).assert_outcomes(passed=1)


def test_a_test_looks_at_address_spaces(run: Run) -> None:
    run(
        """
        @pytest.mark.kmemu(kernel="firmware:btron_demo")
        def test_it(kernel):
            space = kernel.address_space()
            assert space.translate(0x80012345) == 0x12345
            assert kernel.address_space(space.page_directory).translate(0x80012345) == 0x12345
        """
    ).assert_outcomes(passed=1)


def test_every_test_starts_from_the_same_state(run: Run) -> None:
    run(
        """
        @pytest.mark.parametrize("number", range(5))
        def test_it(kernel, number):
            assert kernel.console == ""
            assert kernel.call("kmalloc", 64) == kernel.memory.load_u32(kernel.symbol("heap_start")) + 8
        """
    ).assert_outcomes(passed=5)


def test_a_deadline_ends_with_what_it_is_for(run: Run) -> None:
    """What a test does with the machine itself has no deadline, also long after the boot."""
    run(
        """
        def test_it(kernel, monkeypatch):
            monkeypatch.setattr("time.monotonic", lambda: 1e9)
            for _ in range(2):
                kernel.machine.call("memmove", 0x0040_0001, 0x0040_0000, 400_000)  # over a million instructions
        """
    ).assert_outcomes(passed=1)


def test_snapshots_nest(run: Run) -> None:
    run(
        """
        @pytest.mark.kmem_no_leaks
        def test_it(kernel):
            first = kernel.call("kmalloc", 64)
            with kernel.snapshot():
                second = kernel.call("kmalloc", 64)
                with kernel.snapshot():
                    kernel.call("kfree", first)
                    assert kernel.call("kmalloc", 64) == first
                assert kernel.call("kmalloc", 64) > second
            assert kernel.call("kmalloc", 64) == second
            kernel.call("kfree", first)
            kernel.call("kfree", second)
        """
    ).assert_outcomes(passed=1)


def test_a_kernel_can_stop_in_the_middle_of_its_boot_and_go_on(run: Run) -> None:
    run(
        """
        @pytest.mark.kmemu(boot_until="kmain", cmdline="heap=8192 ram=all", ram="8M", check=False)
        def test_it(kernel):
            assert kernel.machine.cpu.registers().eip == kernel.symbol("kmain")
            said = kernel.expect("free frames")
            assert "managed memory 0x00100000-0x00900000" in said
            assert "8192 bytes" in said
            assert kernel.expect("ok").startswith("    ")
            assert kernel.console.endswith("are handed out\\n") or "done" not in kernel.console
            assert kernel.run().exit_value == 0
            assert kernel.console.rstrip().endswith("done")
            kernel.expect("done")
        """
    ).assert_outcomes(passed=1)


def test_a_kernel_has_a_disk(run: Run) -> None:
    run(
        """
        from pathlib import Path

        Path(__file__).with_name("disk.img").write_bytes(b"x" * 1024)

        @pytest.mark.kmemu(disk="disk.img")
        def test_it(kernel):
            ports = kernel.machine.ports
            ports.write(0x1F6, 1, 0xE0)
            ports.write(0x1F7, 1, 0x20)
            assert ports.read(0x1F0, 2) == 0x7878

        @pytest.mark.kmemu(disk="none.img")
        def test_there_is_none(kernel):
            pass
        """
    ).assert_outcomes(passed=1, errors=1)


def test_modules_come_from_the_root_directory(run: Run) -> None:
    code = """
        from pathlib import Path

        for name in ("one", "two"):
            Path(__file__).with_name(name).write_bytes(name.encode())

        def contents(kernel):
            return [kernel.machine.memory.read(start, end - start) for start, end in kernel.machine.modules]

        def test_both(kernel):
            assert contents(kernel) == [b"one", b"two"]

        @pytest.mark.kmemu(modules=["two x y"])
        def test_one(kernel):
            assert contents(kernel) == [b"two"]

        @pytest.mark.kmemu(modules="none")
        def test_there_is_none(kernel):
            pass
    """
    run(code, kmemu_modules="one\n    two args").assert_outcomes(passed=2, errors=1)


def test_a_raw_image_with_symbols_of_another_file(run: Run, pytester: pytest.Pytester) -> None:
    demo = resolve("firmware:demo")
    raw = pytester.path / "raw.bin"
    subprocess.run(["objcopy", "-O", "binary", demo, raw], check=True)  # noqa: S607 - from the path, as gcc
    entry = KernelImage.read(demo).entry
    run(
        """
        def test_it(kernel):
            assert "LiteCore" in kernel.expect("free frames")

        @pytest.mark.kmemu(protocol="multiboot2", load="", entry="", kernel="firmware:demo")
        def test_it_has_one_header(kernel):
            pass
        """,
        kmemu_kernel="raw.bin",
        kmemu_load="0x100000",
        kmemu_entry=hex(entry),
        kmemu_symbols=str(demo),
        kmemu_boot_until="kmain",
    ).assert_outcomes(passed=1, errors=1)


def test_memory_is_where_the_kernel_sees_it(run: Run) -> None:
    run(
        """
        from kernel_model.memory import OutsideMemory

        def test_it(kernel):
            address = kernel.symbol("kmem_extent_count")
            assert address > 0x80000000
            kernel.memory.store_u32(address, 0x12345678)
            assert kernel.memory.load_u8(address + 3) == 0x12
            assert kernel.machine.memory.load_u32(address - 0x80000000) == 0x12345678
            with pytest.raises(OutsideMemory):
                kernel.memory.load_u32(0x40000000)
            with pytest.raises(OutsideMemory):
                kernel.memory.write(0x40000000, b"x")
        """,
        kmemu_kernel="firmware:btron_demo",
    ).assert_outcomes(passed=1)


def test_variables_have_the_types_of_the_source(run: Run) -> None:
    run(
        """
        def test_it(kernel):
            memmap = kernel.object("memmap")
            assert memmap.max_frames == 1024
            assert memmap.bitmap[0] == 0xFF
            kernel.memory.store_u8(memmap.bitmap.value_(), 0x3F)
            assert kernel.object("memmap").bitmap[0] == 0x3F

        @pytest.mark.kmemu(kernel="firmware:btron_demo")
        def test_high(kernel):
            assert kernel.object("kmem_extents")[0].size.type_.type_name() == "UW"
        """
    ).assert_outcomes(passed=2)


def test_each_description_of_a_machine_is_booted_once(run: Run) -> None:
    run(
        """
        machines = set()

        @pytest.mark.parametrize("number", range(3))
        @pytest.mark.parametrize("cmdline", ["", "heap=8192"])
        def test_it(request, cmdline, number):
            request.node.add_marker(pytest.mark.kmemu(cmdline=cmdline))
            machines.add(request.getfixturevalue("kernel").machine)

        def test_count():
            assert len(machines) == 2
        """
    ).assert_outcomes(passed=7)


def test_a_kernel_that_died_is_whole_in_the_next_test(run: Run) -> None:
    run(
        """
        from emulator.errors import GuestStopped

        @pytest.mark.parametrize("number", range(2))
        def test_it(kernel, number):
            assert kernel.call("kmalloc", 64)
            with pytest.raises(GuestStopped):
                kernel.call("memset", 0x40000000, 0, 4)
            assert kernel.died
        """
    ).assert_outcomes(passed=2)


def test_a_class_may_be_marked_and_a_test_of_it_may_say_otherwise(run: Run) -> None:
    run(
        """
        @pytest.mark.kmemu(kernel="firmware:leak", cmdline="x")
        class TestIt:
            def test_class(self, kernel):
                assert kernel.machine.image.name == "leak.elf"

            @pytest.mark.kmemu(kernel="firmware:fragment")
            def test_nearer(self, kernel):
                assert kernel.machine.image.name == "fragment.elf"
        """
    ).assert_outcomes(passed=2)


def test_what_is_typed_and_sent_reaches_the_devices(run: Run) -> None:
    run(
        """
        from emulator.devices.keyboard.key_text import UnknownKey

        def test_it(kernel, monkeypatch):
            sent = []
            monkeypatch.setattr(kernel.machine, "send", sent.append)
            kernel.send(b"x")
            assert sent == [b"x"]
            kernel.keys("{f1}")
            with pytest.raises(UnknownKey, match="^no key of a US keyboard types 'ä'$"):
                kernel.keys("ä")
        """
    ).assert_outcomes(passed=1)
