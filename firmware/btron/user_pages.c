/*
 * Theory of operation
 *
 * A directory of 1024 words names tables of 1024 words that name pages; the first 512 entries of the directory are user
 * space. Tables and pages come from pmem, one by one, and are cleared; each mapping owns its page once. A table is
 * made for its first page and given back with its last one. What has changed in the directory that the CPU uses is taken
 * out of the CPU's memory of translations (SDM volume 3, 4.10.4); what was not present is not in there.
 *
 * Permission is decided in the tables' entries; those of the directory allow everything.
 *
 * Shortcomings
 *
 * Entries are trusted. The search for an empty table reads all of it, once for each call.
 */

#include "btron/user_pages.h"

#include "btron/pmem.h"
#include "common/cpu.h"
#include "common/physical.h"
#include "common/string.h"

#define PROTECTION  (PAGE_WRITABLE | PAGE_USER)
#define TABLE_WORDS (PAGE_SIZE / sizeof(UW))

static UW *directory_entry(UW directory, UW address)
{
    return (UW *)at_physical(directory) + address / LARGE_PAGE_SIZE;
}

/* The first address that the table of `address` does not map, or `end` if that is lower. */
static UW table_end(UW address, UW end)
{
    UW next = (address & ~(LARGE_PAGE_SIZE - 1u)) + LARGE_PAGE_SIZE;

    return next < end ? next : end;
}

static void forget(UW directory, UW address)
{
    if (cpu_page_directory() == directory) {
        cpu_forget_translation(address);
    }
}

static VP alloc_cleared(void)
{
    VP page = pmem_alloc(PAGE_SIZE);

    return page != NULL ? memset(page, 0, PAGE_SIZE) : NULL;
}

UW *user_entry(UW directory, UW address)
{
    UW table = *directory_entry(directory, address);

    if ((table & PAGE_PRESENT) == 0) {
        return NULL;
    }
    return (UW *)at_physical(table & PAGE_ADDRESS) + address / PAGE_SIZE % TABLE_WORDS;
}

bool user_is_mapped(UW directory, UW address, UW protection)
{
    const UW *entry = user_entry(directory, address);

    return entry != NULL && (*entry & (PAGE_PRESENT | protection)) == (PAGE_PRESENT | protection);
}

UW user_next_mapped(UW directory, UW start, UW end)
{
    UW address = start;

    while (address < end) {
        const UW *entry = user_entry(directory, address);
        if (entry == NULL) {
            address = table_end(address, end);
        } else if ((*entry & PAGE_PRESENT) == 0) {
            address += PAGE_SIZE;
        } else {
            return address;
        }
    }
    return end;
}

/* The entry of a page; its table is made if there is none. NULL: no page is left for the table. */
static UW *make_entry(UW directory, UW address)
{
    if ((*directory_entry(directory, address) & PAGE_PRESENT) == 0) {
        VP table = alloc_cleared();
        if (table == NULL) {
            return NULL;
        }
        *directory_entry(directory, address) = physical_of(table) | PAGE_PRESENT | PROTECTION;
    }
    return user_entry(directory, address);
}

/* Gives the table for `address` back, if there is one and it is empty. */
static void drop_empty_table(UW directory, UW address)
{
    UW *entry = directory_entry(directory, address);
    UW *table = at_physical(*entry & PAGE_ADDRESS);

    if ((*entry & PAGE_PRESENT) == 0) {
        return;
    }
    for (UW i = 0; i < TABLE_WORDS; i++) {
        if (table[i] != 0) {
            return;
        }
    }
    *entry = 0;
    forget(directory, address);
    pmem_free(table, PAGE_SIZE);
}

ER user_add_page(UW directory, UW address, UW protection)
{
    UW *entry = make_entry(directory, address);
    VP page = entry != NULL ? alloc_cleared() : NULL;

    if (page == NULL) {
        drop_empty_table(directory, address);
        return E_NOMEM;
    }
    *entry = physical_of(page) | PAGE_PRESENT | protection;
    return E_OK;
}

ER user_share_page(UW directory, UW address, VP page, UW protection)
{
    UW *entry = make_entry(directory, address);

    if (entry == NULL || pmem_share(page, PAGE_SIZE) != E_OK) {
        drop_empty_table(directory, address);
        return E_NOMEM;
    }
    *entry = physical_of(page) | PAGE_PRESENT | protection;
    return E_OK;
}

void user_protect(UW directory, UW start, UW end, UW protection)
{
    for (UW address = user_next_mapped(directory, start, end); address < end;
         address = user_next_mapped(directory, address + PAGE_SIZE, end)) {
        UW *entry = user_entry(directory, address);
        *entry = (*entry & ~(UW)PROTECTION) | protection;
        forget(directory, address);
    }
}

void user_unmap(UW directory, UW start, UW end)
{
    for (UW first = start; first < end; first = table_end(first, end)) {
        UW stop = table_end(first, end);
        UW address = user_next_mapped(directory, first, stop);
        if (address == stop) {
            continue;
        }
        for (; address < stop; address = user_next_mapped(directory, address + PAGE_SIZE, stop)) {
            UW *entry = user_entry(directory, address);
            VP page = at_physical(*entry & PAGE_ADDRESS);
            *entry = 0;
            forget(directory, address);
            pmem_free(page, PAGE_SIZE);
        }
        drop_empty_table(directory, first);
    }
}
