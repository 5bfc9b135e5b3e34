#include "devices/steps.h"

#include "common/console.h"
#include "common/cpu.h"

static const struct rights {
    const char *name;
    uint32_t first, second;
} all_rights[] = {
    {"both there", PWU, PWU},        {"first missing", 0, PWU},      {"second missing", PWU, 0},          {"both missing", 0, 0},
    {"first read-only", P, PWU},     {"second read-only", PWU, P},   {"both the kernel's", P | W, P | W},
};

static void step(const char *title, const struct step *step, const struct rights *rights, void (*prepare)(void), void (*undo)(void))
{
    window_set(PWU, PWU, PWU);
    prepare();
    directory[WINDOW_ENTRY] &= ~(uint32_t)A;
    window_table[0] = window_frame(0) | rights->first;
    window_table[1] = window_frame(1) | rights->second;
    cpu_set_page_directory(space_cr3);
    run(step->code, step->how);
    undo();
    kprintf("%s, %s, %s, ring %u%s:", title, step->name, rights->name, step->how & RING_3 ? 3 : 0,
            step->how & REPAIRED ? ", goes on" : "");
    report(step->code, true);
}

void steps(const char *title, const struct step *steps, size_t count, bool needs_first, void (*prepare)(void), void (*undo)(void))
{
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < COUNT(all_rights); k++) {
            if (all_rights[k].first != 0 || !needs_first) {
                step(title, &steps[i], &all_rights[k], prepare, undo);
            }
        }
    }
}
