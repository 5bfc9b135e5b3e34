/* The PC's 80 x 25 text screen. */

#ifndef COMMON_VGA_TEXT_H
#define COMMON_VGA_TEXT_H

#include <stdint.h>

enum {
    VGA_COLUMNS = 80,
    VGA_ROWS = 25,
    VGA_LIGHT_GREY = 0x07,
    VGA_WHITE_ON_BLUE = 0x1F,
};

/* Blanks the whole screen. */
void vga_clear(void);

/* Writes `text` from column 0 of `row` (0..24), cut at column 80; the rest of the row becomes blank. */
void vga_write_row(uint32_t row, uint8_t attribute, const char *text);

#endif
