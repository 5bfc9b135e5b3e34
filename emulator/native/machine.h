/* What the core's files share: the machine, and the table of Unicorn's functions. */
#ifndef KMEMU_MACHINE_H
#define KMEMU_MACHINE_H

#include <signal.h>
#include <stddef.h>
#include <unicorn/unicorn.h>

#include "core.h"

#define PAGE_SHIFT 12
#define PAGE_SIZE 4096u
#define PAGE_MASK (PAGE_SIZE - 1)

/* libunicorn is loaded at run time: the wheel finds the library that the unicorn package ships. */
#define UNICORN_FUNCTIONS(X) \
    X(uc_open) X(uc_close) X(uc_version) X(uc_strerror) X(uc_ctl) X(uc_mem_map_ptr) X(uc_mmio_map) X(uc_mem_write) \
    X(uc_reg_read) X(uc_reg_write) X(uc_reg_read_batch) X(uc_reg_write_batch) X(uc_hook_add) X(uc_hook_del) \
    X(uc_emu_start) X(uc_emu_stop) X(uc_context_alloc) X(uc_context_save) X(uc_context_restore) X(uc_context_free) \
    X(uc_context_size)

struct unicorn {
#define X(name) __typeof__(&name) name;
    UNICORN_FUNCTIONS(X)
#undef X
};
extern struct unicorn U;
extern kc_python python;

struct port { uint8_t out, out_value, in, in_value; };

struct probe {
    kc *machine;
    struct probe *next; /* at the same hash */
    uc_hook hook;
    uint32_t identity, address, number;
    uint16_t kind, actions;
    bool off;
};

/* How far the probes of an instruction were reached. */
struct reached {
    uint32_t identity, address; /* of the last one; identity 0: the machine stands at none */
    bool recorded_entry;        /* it is the entry of a recorded function: those come first */
};

struct page { uint32_t number; uint8_t *bytes; };

/* Pages and what they held, by page number. */
struct page_list { struct page *pages; uint32_t count, capacity; };

/* A call that has not returned. */
struct open_call { uint32_t call, esp, caller, out_address; uint8_t function, depth; };

/* How far the record of calls is. */
struct progress {
    uint32_t events, calls, allocations, open_count, open_capacity;
    struct open_call *open; /* in order of entry */
    struct reached reached;    /* stopped at an event, at this probe; others of its instruction may follow */
    bool at_allocation;        /* the newest allocation is that event */
    bool jumps;                /* the next instruction is a function's entry, reached by a jump */
    uint64_t stopped_ns;       /* virtual time of that event */
};

#define PROBE_SLOTS 1024
#define RULE_SLOTS 4096
#define PUSHED_MAX 64
#define FILLS 64
#define TIME_STAMP_STEP 1000
#define CONSOLE_SIZE 4096
#define DEPTH_MAX 64
#define WATCHES_MAX 64

/* Frames that kc_deliver() has pushed and no iret has left: where EIP lies in each, its value, and where the handler begins;
 * the newest last. */
struct pushed {
    uint32_t count;
    struct { uint32_t at, eip, handler; } frames[PUSHED_MAX];
};

/* Pages that are written while it is open, as they were at its beginning; see written_pages.c. */
struct watch {
    uint32_t number;    /* 0: not open */
    uint32_t low, high; /* ESP while the call goes on that it belongs to; high 0: it belongs to none */
    struct page_list touched, marked; /* marked: bits that the CPU set by itself */
};

struct touched_room { kc_touched *entries; uint32_t capacity; };

struct snapshot {
    uc_context *cpu;
    uint32_t dr7;
    uint64_t time_stamp;
    struct progress calls;
    struct pushed pushed;
    struct watch *watches; /* those of calls */
    uint32_t watch_count;
    struct page_list undo; /* pages that differ in the next snapshot further in, as they are in this one */
};

struct stack { uint32_t hash, first, call; uint16_t count; bool passed; };

struct kc {
    uc_engine *uc;
    void *handle;
    bool reference;

