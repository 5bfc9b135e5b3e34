"""The graphics adapter: int 10h.

Text is memory and the cursor. Colours are in `emulator.bios.video.colours`, fonts in `emulator.bios.video.fonts`, modes in
`emulator.bios.video.modes`, those of VESA's extension in `emulator.bios.video.vbe`.

Source: Ralf Brown's list, files INTERRUP.LST and MEMORY.LST (40:49 to 40:8A); what depends on the BIOS as SeaBIOS has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.bios.pc import DataArea
from emulator.bios.video import colours
from emulator.devices import addresses

if TYPE_CHECKING:
    from emulator.bios.pc import Call, Pc

_MODE, COLUMNS, PAGE_SIZE, PAGE_START, CURSORS, CURSOR_SHAPE, PAGE, ROWS, HEIGHT, CONTROL, SWITCHES = (
    0x49, 0x4A, 0x4C, 0x4E, 0x50, 0x60, 0x62, 0x84, 0x85, 0x87, 0x88,
)  # in the data area  # fmt: skip
MODE_CONTROL, COMBINATION = 0x89, 0x8A
TEXT_MODES: Final = (0, 1, 2, 3)
_PAGES: Final = 8
_CRTC: Final = addresses.CRTC[0]
_TEXT: Final = addresses.TEXT_MEMORY[0]
_BLANK, _GREY = 0x20, 0x07
_BELL, _BACKSPACE, _LINE_FEED, _RETURN = 0x07, 0x08, 0x0A, 0x0D
_SERVED: Final = 0x1A
_VESA: Final = 0x4F


class Page(NamedTuple):
    """A page of text."""

    number: int
    columns: int
    rows: int
    start: int

    def at(self, row: int, column: int) -> int:
        """Return the address of a cell."""
        return self.start + 2 * (row * self.columns + column)


def serve(call: Call) -> None:
    """Serve int 10h."""
    service = _SERVICES.get(call.ah)
    if service is not None:
        service(call)
    elif call.ah == _VESA:
        from emulator.bios.video import vbe

        vbe.serve(call)
    else:
        call.lacks(ah=None)


def is_text(data: DataArea) -> bool:
    """Return whether the screen shows text."""
    return data.get(_MODE) in TEXT_MODES


def _page(data: DataArea, number: int) -> Page:
    start = _TEXT + number * data.get(PAGE_SIZE, 2)
    return Page(number, data.get(COLUMNS, 2), data.get(ROWS) + 1, start)


# -- the cursor ------------------------------------------------------------------------------------------


def _set_mode(call: Call) -> None:
    from emulator.bios.video import modes

    mode, clears = call.al & 0x7F, not call.al & 0x80
    call.al = {6: 0x3F}.get(mode, 0x20 if mode > 7 else 0x30)  # noqa: PLR2004 - the last one of text
    if not modes.set_mode(call.pc, mode, clears=clears):
        call.pc.lacks(f"int 0x10, mode 0x{mode:02x}")


def _set_shape(call: Call) -> None:
    data = DataArea(call.pc)
    data.put(CURSOR_SHAPE, call.cx, 2)
    show_shape(call.pc)


def show_shape(pc: Pc) -> None:
    """Give the cursor its shape: of 8 lines, as on a CGA, or of those that a character has."""
    data = DataArea(pc)
    shape, height = data.get(CURSOR_SHAPE, 2), data.get(HEIGHT)
    start, end = shape >> 8 & 0x3F, shape & 0x1F
    if not data.get(CONTROL) & 1 and height > 8 and end < 8 and start < 0x20:  # noqa: PLR2004 - lines of a CGA
        start = (end + 1) * height // 8 - 2 if end == start + 1 else (start + 1) * height // 8 - 1
        end = (end + 1) * height // 8 - 1
    put_register(pc, _CRTC, 0x0A, start)
    put_register(pc, _CRTC, 0x0B, end)


def put_register(pc: Pc, port: int, register: int, value: int) -> None:
    """Write a register of the adapter, whose number goes to *port* and its value to the next."""
    pc.write_port(port, register)
    pc.write_port(port + 1, value & 0xFF)


def set_cursor(pc: Pc, page: int, row: int, column: int) -> None:
    """Put a page's cursor to a cell, and show it there if the page is shown."""
    data = DataArea(pc)
    data.put(CURSORS + 2 * (page % _PAGES), row << 8 | column, 2)
    if page == data.get(PAGE):
        at = (data.get(PAGE_START, 2) // 2) + row * data.get(COLUMNS, 2) + column
        put_register(pc, _CRTC, 0x0E, at >> 8)
        put_register(pc, _CRTC, 0x0F, at)


def _cursor(data: DataArea, page: int) -> tuple[int, int]:
    return divmod(data.get(CURSORS + 2 * (page % _PAGES), 2), 0x100)


def _move_cursor(call: Call) -> None:
    set_cursor(call.pc, call.bh, call.dh, call.dl)


def _get_cursor(call: Call) -> None:
    data = DataArea(call.pc)
    call.cx = data.get(CURSOR_SHAPE, 2)
    call.dh, call.dl = _cursor(data, call.bh)


def _select_page(call: Call) -> None:
    if call.al < _PAGES:
        select_page(call.pc, call.al)


def select_page(pc: Pc, number: int) -> None:
    """Show a page."""
    data = DataArea(pc)
    start = number * data.get(PAGE_SIZE, 2)
    data.put(PAGE_START, start, 2)
    data.put(PAGE, number)
    put_register(pc, _CRTC, 0x0C, start // 2 >> 8)
    put_register(pc, _CRTC, 0x0D, start // 2)
    set_cursor(pc, number, *_cursor(data, number))


# -- text --------------------------------------------------------------------------------------------------


def _scroll(call: Call) -> None:
    """Scroll a window up (AH=06) or down."""
    data = DataArea(call.pc)
    page = _page(data, data.get(PAGE))
    if not is_text(data):
        call.pc.lacks(f"int 0x10, AH={call.ah:02X} in a mode of graphics")
        return
    top, left = call.ch, call.cl
    bottom, right = min(call.dh, page.rows - 1), min(call.dl, page.columns - 1)
    if top > bottom or left > right:
        return
    height = bottom - top + 1
    lines = call.al if 0 < call.al < height else height
    scroll(call.pc, page, (top, left, bottom, right), lines if call.ah == 6 else -lines, call.bh)  # noqa: PLR2004


def scroll(pc: Pc, page: Page, window: tuple[int, int, int, int], lines: int, attribute: int) -> None:
    """Move the text of a window up by some lines, or down by -*lines*; what becomes free is blank.

    Args:
        pc: Whose screen.
        page: Of it.
        window: First row and column, last row and column.
        lines: 1 to the window's height, or less than 0.
        attribute: Of blanks.
    """
    top, left, bottom, right = window
    width = 2 * (right - left + 1)
    old = [pc.read(page.at(row, left), width) for row in range(top, bottom + 1)]
    blank = [bytes((_BLANK, attribute)) * (width // 2)] * abs(lines)
    new = old[lines:] + blank if lines > 0 else blank + old[:lines]
    for row, cells in enumerate(new, top):
        pc.write(page.at(row, left), cells)


def _read_cell(call: Call) -> None:
    data = DataArea(call.pc)
    row, column = _cursor(data, call.bh)
    call.ax = int.from_bytes(call.pc.read(_page(data, call.bh).at(row, column), 2), "little")


def _write_cells(call: Call) -> None:
    """Write a character CX times, with an attribute (AH=09) or without."""
    data = DataArea(call.pc)
    if not is_text(data):
        call.pc.lacks(f"int 0x10, AH={call.ah:02X} in a mode of graphics")
        return
    at = _page(data, call.bh).at(*_cursor(data, call.bh))
    if call.ah == 9:  # noqa: PLR2004 - the one with it
        call.pc.write(at, bytes((call.al, call.bl)) * call.cx)
        return
    cells = bytearray(call.pc.read(at, 2 * call.cx))
    cells[::2] = bytes((call.al,)) * call.cx
    call.pc.write(at, bytes(cells))


def _teletype(call: Call) -> None:
    data = DataArea(call.pc)
    number = data.get(PAGE)  # whatever BH is, as SeaBIOS has it
    row, column = put_character(call.pc, number, _cursor(data, number), call.al)
    set_cursor(call.pc, number, row, column)


def put_character(
    pc: Pc, number: int, cursor: tuple[int, int], character: int, attribute: int | None = None
) -> tuple[int, int]:
    """Write a character as a terminal does.

    Args:
        pc: Whose screen.
        number: Of the page.
        cursor: Row and column.
        character: In code page 437; the bell rings silently.
        attribute: None: the cell keeps its own.

    Returns:
        Where the cursor is after it.
    """
    data = DataArea(pc)
    page = _page(data, number)
    row, column = cursor
    match character:
        case 0x07:
            return cursor
        case 0x08:
            return row, max(0, column - 1)
        case 0x0D:
            return row, 0
        case 0x0A:
            row += 1
        case _:
            cell = bytes((character,)) if attribute is None else bytes((character, attribute))
            if is_text(data):
                pc.write(page.at(row, column), cell)
            else:
                pc.lacks("int 0x10, characters in a mode of graphics")
            column += 1
            if column >= page.columns:
                row, column = row + 1, 0
    if row >= page.rows:
        row = page.rows - 1
        if is_text(data):
            shade = pc.read(page.at(row, 0) + 1, 1)[0] if attribute is None else attribute
            scroll(pc, page, (0, 0, row, page.columns - 1), 1, shade)
    return row, column


def _write_string(call: Call) -> None:
    """Write CX characters from ES:BP on; AL says whether attributes are among them, and whether the cursor moves."""
    data = DataArea(call.pc)
    number, cursor = call.bh, (call.dh, call.dl)
    if call.dh == 0xFF:  # noqa: PLR2004 - where the cursor is
        cursor = _cursor(data, number)
    has_attributes = call.al & 2
    text = call.pc.read(call.at("es", call.bp), call.cx * (2 if has_attributes else 1))
    step = 2 if has_attributes else 1
    for at in range(0, len(text), step):
        attribute = text[at + 1] if has_attributes else call.bl
        cursor = put_character(call.pc, number, cursor, text[at], attribute)
    if call.al & 1:
        set_cursor(call.pc, number, *cursor)


def _get_mode(call: Call) -> None:
    data = DataArea(call.pc)
    call.al = data.get(_MODE) | data.get(CONTROL) & 0x80
    call.ah, call.bh = data.get(COLUMNS), data.get(PAGE)


# -- what there is --------------------------------------------------------------------------------------------


def _fonts(call: Call) -> None:
    from emulator.bios.video import fonts  # hardly any kernel wants others

    fonts.serve(call)


def _alternate(call: Call) -> None:
    if call.bl == 0x10:  # noqa: PLR2004 - information
        data = DataArea(call.pc)
        call.bx, call.cl, call.ch = 0x0003, data.get(SWITCHES) & 0x0F, 0
    elif call.bl in range(0x30, 0x37):
        call.al = 0x12
    else:
        call.lacks(ah=None)


def _combination(call: Call) -> None:
    data = DataArea(call.pc)
    if call.al == 0:
        call.bx = data.get(COMBINATION)
    elif call.al == 1:
        data.put(COMBINATION, call.bl)
    else:
        call.lacks(ah=None, by="AX")
        return
    call.al = _SERVED


_SERVICES: Final = {
    0x00: _set_mode,
    0x01: _set_shape,
    0x02: _move_cursor,
    0x03: _get_cursor,
    0x05: _select_page,
    0x06: _scroll,
    0x07: _scroll,
    0x08: _read_cell,
    0x09: _write_cells,
    0x0A: _write_cells,
    0x0E: _teletype,
    0x0F: _get_mode,
    0x10: colours.serve,
    0x11: _fonts,
    0x12: _alternate,
    0x13: _write_string,
    0x1A: _combination,
}
