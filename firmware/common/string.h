/* Memory and string functions, as in ISO C. The first four are also called by the compiler itself. */

#ifndef COMMON_STRING_H
#define COMMON_STRING_H

#include <stddef.h>

void *memset(void *destination, int value, size_t size);
void *memcpy(void *restrict destination, const void *restrict source, size_t size);
void *memmove(void *destination, const void *source, size_t size);
int memcmp(const void *left, const void *right, size_t size);
size_t strlen(const char *text);
int strncmp(const char *left, const char *right, size_t size);

#endif