    /* ram.c: memory is a private mapping of `file`, which holds the newest snapshot; the mapping's own pages are
     * what changed since. */
    uint8_t *memory, *base;
    struct range { uint64_t start, end; } ranges[8]; /* what kc_map_ram() and kc_map_rom() made usable */
    int range_count;
    uint64_t memory_end;
    int file, pagemap;
    struct snapshot snapshots[DEPTH_MAX];
    int depth;

    /* mmu.c */
    bool emulates, removing_hook, stray_fill; /* a fill was answered that was not the guest's */
    struct fill { uint32_t linear, physical; } fills[FILLS]; /* newest TLB fills, addresses of pages; by linear page */
    bool paging; /* CR0.PG at the last TLB fill; nothing runs after a change of PG without a fill */
    uint8_t *fetched; /* one bit a physical page: code was fetched from it */
    uint32_t *fetched_pages, fetched_count, fetched_capacity; /* the same as a list */

    /* written_pages.c */
    struct watch watches[WATCHES_MAX];
    uint32_t watches_begun, watches_open, calls_watched; /* calls_watched: open watches of calls */
    struct touched_room touched, marked;

    /* run.c */
    kc_stop stop;
    uc_context *pristine; /* the CPU as it was made, and room for a second context */
    uc_context *scratch;
    volatile sig_atomic_t interrupted, timed_out;
    bool no_memory; /* something could not be kept: what is known is not whole any more */
    struct watchdog *watchdog;
    uint64_t budget, slice; /* instructions */
    uint64_t executed, look_at; /* instructions; a block that starts at look_at or later asks, see counting.c */
    struct last { uint32_t pc; uint16_t count, size; } last __attribute__((aligned(8))); /* block counted last, or an
                                instruction counted alone: count is 0 */
    bool interposed;           /* libunicorn uses our functions */
    bool sees_flags;           /* those of flags.c, too */
    void *cpu;                 /* Unicorn's; NULL: it has translated nothing yet */
    bool proved, recount;      /* blocks count themselves right; start again and count by hooks */
    bool irq_pending;
    uint32_t error_code;       /* of the exception that is raised now */
    uint64_t time_stamp;       /* rdtsc */
    const void *state;         /* of Unicorn's CPU, or NULL where that is not known */
    const uint32_t *esp, *eax, *ebp; /* where it keeps them, or NULL */
    bool in_out;               /* the run ended at an `out` */
    bool one_by_one;           /* counted by on_instruction(), not by on_block() */
    uint32_t last_instruction;
    bool inside_block; /* the next block is the rest of one */
    struct { uint32_t pc, icount; } *blocks;

    /* ports.c */
    struct port *ports;
    uint8_t console[CONSOLE_SIZE];
    uint32_t console_used, console_number;
    uint64_t console_flushed_ns;

    /* probes.c */
    struct probe *probes[PROBE_SLOTS];
    uint32_t probes_added;

    /* calls.c */
    kc_calls *calls; /* NULL: not recording */
    kc_function functions[KC_FUNCTIONS];
    struct progress now;
    kc_late *late;
    uint32_t late_count, late_capacity, stop_event, stop_allocation;
    uint32_t tell_every, until_told; /* calls */
    bool hand_over, stops_exactly; /* translated with checks in the middle of blocks */
    bool probes_off, event_is_exit;
    struct reached event_reached;
    uint64_t clock_ns;
    uint32_t instruction_ns;

    /* unwinding.c */
    kc_rule *rules;
    uint32_t rule_count, code_ranges[KC_CODE_RANGES][2], code_range_count;
    struct { uint32_t pc; const kc_rule *rule; } rule_slots[RULE_SLOTS];
    struct walk *walks;
    struct stack *stacks; /* [0] is not used */
    uint32_t stack_count, stack_capacity, *stack_slots, stack_slot_count;
    uint32_t *stack_words, stack_word_count, stack_word_capacity;
    struct pushed pushed;
    uint64_t pushed_changes; /* how often it was changed */

    /* ancestry.c */
    kc_extent *extents;
    uint32_t extent_count;

    /* watchpoints.c */
    struct watchpoint *watchpoints;
    uint32_t watchpoints_opened;

