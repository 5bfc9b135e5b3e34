/* The window: guest memory at guest addresses, for translated code. */
#ifndef KMEMU_WINDOWS_H
#define KMEMU_WINDOWS_H

#include "core/mmu.h"

int kc_windows_init(kc *m);
void kc_windows_free(kc *m);

/* The first write to each page has to be noticed again. */
void kc_windows_protect(kc *m);
/* What the window lets stores change of the shadow is going to be changed: a snapshot has been brought back. */
void kc_windows_keep_shadow(kc *m);
/* Code was fetched from a frame: writes to it are not plain ones. */
void kc_windows_protect_code(kc *m, uint32_t frame);
/* What the window shows a user or a supervisor at a linear address, as far as it allows such an access. False: nothing. */
bool kc_windows_answer(kc *m, uint32_t linear, bool user, bool write, uc_tlb_entry *out);
/* The TLB has found the page of a linear address at a physical one. */
void kc_windows_on_fill(kc *m, uint32_t linear, bool user, bool fetch, uint64_t physical);
/* What addresses mean may have changed: of all, of the page of a linear address. */
void kc_windows_forget(kc *m);
void kc_windows_forget_page(kc *m, uint32_t linear);
/* The TLB was emptied: only what page tables still say stays. */
void kc_windows_on_flush(kc *m);
/* Do stores to a physical address have to be told, because page tables lie there? */
bool kc_windows_hold_entries(const kc *m, uint64_t physical);
/* RAM is going to be written by the guest or a device, within a page; has been written by others, who knows where. */
void kc_windows_on_write(kc *m, uint64_t physical, uint32_t size);
void kc_windows_on_writes(kc *m);
/* From now on accesses are looked up in the shadow, which is there, or not any more. */
void kc_windows_check(kc *m, bool begins);
/* The machine runs, or does so no more. Calls nest. */
void kc_windows_run(kc *m, bool begins);
/* Something of [physical, physical + size) is watched from now on; nothing is any more, and no instruction needs the ordinary way for that. */
void kc_windows_watch(kc *m, uint64_t physical, uint64_t size);
void kc_windows_watch_no_more(kc *m);
/* Do calls mark their return addresses in it? */
bool kc_marks_returns(const kc *m);
/* Of what is watched on the page of these bytes, these are all, and only for stores: they may be found by comparing addresses. Where that cannot be, it goes by the page. */
void kc_windows_compare(kc *m, uint32_t physical, uint32_t size);
/* All translated code is going to be new. */
void kc_windows_on_new_code(kc *m);
/* A frame has bytes now that may not be accessed: ring 3, whose accesses are not looked up, has to ask the engine. */
void kc_windows_on_poisoned(kc *m, uint32_t frame);
/* No access is looked up in the shadow, until that ends. */
void kc_windows_exempt(kc *m, bool begins);
/* A fault at no address, or at that of a poisoned access. False: it is none. */
bool kc_windows_on_poison(void *context);
/* From now on every access of the guest goes the ordinary way, or need not any more. Calls nest. */
void kc_windows_suspend(kc *m, bool begins);

#endif
