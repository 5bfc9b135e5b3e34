/* The register of the host that holds the count of instructions while translated code runs. */
#ifndef KMEMU_COUNT_REGISTER_H
#define KMEMU_COUNT_REGISTER_H

#include "machine.h"

/* Where the count lies in the CPU's state while no translated code runs; a word that nobody else uses; 16 bits that become 0 where translated
 * code is left. */
enum { KC_COUNT_AT = 0x40, KC_ADDED_AT = 0x48, KC_IN_BLOCK_AT = 0x5c };

/* From now on engines that this thread opens leave the register to us, or not any more. Returns whether the last one did. */
bool kc_count_register_claim(bool begins);
/* Variables of every translation, from its state: the register, and the one that points to the CPU's state; 0: they are not known. */
uintptr_t kc_count_register(void);
uintptr_t kc_state_register(void);
/* Code of a block stores how many instructions it has to the word at KC_ADDED_AT: let it add them to the register. False: it does not. */
bool kc_count_in_register(uint8_t *code, size_t size, uint32_t instructions);
/* Its value where a signal came from translated code. */
uint64_t kc_count_in_context(const void *context);

void kc_count_register_load(void *unicorn);

#endif
