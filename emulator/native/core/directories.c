/* Page directories that the guest has used.
 *
 * Theory of operation. A load of CR3 empties the TLB, so the first page that is translated after it is that of the next instruction: a kernel
 * has it at one address in all its spaces, and nowhere else could it go on. This page is kept with the directory, which is how a reader tells
 * later whether there is still a directory at that address or something else. The list is in order of use, the last one first.
 *
 * Shortcomings. Only the last KC_DIRECTORIES are kept. Unicorn's own MMU reports no translations, so that the list is empty with it.
 */
#include <stdlib.h>
#include <string.h>

#include "core/directories.h"

int kc_directories_init(kc *m) { return KC_NEW(m->directories); }

void kc_directories_free(kc *m) { free(m->directories); }

int kc_directories_save(kc *m, void **out)
{
    struct directories *saved = malloc(sizeof *saved);

    if (!saved)
        return -1;
    *saved = *m->directories;
    *out = saved;
    return 0;
}

/* Where one is in use, before or after, the TLB is emptied, too. */
int kc_directories_restore(kc *m, const void *saved)
{
    *m->directories = *(const struct directories *)saved;
    m->directories->noted = false;
    return 0;
}

/* Where a directory stands in the list, or where a new one may. */
static uint32_t index_of(struct directories *d, uint32_t cr3)
{
    for (uint32_t i = 0; i < d->count; i++)
        if (d->list[i].cr3 == cr3)
            return i;
    if (d->count < KC_DIRECTORIES)
        return d->count++;
    d->more = true;
    return KC_DIRECTORIES - 1;
}

void kc_directory_note(kc *m, uint32_t cr3, uint32_t linear, uint64_t physical)
{
    struct directories *d = m->directories;
    uint32_t at = index_of(d, cr3);

    d->noted = true;
    memmove(d->list + 1, d->list, at * sizeof *d->list);
    d->list[0] = (kc_directory){.cr3 = cr3, .linear = linear & ~PAGE_MASK, .physical = physical & ~(uint64_t)PAGE_MASK};
}

const kc_directory *kc_directories(const kc *m, uint32_t *count, bool *more)
{
    *count = m->directories->count;
    *more = m->directories->more;
    return m->directories->list;
}