    /* step_logs.c */
    struct step_log *step_logs;
    uint32_t step_logs_opened;
};

/* run.c */
/* The guest's own way to other registers; kc_set_registers() is for others. */
void kc_put_registers(kc *m, const kc_registers *in);
void kc_end(kc *m, int reason);
/* Something cannot be kept: end this run and all that follow. */
void kc_no_memory(kc *m);
/* End the run at the next block. From another thread or a signal handler, too. */
void kc_engine_stop(kc *m);
uint64_t kc_now_ns(void);
int kc_hook(kc *m, int type, void *callback, void *data, uint64_t begin, uint64_t end, int instruction);
/* Remove a hook between runs: nothing that was translated with it is left. */
void kc_unhook(kc *m, uc_hook hook);

/* counting.c */
#define TAIL 512u /* no translated block of Unicorn has more instructions */
void kc_counting_start(kc *m); /* may call kc_no_memory() */
/* Do blocks count themselves? If they cannot after all: end the run, it starts again with hooks. */
bool kc_counts_itself(const kc *m);
void kc_counting_by_hooks(kc *m);
/* A block asks: end the run here if need be. */
void kc_block_starts(kc *m, uint32_t pc, uint32_t count);
/* Let the next block ask. */
void kc_look_soon(kc *m);

/* translation.c */
/* False if libunicorn lacks what is needed. */
bool kc_translation_load(void *unicorn);
/* Is the block that this thread translates one of the machine that runs in it? A callback may run an engine that is not ours. */
bool kc_translates_ours(void);

/* Has the memory operand of the instruction that this thread translates to be aligned? Once for each instruction. */
bool kc_needs_alignment(void);

/* alignment.c */
enum { MISALIGNED = 40 }; /* a bit above those of the sum of a segment base and an offset, which may be more than 32 */
enum { KC_66 = 0x66, KC_F2 = 0xf2, KC_F3 = 0xf3, KC_MAP_38 = 0x38, KC_MAP_3A = 0x3a };
/* Is an instruction one whose memory operand has to lie at a multiple of 16? map: 0, or the byte behind 0x0f; prefix: the one
 * that belongs to the opcode, or 0. */
bool kc_is_aligned(uint32_t map, uint32_t prefix, uint32_t opcode);
/* Does 66, F2 or F3 say which instruction an opcode behind 0x0f is? */
bool kc_is_chosen_by_prefix(uint32_t opcode);
void kc_alignment_load(void *unicorn);

/* system_calls.c */
void kc_system_calls_load(void *unicorn);

/* decoding.c */
void kc_decoding_load(void *unicorn);

/* flags.c */
/* False if libunicorn lacks one of the functions. */
bool kc_flags_load(void *unicorn);

/* limits.c */
/* While machines run, SIGINT, SIGTERM and SIGHUP stop them before Python hears of it, as far as Python handles them. Returns
 * those that are now ours, a bit each; 0 also where it is done already. */
unsigned kc_signals_take(void);
void kc_signals_give_back(unsigned taken);
void kc_run_mark(kc *m, bool start);

/* interpose.c */
#define EXPORTED __attribute__((visibility("default")))
enum { KC_BLOCK_STARTS = 0x3f }; /* where Unicorn has the type of a hook: not of any */
EXPORTED void helper_uc_tracecode(int32_t size, int32_t index, void *uc, int64_t address);
/* The machine that runs whole blocks in this thread, or NULL. */
kc *kc_running(void);
/* The machine whose CPU has this state, if it runs in this thread; or NULL. */
kc *kc_running_on(const void *state);
/* The state of a CPU of Unicorn's, if it is that of the machine that runs in this thread; or NULL. */
void *kc_state_of(const void *cpu);
/* Set DR7, return what it was. Unicorn keeps the breakpoints themselves outside of what a context holds: a context is taken
 * and restored without them. */
