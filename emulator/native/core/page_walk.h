/* What page tables make of a linear address: two levels, or with PAE three. */
#ifndef KMEMU_PAGE_WALK_H
#define KMEMU_PAGE_WALK_H

#include "core/mmu.h"

enum { PTE_A = 0x20, PTE_D = 0x40 };
enum { CR4_PAE = 1 << 5 };
#define CR3_FLAGS 0x1fu /* with three levels; else all below the page */

struct walk {
    uint64_t physical; /* of the page */
    uint64_t directory_at, table_at; /* addresses of the entries; KC_NO_ENTRY: no table is looked into */
    uint64_t directory, table;
    bool present, reserved; /* reserved: a bit is set that must not be */
    bool writable, user, no_execute, nx; /* nx: the CPU looks at it */
    bool wide;                           /* entries have 8 bytes */
};

/* Follow the tables at `cr3`. False: the CPU is in a mode that this machine does not have. */
bool kc_walk_tables(kc *m, uint32_t cr3, uint32_t linear, struct walk *w);
/* Set PTE_A and PTE_D of an entry, here and at its address. A ROM keeps what it has. */
void kc_entry_set(kc *m, uint64_t at, uint64_t *entry, uint32_t bits);

#endif
