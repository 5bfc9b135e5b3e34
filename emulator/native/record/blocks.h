/* Blocks of memory, as the calls of a kernel's allocators have made them and given them back. */
#ifndef KMEMU_BLOCKS_H
#define KMEMU_BLOCKS_H

#include "record/open_calls.h"

int kc_blocks_init(kc *m);
void kc_blocks_free(kc *m);
int kc_blocks_save(kc *m, void **saved);
int kc_blocks_restore(kc *m, const void *saved);
void kc_blocks_forget(void *saved);

/* Follow blocks from now on, as far as the present recording goes. The shadow is open. -1: no memory. */
int kc_blocks_open(kc *m, const kc_checking *checks);
void kc_blocks_close(kc *m);

/* Are they followed, in the present recording? If so, a call has been entered at an event, inside of another one (0: of none), and has
 * returned, or cannot do so any more. */
bool kc_follows_blocks(const kc *m);
void kc_blocks_entered(kc *m, const struct open_call *call, uint32_t function, uint32_t parent, uint32_t event);
void kc_blocks_left(kc *m, const struct open_call *call, const kc_late *how);
void kc_blocks_abandoned(kc *m, const struct open_call *call);

/* Has a block ever lain in the page of a physical address? */
bool kc_has_had_blocks(const kc *m, uint64_t physical);
/* The live block that a byte of RAM lies in, and where in it. False: it is in none. */
bool kc_block_over(const kc *m, uint64_t physical, kc_block *out, uint32_t *distance);
/* The block that a physical address lies in or next to, live or dead lately, and how many bytes above its start. False: none. */
bool kc_block_near(const kc *m, uint64_t physical, kc_block *out, int32_t *distance);

#endif