uint32_t kc_breakpoints(kc *m, uint32_t dr7);
EXPORTED void raise_exception_err_ra_x86_64(void *state, int vector, int error_code, uintptr_t place);
void *kc_interpose_load(const char *library);
/* The machine that runs in this thread from now on; fast: without exit checks inside of blocks. Returns what was. */
struct interposed { kc *machine; bool fast; };
struct interposed kc_interpose(kc *m, bool fast);
void kc_interpose_restore(struct interposed before);
/* Find out where the CPU keeps ESP, EAX and EBP; once, when it is made. */
void kc_interpose_find_registers(kc *m);

/* segments.c */
enum segment { ES, CS, SS, DS, FS, GS };
/* False if libunicorn keeps the bases where they are not found. */
bool kc_segments_find(kc *m);
/* Base of a segment as the CPU holds it, which need not be what the descriptor in memory says by now. */
uint32_t kc_segment_base(kc *m, enum segment segment);

/* interrupts.c */
/* Must each block look whether the guest takes an interrupt? If not, kc_look_soon() is called when it has to. */
bool kc_irq_may_come(kc *m);
/* Would the guest take an interrupt before the instruction at this linear address? */
bool kc_irq_possible_at(kc *m, uint32_t pc);
uint32_t kc_ring(kc *m);

/* mmu.c */
int kc_mmu_init(kc *m);
void kc_mmu_free(kc *m);
void kc_flush_tlb(kc *m);
void kc_paging_read(kc *m);
void kc_fills_forget(kc *m);
/* Physical address for an access of the CPU itself, as a supervisor; -1 after noting a #PF. */
int64_t kc_reach(kc *m, uint32_t linear, bool write);
/* Where an address lies that the guest has just used: its page's TLB fill is remembered. */
static inline int64_t kc_translate_used(kc *m, uint32_t linear)
{
    const struct fill *fill = &m->fills[linear >> PAGE_SHIFT & (FILLS - 1)];

    if (!m->paging && !m->reference)
        return linear;
    return fill->linear == (linear & ~PAGE_MASK) ? (int64_t)(fill->physical | (linear & PAGE_MASK))
                                                  : kc_translate(m, linear);
}

static inline bool kc_was_fetched(const kc *m, uint64_t page) { return m->fetched[page >> 3] >> (page & 7) & 1; }

/* ram.c */
int kc_ram_init(kc *m);
void kc_ram_free(kc *m);
bool kc_is_mapped(const kc *m, uint64_t physical);
uint8_t *kc_page_list_add(struct page_list *list, uint32_t page, const uint8_t *bytes);
/* The bytes kept of a page, or NULL. */
uint8_t *kc_page_list_find(const struct page_list *list, uint32_t page);
void kc_page_list_clear(struct page_list *list);

/* written_pages.c */
/* The guest writes to a page that it has not written to since the TLB was flushed. */
void kc_watch_page(kc *m, uint32_t page);
/* The CPU sets bits of a word by itself. */
void kc_watch_mark(kc *m, uint64_t at, uint32_t bits);
/* A list for Python, valid until the next call with the same room. Returns its length; -1: no memory. */
int64_t kc_touched_of(struct touched_room *room, const struct page_list *list, const kc_touched **out);
int kc_watches_save(kc *m, struct snapshot *s);
void kc_watches_restore(kc *m, const struct snapshot *s);
void kc_watches_forget(struct snapshot *s);
void kc_watches_free(kc *m);

/* ports.c, probes.c */
int kc_ports_init(kc *m);
void kc_ports_free(kc *m);
void kc_probes_free(kc *m);
void kc_probes_reached(kc *m, uint32_t address);
/* The probes of the same instruction that come after this one, until something ends the run. */
void kc_probes_after(kc *m, const struct reached *last);
/* Probes that record have nothing to do any more. */
void kc_probes_stop_recording(kc *m);

/* calls.c */
void kc_call_entered(kc *m, uint32_t function, uint32_t esp);
void kc_call_left(kc *m, uint32_t esp);
int kc_progress_copy(struct progress *to, const struct progress *from);
void kc_progress_return(kc *m, const struct progress *to);
void kc_calls_free(kc *m);

