/*
 * Theory of operation
 *
 * Text mode 3 is memory at 0xB8000: a byte of text and a byte of colour for each of 80 x 25 cells.
 *
 * Shortcomings
 *
 * No cursor and no scrolling: the screen shows titles, the console is COM1.
 */

#include "common/vga_text.h"

#include "common/physical.h"

typedef volatile uint16_t vga_row_t[VGA_COLUMNS];

enum { SCREEN = 0xB8000 }; /* physical */

void vga_write_row(uint32_t row, uint8_t attribute, const char *text)
{
    vga_row_t *screen = at_physical(SCREEN);

    for (uint32_t column = 0; column < VGA_COLUMNS; column++) {
        uint8_t c = *text != '\0' ? (uint8_t)*text++ : ' ';
        screen[row][column] = (uint16_t)(attribute << 8 | c);
    }
}

void vga_clear(void)
{
    for (uint32_t row = 0; row < VGA_ROWS; row++) {
        vga_write_row(row, VGA_LIGHT_GREY, "");
    }
}
