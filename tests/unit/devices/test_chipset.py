from __future__ import annotations

from tests.helpers.ide_board import MASTER, IdeBoard


def config(board: IdeBoard, device: int, function: int, register: int) -> int:
    board.out(0xCF8, 1 << 31 | device << 11 | function << 8 | register, 4)
    return board.read(0xCFC, 4)


def test_the_functions_of_a_pc() -> None:
    board = IdeBoard()
    found = {
        (device, function): (config(board, device, function, 0), config(board, device, function, 8) >> 8)
        for device in range(32)
        for function in range(8)
        if config(board, device, function, 0) != 0xFFFFFFFF
    }
    assert found == {
        (0, 0): (0x12378086, 0x060000),
        (1, 0): (0x70008086, 0x060100),
        (1, 1): (0x70108086, 0x010180),
        (1, 3): (0x71138086, 0x068000),
        (2, 0): (0x11111234, 0x030000),
    }
    assert config(board, 1, 1, 0x20) == MASTER | 1
    assert config(board, 1, 0, 0x0C) == 0x00800000  # more than one function


def test_no_port_of_pci_is_fast() -> None:
    assert IdeBoard().pci.fast_ports() == {}