/* unwinding.c */
/* A walk up the stack: return addresses, innermost first, and where they lie. */
struct walked {
    uint32_t count, number; /* of the stack; 0: it was not asked for yet */
    bool sure;              /* by rules only, to the end */
    uint32_t end;           /* of the outermost frame; 0: not known */
    uint32_t frames[KC_FRAMES], slots[KC_FRAMES];
};
int kc_stacks_init(kc *m);
/* From a function's entry, where `caller` is on top of the stack. The result is valid until the next walk. */
struct walked *kc_stack_at_entry(kc *m, uint32_t esp, uint32_t caller);
/* From any instruction: it is the first frame, its address + 1 as if it were a return address, and ESP its slot. */
struct walked *kc_stack_at(kc *m, uint32_t eip);
void kc_interrupt_pushed(kc *m, uint32_t at, uint32_t eip, uint32_t handler);
/* Has an interrupt come between the frames at [esp, end) of a stack? */
bool kc_is_interrupted(const kc *m, uint32_t esp, uint32_t end);
/* iret was executed with this ESP. */
void kc_interrupt_left(kc *m, uint32_t esp);
void kc_interrupts_return(kc *m, const struct pushed *to);
void kc_stacks_free(kc *m);

/* Does code lie at an address? */
bool kc_is_code(const kc *m, uint32_t address);

/* ancestry.c */
/* Where the function begins that an address lies in; 0: not known. */
uint32_t kc_function_start(const kc *m, uint32_t address);
/* Can the stack from `esp` on, with the return address `caller` on top, have grown out of an open call further up? */
bool kc_grew_from(kc *m, uint32_t esp, uint32_t caller, const struct open_call *open);
/* The same, out of a function or handler that was entered when its stack ended at `end`. */
bool kc_grew_below(kc *m, uint32_t esp, uint32_t caller, uint32_t entered, uint32_t end);
void kc_ancestry_free(kc *m);

/* stack_numbers.c */
/* The number of a stack; `call` is noted if it is a new one. 0: no memory, and kc_no_memory() was called. */
uint32_t kc_stack_number(kc *m, struct walked *walked, uint32_t call);
void kc_stack_numbers_free(kc *m);

/* watchpoints.c, step_logs.c */
void kc_watchpoints_free(kc *m);
void kc_step_logs_free(kc *m);

static inline uint32_t kc_reg(kc *m, int id)
{
    uint32_t value = 0;
    U.uc_reg_read(m->uc, id, &value);
    return value;
}

/* The linear address that EIP stands for: of the next instruction, or of the one that faulted. */
static inline uint32_t kc_pc(kc *m) { return kc_segment_base(m, CS) + kc_reg(m, UC_X86_REG_EIP); }

static inline uint32_t kc_esp(kc *m) { return m->esp ? *m->esp : kc_reg(m, UC_X86_REG_ESP); }
static inline uint32_t kc_eax(kc *m) { return m->eax ? *m->eax : kc_reg(m, UC_X86_REG_EAX); }
static inline uint32_t kc_ebp(kc *m) { return m->ebp ? *m->ebp : kc_reg(m, UC_X86_REG_EBP); }

static inline uint32_t kc_load32(const kc *m, uint64_t physical)
{
    uint32_t value;
    __builtin_memcpy(&value, m->memory + physical, sizeof value);
    return value;
}

/* Copy `count` words that lie at a linear address; words that are not mapped read as 0. */
static inline void kc_words(kc *m, uint32_t linear, uint32_t *out, uint32_t count)
{
    int64_t at = kc_translate_used(m, linear);
    bool one_page = (linear & PAGE_MASK) + 4 * count <= PAGE_SIZE;

    if (one_page && at >= 0 && (uint64_t)at + 4 * count <= m->memory_end) {
        __builtin_memcpy(out, m->memory + at, 4 * count);
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        at = kc_translate(m, linear + 4 * i);
        out[i] = at < 0 || (uint64_t)at + 4 > m->memory_end ? 0 : kc_load32(m, (uint64_t)at);
    }
}

/* The same of words on the stack, by ESP or EBP. */
static inline void kc_stack_words(kc *m, uint32_t at, uint32_t *out, uint32_t count)
{
    kc_words(m, kc_segment_base(m, SS) + at, out, count);
}

#endif
