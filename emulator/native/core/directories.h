/* Which page directories the guest has used, for kc_directories(). */
#ifndef KMEMU_DIRECTORIES_H
#define KMEMU_DIRECTORIES_H

#include "machine.h"

struct directories {
    kc_directory list[KC_DIRECTORIES]; /* the one used last comes first */
    uint32_t count;
    bool more;  /* there were others */
    bool noted; /* the one in use is the first of the list */
};

int kc_directories_init(kc *m);
void kc_directories_free(kc *m);
int kc_directories_save(kc *m, void **saved);
int kc_directories_restore(kc *m, const void *saved);

void kc_directory_note(kc *m, uint32_t cr3, uint32_t linear, uint64_t physical);
/* The TLB was emptied: the next page that is translated may be one of another space. */
static inline void kc_directory_left(kc *m) { m->directories->noted = false; }
static inline bool kc_directory_is_noted(const kc *m) { return m->directories->noted; }

#endif
