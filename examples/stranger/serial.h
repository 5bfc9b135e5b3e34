#pragma once

#include <stdint.h>

void serial_open(void);
void say(const char *text);
void say_number(uint32_t value);

/* Ends the virtual machine: 0 says that all went well. */
_Noreturn void power_off(uint8_t value);
