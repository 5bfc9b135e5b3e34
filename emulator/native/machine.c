/* The life of a machine: its parts, in the order in which they are made, and in which a snapshot brings them back. */
#include <stdlib.h>

#include "core/bus.h"
#include "core/clock.h"
#include "core/directories.h"
#include "core/features.h"
#include "core/forks.h"
#include "core/interrupts.h"
#include "core/kasan.h"
#include "core/limits.h"
#include "core/mmu.h"
#include "core/pic.h"
#include "core/pit.h"
#include "core/ports.h"
#include "core/ram.h"
#include "core/run.h"
#include "core/shadow.h"
#include "core/video.h"
#include "core/windows.h"
#include "observe/checked_accesses.h"
#include "observe/definedness.h"
#include "observe/null_accesses.h"
#include "observe/probes.h"
#include "observe/stale_translations.h"
#include "observe/step_logs.h"
#include "observe/stops.h"
#include "observe/watchpoints.h"
#include "observe/written_pages.h"
#include "record/blocks.h"
#include "record/calls.h"
#include "record/functions.h"
#include "record/interrupt_frames.h"
#include "record/stack_numbers.h"
#include "record/unwinding.h"
#include "unicorn/counting.h"
#include "unicorn/engine.h"
#include "unicorn/jumps.h"
#include "unicorn/state.h"

kc_python python;

void kc_set_python(const kc_python *callbacks) { python = *callbacks; }

const struct part kc_parts[KC_PARTS] = {
    {kc_counting_init, kc_counting_free, NULL, NULL, NULL},
    {kc_jumps_init, kc_jumps_free, NULL, NULL, NULL},
    {kc_limits_init, kc_limits_free, NULL, NULL, NULL},
    {kc_clock_init, kc_clock_free, kc_clock_save, kc_clock_restore, free},
    {kc_pic_init, kc_pic_free, kc_pic_save, kc_pic_restore, free},
    {kc_pit_init, kc_pit_free, kc_pit_save, kc_pit_restore, free},
    {kc_interrupts_init, kc_interrupts_free, kc_interrupts_save, kc_interrupts_restore, free},
    {kc_ram_init, kc_ram_free, NULL, NULL, NULL},
    {kc_snapshots_init, kc_snapshots_free, NULL, NULL, NULL},
    {kc_shadow_init, kc_shadow_free, kc_shadow_save, kc_shadow_restore, kc_shadow_forget},
    {kc_kasan_init, kc_kasan_free, NULL, NULL, NULL},
    {kc_windows_init, kc_windows_free, NULL, NULL, NULL},
    {kc_forks_init, kc_forks_free, NULL, NULL, NULL},
    {kc_state_init, NULL, kc_state_save, kc_state_restore, kc_state_forget},
    {kc_video_init, kc_video_free, kc_video_save, kc_video_restore, free},
    {kc_bus_init, kc_bus_free, kc_bus_save, kc_bus_restore, free},
    {kc_directories_init, kc_directories_free, kc_directories_save, kc_directories_restore, free},
    {kc_mmu_init, kc_mmu_free, kc_mmu_save, kc_mmu_restore, free}, /* goes by the CPU's registers */
    {kc_ports_init, kc_ports_free, kc_ports_save, kc_ports_restore, free},
    {kc_features_init, kc_features_free, kc_features_save, kc_features_restore, free},
    {kc_run_init, kc_run_free, kc_run_save, kc_run_restore, free},
    {kc_stack_numbers_init, kc_stack_numbers_free, NULL, NULL, NULL},
    {kc_interrupt_frames_init, kc_interrupt_frames_free, kc_interrupt_frames_save, kc_interrupt_frames_restore, free},
    {kc_unwinding_init, kc_unwinding_free, NULL, NULL, NULL},
    {kc_functions_init, kc_functions_free, NULL, NULL, NULL},
    {kc_calls_init, kc_calls_free, kc_calls_save, kc_calls_restore, kc_calls_forget},
    {kc_blocks_init, kc_blocks_free, kc_blocks_save, kc_blocks_restore, kc_blocks_forget},
    {kc_probes_init, kc_probes_free, NULL, NULL, NULL},
    {kc_stops_init, kc_stops_free, NULL, NULL, NULL},
    {kc_watchpoints_init, kc_watchpoints_free, NULL, kc_watchpoints_restore, NULL},
    {kc_step_logs_init, kc_step_logs_free, NULL, NULL, NULL},
    {kc_written_pages_init, kc_written_pages_free, kc_written_pages_save, kc_written_pages_restore, kc_written_pages_forget},
    {kc_stale_translations_init, kc_stale_translations_free, NULL, NULL, NULL},
    {kc_null_accesses_init, kc_null_accesses_free, kc_null_accesses_save, kc_null_accesses_restore, free},
    {kc_checked_accesses_init, kc_checked_accesses_free, kc_checked_accesses_save, kc_checked_accesses_restore, free},
    {kc_definedness_init, kc_definedness_free, kc_definedness_save, kc_definedness_restore, kc_definedness_forget},
};

kc *kc_new(uint64_t memory_end, int accesses, void *handle)
{
    kc *m = calloc(1, sizeof *m);

    if (!m)
        return NULL;
    m->memory_end = memory_end;
    m->fast = accesses == KC_FAST;
    m->reference = accesses == KC_REFERENCE;
    m->handle = handle;
    int error = kc_engine_open(m);
    for (int i = 0; !error && i < KC_PARTS; i++)
        error = kc_parts[i].init(m);
    if (error) {
        kc_delete(m);
        return NULL;
    }
    return m;
}

void kc_delete(kc *m)
{
    if (m->limits)
        kc_time_unlimited(m);
    if (m->snapshots)
        kc_discard(m, 0);
    kc_state_free(m);
    kc_engine_close(m); /* it knows the memory and the data of hooks that the parts give back */
    for (int i = KC_PARTS; i-- > 0;)
        if (kc_parts[i].free)
            kc_parts[i].free(m);
    free(m);
}
