/* Which bytes may be accessed, as blocks come and go. */
#ifndef KMEMU_POISONING_H
#define KMEMU_POISONING_H

#include "record/block_table.h"

/* What redzones do not leave: physical ranges, ascending, of which none overlaps another. */
struct objects { kc_extent *list; uint32_t count; };

/* A block that lives and has its pieces: it may be accessed, what is around it may not. */
void kc_poison_around(kc *m, struct block_table *t, const struct objects *objects, const struct block_life *block);
/* A block that lives, whose size is not known, begins at a physical address: what may be part of it may be accessed. */
void kc_unpoison_unsized(kc *m, struct block_table *t, uint64_t physical);
/* A block that has died; as_written: what is initialised of it stays so, for the block that it is resized to. */
void kc_poison_freed(kc *m, const struct block_table *t, const struct block_life *dead, bool as_written);
/* Are two physical addresses in the same of the kernel's variables, or of what lies between them? */
bool kc_is_same_object(const struct objects *objects, uint64_t one, uint64_t other);
/* A part of a page of RAM is given to an allocator, without the kernel's variables in it. */
void kc_poison_given(kc *m, struct block_table *t, const struct objects *objects, uint64_t physical, uint32_t size);

#endif
