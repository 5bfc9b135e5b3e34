/* The native core, as Python sees it (cffi reads the part between the markers).
 *
 * One `kc` is one emulated PC: a Unicorn engine, its physical RAM, and what must not run in Python:
 * TLB fills, port I/O, function probes, the record of calls, budgets, snapshots of RAM. Policy stays in Python.
 */
#ifndef KMEMU_CORE_H
#define KMEMU_CORE_H

#include <stdbool.h>
#include <stdint.h>

#include "analysis/analysis.h"

/* cdef begin */
typedef struct kc kc;

/* How a run ended. It has one reason: the first that is found. SIGINT and the clock, which come at any time, end a run only
 * if it has not ended by itself; a SIGINT that came too late for that ends the next run before its first instruction. */
enum kc_reason {
    KC_RUNNING,       /* not ended */
    KC_HALTED,        /* hlt; EIP is after it */
    KC_SPINS,         /* a loop that nothing can end; EIP is where it begins */
    KC_ASKED,         /* kc_stop_request(), from a device for example */
    KC_INSTRUCTIONS,  /* the instruction budget is used up */
    KC_TIME,          /* the budget of host seconds is used up */
    KC_INTERRUPTED,   /* SIGINT */
    KC_EXCEPTION,     /* an exception or interrupt without a handler, see kc_undelivered(): vector, error_code; address is CR2 for #PF */
    KC_UNMAPPED,      /* access to physical memory that is not there: address, access */
    KC_SLICE,         /* the slice is over: at a block's start, no instruction of it was executed */
    KC_EVENT,         /* the event asked for with kc_stop_at_event(), or the last that has a number */
    KC_STOP,          /* in front of an instruction, at a breakpoint or at the moment that kc_stop_at() has asked for */
    KC_BAD_ACCESS,    /* the first of its kind, see kc_sanitize_open(); EIP is at the instruction, which has done nothing yet or, as with
                       * rep, not all */
    KC_FAILED,        /* Unicorn gave up for another reason: uc_error */
    KC_NO_MEMORY      /* the host has no memory for what is kept of the run: whatever else ended it, and from then on every run */
};

/* What the guest needs and kmemu lacks: page tables of four levels, and a place for KASAN's shadow that RAM is mapped to. */
enum { KC_LONG_MODE = 1 << 16, KC_SHADOW_TAKEN };
enum kc_access { KC_READ, KC_WRITE, KC_FETCH };

typedef struct {
    int32_t reason;      /* enum kc_reason */
    uint32_t eip, pc;    /* pc: the linear address that EIP stands for */
    uint32_t vector;
    uint32_t error_code; /* of an exception that has one; else 0 */
    uint64_t address;    /* physical page for KC_UNMAPPED, linear address for #PF, the event's instruction for KC_EVENT */
    uint32_t linear;     /* the linear page for KC_UNMAPPED */
    int32_t access;      /* enum kc_access */
    int32_t uc_error;    /* or one of KC_LONG_MODE, KC_SHADOW_TAKEN */
    uint64_t instructions; /* executed by this run, its last block counted whole */
    uint32_t block, block_size, block_instructions; /* the last block, if it was counted whole; else block_instructions
                                                     * is 0 */
} kc_stop;

typedef struct {
    uint32_t eax, ecx, edx, ebx, esp, ebp, esi, edi;
    uint32_t eip, eflags, cr0, cr2, cr3, cr4;
    uint32_t es, cs, ss, ds, fs, gs;
    uint32_t gdt_base, gdt_limit, idt_base, idt_limit;
    uint32_t es_base, cs_base, ss_base, ds_base, fs_base, gs_base;
    uint32_t ldtr, ldt_base, ldt_limit, tr, tr_base, tr_limit;
} kc_registers;

typedef struct {
    uint32_t control, status, tags, code_segment, code, data_segment, data, opcode, mxcsr;
    uint8_t stack[8][10]; /* 64 bits of the significand, 16 of exponent and sign */
    uint8_t xmm[8][16];
} kc_fpu;

/* -- life: machine.c, unicorn/engine.c, core/ram.c --------------------------------------------- */

/* Load libunicorn. Returns NULL, or what is wrong with it. */
const char *kc_load(const char *library);
/* How the guest's accesses are made: by instructions of the host where that is possible, by the engine on the core's MMU, or on
 * Unicorn's own. */
enum kc_accesses { KC_FAST, KC_ORDINARY, KC_REFERENCE };
/* Make a machine with physical memory [0, memory_end). `handle` is passed to the Python callbacks. NULL: the host lacks something, or libunicorn keeps its CPU in a way that is not known. */
kc *kc_new(uint64_t memory_end, int accesses, void *handle);
void kc_delete(kc *m);
/* Make [start, end) of physical memory usable. Returns a Unicorn error, 0 when all is well. */
int kc_map_ram(kc *m, uint64_t start, uint64_t end);
/* [start, end) reads as what lies there in memory and ignores writes, as a ROM does. Only one has code. An undefined instruction
 * there raises no exception: bios() is called, and has to call kc_bios_return() or end the run. */
int kc_map_rom(kc *m, uint64_t start, uint64_t end, bool has_code);
/* Let Python answer accesses to [start, end), which lies outside of [0, memory_end) and below 4 GiB. Returns the window's number,
 * from 0; a Unicorn error, negative, if it cannot be. */
int kc_map_device(kc *m, uint64_t start, uint64_t end);
/* From now on 4 bytes at an offset in a window read so, without asking Python. -1: there are too many such. */
int kc_device_word(kc *m, uint32_t window, uint32_t offset, uint32_t value);
/* Pages below 4 GiB where neither RAM nor a device is. The first access to each ends the run with KC_UNMAPPED; kc_leave_open() lets
 * the guest go on: from then on the page reads as 0, as on QEMU's PC, writes vanish, and both are counted. Code there is never
 * executed. After KC_OPEN_PAGES of them all pages are open, counted as one with the number KC_OTHER_PAGES. */
enum { KC_OPEN_PAGES = 256, KC_OTHER_PAGES = 0xffffffff };
typedef struct { uint32_t page, padding; uint64_t reads, writes; } kc_open_page;
void kc_leave_open(kc *m, uint32_t page);
/* Those pages; valid until the next run or call of kc_leave_open(). */
const kc_open_page *kc_open_pages(const kc *m, uint32_t *count);
/* What a Unicorn error says, or one of KC_LONG_MODE, KC_SHADOW_TAKEN. */
const char *kc_error_text(int uc_error);

/* -- what holds of libunicorn: unicorn/interpose.c --------------------------------------------- */

/* The version of libunicorn, as uc_version() has it. */
uint32_t kc_unicorn_version(void);
/* What is found out about libunicorn when a machine is made or runs. */
enum {
    KC_REPLACED = 1,   /* it calls our functions in place of its own */
    KC_REGISTERS = 2,  /* the CPU's registers are read without a call */
    KC_COUNTS = 4,     /* a block has counted its instructions itself, and right */
    KC_NO_CHECKS = 8,  /* an exit check after an access was left out, in any machine */
    KC_FLAGS = 16,     /* instructions that load flags are noticed */
    KC_JUMPS_KEPT = 32 /* where an indirect jump leads was kept for the next one, in any machine */
};
uint32_t kc_facts(const kc *m);
/* The i-th function of libunicorn that is replaced or called besides the public ones, from 0, and whether there is one of this
 * name. NULL: there are no more. */
const char *kc_engine_function(uint32_t i, bool *found);

/* -- registers: core/registers.c --------------------------------------------------------------- */

void kc_get_registers(kc *m, kc_registers *out);
/* Read the registers of the FPU and of SSE; stack[0] is ST(0). */
void kc_get_fpu(kc *m, kc_fpu *out);
/* Write the general registers, EIP and EFLAGS. */
void kc_set_registers(kc *m, const kc_registers *in);
/* Let the machine stand at a function's first instruction, as if it had been called: its arguments, 16 at most, and where it returns to are pushed.
 * `before` gets the general registers, EIP and EFLAGS. Returns where that is: the first of kc_halt_ends() that lies at `end`, physical;
 * or -1, with nothing changed: none does, or what is pushed does not lie in one page of RAM. */
int64_t kc_call_enter(kc *m, uint32_t function, const uint32_t *arguments, uint32_t count, uint64_t end, kc_registers *before);
/* Put these registers back; return EAX as it was. */
uint32_t kc_call_leave(kc *m, const kc_registers *before);
/* Put the CPU into flat 32-bit protected mode with the descriptors that lie at gdt_base: code 0x08, data 0x10; CR4 is 0, the
 * IDT the interrupt vector table of real mode, the local table the first 64 KiB, as after a reset; the FPU is as FNINIT leaves it. Returns a Unicorn error or 0. */
int kc_set_flat(kc *m, uint32_t gdt_base, uint32_t gdt_limit);

/* From bios(): write the general registers, and go on at this EIP. */
void kc_bios_return(kc *m, const kc_registers *in);
/* From bios(): load ES with a segment of real mode. */
void kc_bios_load_es(kc *m, uint32_t segment);

/* -- one run: core/run.c, core/limits.c -------------------------------------------------------- */

/* Run from the current EIP. max_instructions (exact) and slice (instructions, to the next block): 0 is no limit. */
void kc_run(kc *m, uint64_t max_instructions, uint64_t slice, kc_stop *out);
/* From now on, until kc_time_unlimited(), runs end with KC_TIME once `seconds` are over. -1: there is no thread to be had, or a
 * limit already. */
int kc_time_limit(kc *m, double seconds);
void kc_time_unlimited(kc *m);
/* Somebody else has acted upon a SIGINT that came during the last run: the next run need not end for it. */
void kc_interruption_taken(kc *m);
/* Let SIGINT, SIGTERM and SIGHUP wait, as far as Python handles them: one that comes meanwhile comes again at the release. A second
 * one does not wait. */
void kc_signals_hold(kc *m);
/* May be called without a hold. */
void kc_signals_release(kc *m);
/* Whether nothing from outside ends the present run: its time, a signal. */
bool kc_may_run(const kc *m);
/* Where a machine stands in its run: in front of an instruction, after so many others, and after so many exceptions that were raised instead of
 * executing it or, as their handlers begin, after it. */
typedef struct { uint64_t instructions; uint32_t faults, padding; } kc_moment;
/* Now: between runs, and from the callback of a breakpoint. */
void kc_moment_now(const kc *m, kc_moment *out);
/* Runs end with KC_STOP in front of the first instruction at this moment or later, from now on; instructions UINT64_MAX: never. A run that
 * goes on after that is the run that was not stopped: interrupts come at the same instructions. Stops where the machine stands now are passed. False: blocks cannot count
 * themselves. */
bool kc_stop_at(kc *m, const kc_moment *moment);
/* They end with it where so many more instructions have begun from here on, too; 0: any number may. */
void kc_stop_after(kc *m, uint64_t instructions);
uint64_t kc_steps_left(const kc *m);
/* From now on runs end in front of the first instruction that would begin, which is a handler's where an interrupt comes before it. */
void kc_settle(kc *m, bool yes);
/* The newest exception whose handler was entered, and the one before it. */
void kc_faults(const kc *m, kc_moment *newest, kc_moment *before);
/* Between runs: is the next instruction the first of a handler, of an interrupt or an exception? */
bool kc_at_handler(const kc *m);
/* From now on they end where the handler of an exception begins, too. */
void kc_stop_at_faults(kc *m, bool yes);
/* Instructions of the present run, to the start of the present block. */
uint64_t kc_executed(kc *m);
/* From a callback: end the run at the next block. From a port's callback: at the `out`. */
void kc_stop_request(kc *m);
/* Forget all translated code, because hooks were added or bytes of code were changed from outside. */
void kc_flush_code(kc *m);
/* [physical, physical + size) of RAM was written from outside: it is initialised. Only kc_sanitize_open() makes that matter. */
void kc_memory_written(kc *m, uint64_t physical, uint64_t size);
/* The same, of what may be code: translations of it are forgotten. From a callback, too: the next block ends the slice. */
void kc_code_written(kc *m, uint64_t start, uint64_t size);

/* -- physical memory and snapshots: core/ram.c, core/snapshots.c ------------------------------- */

/* All of physical memory, [0, memory_end). */
uint8_t *kc_memory(kc *m);
/* The first page of RAM from an address on, a multiple of 4096, that anybody has touched; memory_end: none. All before it is zero, and reading it
 * would cost the host memory. */
uint64_t kc_next_touched(kc *m, uint64_t physical);
/* Keep the state of memory and CPU. Returns the snapshot's depth (0: the outermost); -1: the host lacks something. README.md says
 * what is kept. */
int kc_snapshot(kc *m);
/* Go back to a snapshot; it stays, those inside it are dropped. Returns 0; -1: the host lacks something. */
int kc_reset(kc *m, int depth);
/* The same, but those inside it stay ahead, where all parts of the machine can go forwards again (not with the reference MMU, nor where accesses are checked that
 * were not then). The run from there must be the one that led to them: who changes something calls kc_forget_ahead(). */
int kc_reset_keeping(kc *m, int depth);
/* How many are ahead, in order, and the depth of the one that the first of them follows. */
int kc_ahead(const kc *m, int *depth);
/* Go to the n-th of them, from 1: it is the newest then, whatever was executed meanwhile. Returns 0; -1: the host lacks something. */
int kc_advance(kc *m, int n);
void kc_forget_ahead(kc *m);
/* The newest snapshot was taken on the way to those ahead, which follow it from now on. */
void kc_lead_ahead(kc *m);
/* Forget one alone, those before and after it stay; position: among all, those ahead after the others. Returns 0; -1: it is the outermost, the newest or the farthest one,
 * or there is no memory: nothing has changed. */
int kc_snapshot_drop(kc *m, int position);
/* How much memory that takes which all of them keep of pages, and of arrays of checked accesses, in bytes. */
uint64_t kc_snapshot_bytes(const kc *m);
/* Forget a snapshot and those inside it; the state of the machine stays. Returns 0; -1: there is none of this depth. */
int kc_discard(kc *m, int depth);

/* Was this page of RAM written between a snapshot and the next one inside it? (Or before the machine went back to that snapshot; or
 * one near it, after a great many others.) */
bool kc_page_written(const kc *m, int depth, uint32_t page);
typedef struct { uint32_t page; const uint8_t *bytes; } kc_touched;
/* All such pages, as they were at the snapshot. Valid until the next call of this, kc_reset() and kc_discard(). -1: no memory. */
int64_t kc_pages_written(kc *m, int depth, const kc_touched **out);

/* -- KASAN's shadow: core/kasan.c ----------------------------------------------------------------- */

enum { KC_LINKED = 4 };
/* Let supervisors find the shadow that a kernel was compiled for with -fsanitize=kernel-address: the byte for an address lies at (address >> 3) +
 * offset. Once for a machine, before its first run, on the core's MMU. `moved`: by how much linear addresses of RAM may differ from the
 * physical ones, up to KC_LINKED values. Returns a Unicorn error or 0. */
int kc_kasan_open(kc *m, uint32_t offset, const uint32_t *moved, uint32_t count);
/* The byte for a linear address; 0 without such a shadow. */
uint8_t kc_kasan_value(const kc *m, uint32_t linear);
/* Set it; between runs only. */
void kc_kasan_set(kc *m, uint32_t linear, uint8_t value);

/* -- video memory: core/video.c ----------------------------------------------------------------- */

/* Say that the frame buffer is [start, end), outside of [0, memory_end), on page boundaries, a power of two in size. The host gives
 * memory for it when it is first needed; it is zero then. -1: it cannot lie there, or there is one already. */
int kc_video(kc *m, uint64_t start, uint64_t end);
/* The frame buffer, valid until kc_delete(). NULL: there is none, or the host has no memory. */
uint8_t *kc_video_memory(kc *m);
/* Make its first bytes zero, which they are if it was not needed yet. */
void kc_video_clear(kc *m, uint32_t size);
/* After KC_UNMAPPED: was this the first access to the frame buffer? The guest can go on then. */
bool kc_video_touched(kc *m, uint64_t physical);
/* What the CPU finds in the 64 KiB at 0xA0000: RAM, the frame buffer from an offset on, or its four planes, byte by byte. An offset
 * counts bytes of the frame buffer, of one plane where there are planes. On Unicorn's own MMU it is always RAM. -1: the host lacks
 * something, or there is no frame buffer. */
enum kc_window { KC_WINDOW_RAM, KC_WINDOW_LINEAR, KC_WINDOW_PLANES };
int kc_video_window(kc *m, int kind, uint32_t offset);
/* How the CPU gets at planes: what a VGA's sequencer and graphics controller hold of that, with masks of one bit a plane. */
typedef struct {
    bool chain4, odd_even;     /* the lowest bits of an address choose a plane */
    uint8_t map_mask;          /* planes that are written */
    uint8_t set, set_enabled;  /* what planes get instead of the CPU's bits, and which of them do */
    uint8_t compare, care;     /* reads tell which bits have this colour, in the planes that count */
    bool compares;             /* whether they do so */
    uint8_t operation, rotate; /* with the latches: 0 none, 1 and, 2 or, 3 xor; 0 to 7 bits to the right */
    uint8_t read_plane;        /* 0 to 3 */
    uint8_t write_mode;        /* 0 to 3 */
    uint8_t bit_mask;          /* bits that are not the latches' */
} kc_planes;
void kc_video_planes(kc *m, const kc_planes *planes);

/* -- fast accesses: core/windows.c --------------------------------------------------------------- */

/* Pages that translated code gets at without the engine now, and instructions that have been found to need it. */
typedef struct { bool is_there, is_near; uint32_t pages, slow; } kc_window;
void kc_window_now(const kc *m, kc_window *out);

/* -- page tables: core/mmu.c ------------------------------------------------------------------- */

/* Translate a linear address as the CPU would for a read by a supervisor, without side effects. -1: it is not mapped. */
int64_t kc_translate(kc *m, uint32_t linear);
/* Whether entries of page tables can forbid execution (EFER.NXE); -1: the CPU is in a mode that this machine does not have. */
int kc_forbids_execution(kc *m);
/* Where the page tables in use begin (CR3); 0: paging is off. */
uint32_t kc_page_tables(kc *m);
/* Let the TLB forget the page that a linear address is in, as after invlpg, or all pages. From a probe's callback, too. */
void kc_forget_translation(kc *m, uint32_t linear);
void kc_forget_translations(kc *m);
/* Page directories that were in CR3 and used, the last one first: what CR3 held, and a page that the directory mapped then, by its
 * linear and its physical address. Of more than KC_DIRECTORIES the last ones; `more` says so. None with `reference`. */
enum { KC_DIRECTORIES = 64 };
typedef struct { uint32_t cr3, linear; uint64_t physical; } kc_directory;
const kc_directory *kc_directories(const kc *m, uint32_t *count, bool *more);
/* Gate A20, which is on at first: off, bit 20 of the CPU's physical addresses is 0. Devices' accesses do not go through it. Between
 * runs, or from a port's callback. */
void kc_a20(kc *m, bool on);

/* -- written pages: observe/written_pages.c ---------------------------------------------------- */

/* Watch the pages that the guest writes: between begin and end each first write to a page keeps a copy of what
 * the page held. Many watches can be open at a time. One that belongs to a call of the guest is closed as soon as ESP is
 * seen outside of [low, high], and when registers are set from outside; snapshots keep it. high: where the call's return address lies;
 * 0: it belongs to none. Returns its number, which is not used again; 0: too many are open. */
uint32_t kc_watch_begin(kc *m, uint32_t low, uint32_t high);
/* A write from outside to [physical, physical + size) is to count as the guest's; call it before writing. */
void kc_watch_note(kc *m, uint64_t physical, uint64_t size);
/* An exception in the middle of a call pauses its watch until the handler has come back. */
enum kc_watch_state { KC_WATCH_CLOSED, KC_WATCH_GOES_ON, KC_WATCH_PAUSED, KC_WATCH_RESUMED /* it goes on, and was paused */ };
int kc_watch_state(kc *m, uint32_t number);
/* Close the watches of calls that cannot go on with this ESP. */
void kc_watch_leave(kc *m, uint32_t esp);
/* Close the watches of all calls. */
void kc_watch_drop_calls(kc *m);
/* End a watch. Returns how many pages were touched, and in `marked` those in which the CPU set bits (A and D) by itself:
 * only these bits are set there. Both are valid until the next call of this, kc_watch_begin() and kc_reset(). -1: it is not
 * open, or memory was short. */
int64_t kc_watch_end(kc *m, uint32_t number, const kc_touched **touched, const kc_touched **marked, uint32_t *marked_count);

/* -- interrupts: core/interrupts.c ------------------------------------------------------------- */

enum kc_kind { KC_FAULT, KC_SOFTWARE, KC_EXTERNAL };
/* An exception or interrupt on its way to a handler. */
typedef struct {
    uint32_t vector;
    int32_t kind;        /* enum kc_kind: an exception, an `int n` or its like, from a device */
    uint32_t error_code; /* 0 where there is none */
    uint32_t address;    /* of a page fault, linear */
    int32_t access;      /* of a page fault, enum kc_access */
    uint32_t length;     /* of the instruction: `int n`, or the hlt that it ends */
} kc_attempt;
enum { KC_ATTEMPTS = 4 };
/* After KC_EXCEPTION: what was tried, in order. What a CPU raises because one failed is the next one. The last is a double fault, or
 * cannot be delivered as things are. Valid until the next run. */
uint32_t kc_undelivered(const kc *m, const kc_attempt **attempts);
/* The newest exception that a handler was entered for, other than by `int n`. */
typedef struct {
    bool happened;
    uint32_t vector, eip; /* of the instruction that failed */
    uint32_t frame;       /* where EIP lies in what the CPU pushed, in the stack segment */
} kc_fault;
void kc_last_fault(const kc *m, kc_fault *out);
/* hlt at one of these (4 at most) ends a run, whoever could wake the CPU. -1: too many. */
int kc_halt_ends(kc *m, const uint32_t *eips, uint32_t count);

/* -- what the CPU says of itself: core/features.c ------------------------------------------------ */

/* Let cpuid say that there is a local APIC, and its base lie in the register for it; at first there is none. The guest may switch it
 * off in that register, once and for all: apic_off() tells so. */
void kc_local_apic(kc *m, bool there);

/* -- the interrupt controllers: core/pic.c ------------------------------------------------------ */

/* A device raises its line (0 to 15). */
void kc_pic_request(kc *m, uint32_t line);
/* Do they ask for an interrupt? */
bool kc_pic_pending(const kc *m);
/* Is the CPU asked for one, by them or by the local APIC? */
bool kc_irq_waits(const kc *m);
/* What the APICs say, which Python has. asks: the local one asks the CPU for an interrupt, and apic_acknowledge() tells its vector;
 * passes_pic: those of this pair reach the CPU, and come first; lines: of the board, one bit each, of which apic_line() is told; bit
 * KC_PIC_OUTPUT is the line from this pair to the CPU. */
enum { KC_PIC_OUTPUT = 16 };
void kc_apic_says(kc *m, bool asks, bool passes_pic, uint32_t lines);
/* The local APIC sends the CPU an NMI: it is taken with interrupts off, too, but not before an iret has come after the last one. */
void kc_nmi(kc *m);
/* Can a request of a line not reach the CPU as things stand? */
bool kc_pic_is_masked(const kc *m, uint32_t line);
/* The CPU takes the interrupt: its vector. Without a pending one it is the spurious line 7. */
uint32_t kc_pic_acknowledge(kc *m);
uint32_t kc_pic_in(kc *m, uint32_t port, int size);
void kc_pic_out(kc *m, uint32_t port, int size, uint32_t value);

/* -- virtual time: core/clock.c ----------------------------------------------------------------- */

/* Nanoseconds since the machine was made, with the instructions of the present run up to the end of the present block. */
uint64_t kc_clock_ns(const kc *m);
void kc_clock_rate(kc *m, uint32_t instruction_ns);
/* Between runs: so many instructions were executed by the last one. False: it has ended in the middle of a block, before whose end no timer
 * ticks. */
bool kc_clock_ran(kc *m, uint64_t instructions);
/* Runs end with KC_SLICE at this time, and idle() is called where hlt could wait so long: a timer of Python's ticks. */
void kc_clock_limit(kc *m, uint64_t due_ns);
/* When the next timer ticks whose line is open; UINT64_MAX: never. */
uint64_t kc_clock_next_wake(const kc *m);
/* The CPU waits: let the time be this, unless it is over. */
void kc_clock_skip_to(kc *m, uint64_t at_ns);
/* For how long the CPU has waited so far; snapshots do not bring this back. */
uint64_t kc_clock_waited(const kc *m);
/* -- the interval timer: core/pit.c ------------------------------------------------------------- */

/* Accesses of 1, 2 or 4 bytes to ports 0x40 to 0x43 and 0x61, byte by byte from consecutive ports. */
uint32_t kc_pit_in(kc *m, uint32_t port, int size);
void kc_pit_out(kc *m, uint32_t port, int size, uint32_t value);

/* -- ports: core/ports.c ----------------------------------------------------------------------- */

enum kc_port { KC_OPEN, KC_DEVICE, KC_SINK, KC_CONSTANT, KC_PIC, KC_PIT, KC_CLOCK };
/* How a port answers: KC_OPEN floats (reads all ones), KC_DEVICE asks Python, KC_SINK appends the byte to console
 * number `value`, KC_CONSTANT reads as `value`: these two hold for single bytes; wider accesses ask Python. KC_PIC belongs to the
 * interrupt controllers, KC_PIT to the interval timer. */
void kc_port_out(kc *m, uint16_t port, int mode, uint8_t value);
void kc_port_in(kc *m, uint16_t port, int mode, uint8_t value);
/* KC_CLOCK: a port reads, in any size, as virtual time in clocks of this frequency (Hz), of which there are 24 bits. */
void kc_port_in_clock(kc *m, uint16_t port, uint32_t frequency);
/* From this virtual time on, a port with KC_CONSTANT asks Python nevertheless. */
void kc_port_in_until(kc *m, uint16_t port, uint64_t until_ns);
void kc_console_flush(kc *m);
/* Hand over what was written whenever this byte is, besides a newline; -1: no other one. */
void kc_console_flush_at(kc *m, int byte);
/* What was read and written, in accesses, and where first: EIP, 0 if never. */
typedef struct { uint32_t port, first_read, first_write, padding; uint64_t reads, writes; } kc_port_use;
/* The ports that were accessed, in order of the first access, KC_PORTS_USED at most; valid until the next run. */
enum { KC_PORTS_USED = 1024 };
const kc_port_use *kc_ports_used(const kc *m, uint32_t *count);
/* What the guest read last that was no memory: a port, or KC_MEMORY and the number of a page; KC_MEMORY alone: nothing yet. Returns
 * how many instructions ago that was, in whole blocks. */
enum { KC_MEMORY = 1 << 24 };
uint64_t kc_last_read(const kc *m, uint32_t *where);

/* A port through which a block of bytes passes in accesses of 2 or 4 bytes: bytes [position, end) of the buffer are still to pass.
 * The core moves all but the last of them; that access, and those that do not fit, ask Python, as KC_DEVICE does. */
enum { KC_DATA_PORTS = 4, KC_DATA_SIZE = 8192 };
typedef struct {
    uint32_t position, end;
    uint8_t to_guest; /* the guest reads them; else it writes them */
    uint8_t buffer[KC_DATA_SIZE];
} kc_data_port;
/* Make a port one of these, for ever. NULL: there are KC_DATA_PORTS, or no memory. */
kc_data_port *kc_data_port_add(kc *m, uint16_t port);

/* -- memory, as devices get at it: core/dma.c -------------------------------------------------- */

/* A device writes to RAM; what is not there does not change. Translated code is dropped where it changes: the run that goes on
 * ends then, as by kc_stop_request(). */
void kc_dma_write(kc *m, uint64_t physical, const uint8_t *bytes, uint32_t size);

/* -- probes: observe/probes.c ------------------------------------------------------------------ */

enum kc_probe_kind {
    KC_ENTRY,
    KC_EXIT,
    KC_JUMP,   /* to the entry of a recorded function */
    KC_NO_JUMP /* where such a jump is not taken */
};
enum kc_probe_action { KC_RECORD = 1, KC_NOTIFY = 2, KC_REPLACE = 4, KC_REPORT = 8 /* the core's own: see kc_report */ };

/* Watch one instruction (address: linear). `number` is that of a recorded function, or what the Python callback gets.
 * actions: bits of kc_probe_action. Probes of one instruction are reached in the order in which they were added. Code that was
 * translated before does not reach it: see kc_flush_code(). Returns the probe's identity, from 1, which is not used again; a
 * Unicorn error, negative, if it cannot be. */
int32_t kc_probe_add(kc *m, uint32_t address, uint32_t number, int kind, int actions);
/* Remove a probe, between runs only. False: there is none of this identity. */
bool kc_probe_remove(kc *m, uint32_t identity);
/* Switch the probes that call the Python callback of this number off or on again; new ones are on. */
void kc_probes_switch(kc *m, uint32_t number, bool on);

/* -- recorded calls: record/calls.c ------------------------------------------------------------ */

enum { KC_ROWS = 32768, KC_VALUES = 8, KC_ENTRIES = 1024, KC_OPERATIONS = 4096, KC_DEPTH = 16 };

/* A value of a call, as it is in front of the function's first instruction. The operand says how many bytes above ESP a word of the stack
 * lies, which register it is as instructions encode it, what a constant is, or which operation computes it first; later ones may be
 * computed from those before. */
enum { KC_NOTHING, KC_ON_STACK, KC_IN_REGISTER, KC_IMMEDIATE, KC_COMPUTED };
typedef struct {
    uint32_t kind, operand;
} kc_value;

/* An operation of a computation on a stack of words, which never holds more than KC_DEPTH; the last one is KC_END. The operand is what
 * KC_PUSH pushes, or the number of a value. Loads are from the data segment. To divide by 0 gives 0, as does an address where nothing is. */
enum {
    KC_END, KC_PUSH, KC_VALUE, KC_RESULT, KC_LOAD8, KC_LOAD16, KC_LOAD32, KC_ADD, KC_SUBTRACT, KC_MULTIPLY, KC_DIVIDE, KC_AND, KC_OR,
    KC_SHIFT_LEFT, KC_SHIFT_RIGHT, KC_EQUAL, KC_DIFFERENT, KC_LESS
};
typedef struct {
    uint32_t kind, operand;
} kc_operation;

/* Where a function is entered. Compilers make several copies of one. */
typedef struct {
    uint32_t start, end;           /* its code */
    uint32_t physical;             /* where it was loaded */
    uint32_t head_start, head_end; /* of the function of which it is a piece only: from there it is entered without a call */
    uint32_t function;             /* its number in the rows, below 128 */
    uint32_t value_count;
    kc_value values[KC_VALUES];
    int32_t block; /* the first operation that computes, at its return, which block it has made; -1: none does */
    bool takes;    /* it takes memory, and can say that there is none: its entries are allocations */
    bool inlined;  /* a copy inside of another function: nobody calls it, and it does not return */
} kc_call_entry;

/* Calls in order of entry, as columns. Events (entries and exits) and calls are numbered from 1. */
typedef struct {
    uint32_t first_call, rows;
    uint64_t time_ns[KC_ROWS], left_time_ns[KC_ROWS]; /* virtual */
    uint32_t parent[KC_ROWS];                 /* the recorded call that it is nested in; 0: none */
    uint32_t entered[KC_ROWS], left[KC_ROWS]; /* numbers of events; left is 0 while it has not returned */
    uint32_t values[KC_VALUES][KC_ROWS], result[KC_ROWS] /* EAX */;
    uint32_t out[KC_ROWS]; /* the block, where it is computed */
    uint32_t esp[KC_ROWS];                      /* at entry: the return address lies there */
    uint32_t stack[KC_ROWS];                    /* see kc_stack() */
    uint8_t depth[KC_ROWS], function[KC_ROWS], returned[KC_ROWS];
} kc_calls;

/* A call that returned after its row was handed over. */
typedef struct { uint64_t left_time_ns; uint32_t call, left, result, out; } kc_late;

/* Record calls at `count` entries from now on, which probes number as in the array; 0 ends the recording. -1: no memory. */
int kc_record(kc *m, const kc_call_entry *entries, uint32_t count, const kc_operation *operations,
              uint32_t operation_count);
/* The rows since the last hand-over. Full, they are handed over to Python; at any other time by whoever asks. */
const kc_calls *kc_calls_now(kc *m);
const kc_late *kc_calls_late(kc *m, uint32_t *count);
void kc_calls_taken(kc *m);
/* Whether full rows are handed over; else the oldest are forgotten. */
void kc_calls_hand_over(kc *m, bool yes);
/* Call kc_python.entered at the entry of each n-th call from now on, before its first instruction; 0: never. */
void kc_notify_every(kc *m, uint32_t calls);
uint32_t kc_events(kc *m);
/* Calls that were entered and have not returned; those of tasks that wait are among them. */
uint32_t kc_open_calls(kc *m);
/* Runs end with KC_EVENT at this event: in front of the function's first instruction, or after its ret. 0: never.
 * From the first such request on, translated code is slower. */
void kc_stop_at_event(kc *m, uint32_t event);

/* From now on calls are not recorded, and accesses not checked, until that ends: whoever does this goes back to a snapshot before then, and takes none. Where the kernel
 * checks its own accesses by what is known of blocks, all goes on. */
void kc_record_nothing(kc *m, bool nothing);
/* Does the machine stand at a function's first instruction, whose call is the newest event? */
bool kc_stands_at_event(kc *m);

/* Allocations are the entries of functions that take memory. They are numbered from 1, without those that are passed. */
uint32_t kc_allocations(kc *m);
/* Runs end with KC_EVENT in front of the first instruction of the n-th allocation from now. 0: never. */
void kc_stop_at_allocation(kc *m, uint32_t n);
/* Whether allocations with this call stack are passed from now on: they get no numbers. */
void kc_pass_stack(kc *m, uint32_t stack, bool yes);
/* Number of the allocation that the machine stands at since the last run; 0: at none. */
uint32_t kc_at_allocation(kc *m);
/* Leave the function (cdecl) at whose entry a run has ended: it has returned `eax`, and done nothing. -1: there is none. */
int kc_return(kc *m, uint32_t eax);

/* -- call stacks: record/unwinding.c, record/stack_numbers.c, record/functions.c --------------- */

enum { KC_FRAMES = 64, KC_CODE_RANGES = 16, KC_NOTHING_KNOWN = 0 /* the last word of a stack that may have more frames */ };

/* How to leave a frame, from `start` up to the next rule. The return address lies at CFA - 4. */
typedef struct {
    uint32_t start;
    int32_t cfa_offset, ebp_offset; /* of the CFA; the caller's EBP at CFA + ebp_offset, 0: still in EBP */
    uint32_t cfa_register;          /* 0: not known, 1: ESP, 2: EBP */
} kc_rule;
/* Rules in ascending order, and the ranges [start, end) in which code lies. -1: no memory, or too many ranges. */
int kc_unwind(kc *m, const kc_rule *rules, uint32_t count, const uint32_t *ranges, uint32_t range_count);
/* Where the functions of the kernel begin and end, ascending, and where it starts: for code without rules, see functions.c. -1: no
 * memory. */
typedef struct {
    uint32_t start, end;
} kc_extent;
int kc_functions(kc *m, const kc_extent *functions, uint32_t count, uint32_t entry);
/* Stacks met so far; they are numbered from 1. */
uint32_t kc_stack_count(kc *m);
/* Return addresses, innermost first, and how many; the last is KC_NOTHING_KNOWN where more calls may be around them. `call` is the
 * first call with this stack, 0 for those that observers have kept: they are numbered apart and not among the count. */
const uint32_t *kc_stack(kc *m, uint32_t stack, uint32_t *count, uint32_t *call);
/* The calls around an instruction, innermost first: their return addresses, as in kc_stack(), and where these lie in the stack
 * segment. */
typedef struct {
    uint32_t count;
    const uint32_t *return_addresses, *slots;
    uint32_t end; /* of the outermost frame; 0: not known */
} kc_callers;
/* The calls around the instruction at `eip`, at which no run goes on. What `out` points to is valid until the next unwinding. */
void kc_callers_of(kc *m, uint32_t eip, kc_callers *out);
/* A call, its return address lies at `esp`, and the calls around it; `ebp` is its caller's. */
void kc_callers_of_call(kc *m, uint32_t esp, uint32_t ebp, kc_callers *out);

/* -- breakpoints: observe/stops.c -------------------------------------------------------------- */

/* Runs end with KC_STOP in front of the instruction at a linear address, before its probes are reached. asks: only where kc_python.stops() says so.
 * Between runs only, as is kc_breakpoint_remove(). Returns the breakpoint's number, from 1, which is not used again; -1: no memory. */
int32_t kc_breakpoint_add(kc *m, uint32_t address, bool asks);
bool kc_breakpoint_remove(kc *m, uint32_t number);
/* What breakpoints do from now on: end runs; note where they were reached, before a moment; nothing. */
enum kc_stopping { KC_STOPS, KC_NOTES, KC_IGNORES };
void kc_stopping(kc *m, int mode, const kc_moment *notes_before);
/* The breakpoint that was reached last since kc_stopping(), and when; 0: none. */
uint32_t kc_breakpoint_reached(const kc *m, kc_moment *when);

/* An instruction that was executed: when, its linear address, and ESP; is_handler: a handler of an interrupt or exception has begun with it. */
typedef struct { kc_moment moment; uint32_t pc, esp, is_handler, padding; } kc_position;
/* Keep the newest `size` instructions of the runs from now on, which are slower, until kc_trail_close(). False: no memory. */
bool kc_trail_open(kc *m, uint32_t size);
void kc_trail_close(kc *m);
/* Those, the oldest first, and how many: `size` at most. */
uint32_t kc_trail(const kc *m, kc_position *out);

/* -- who wrote a word: observe/watchpoints.c --------------------------------------------------- */

typedef struct {
    uint32_t eip, pc;    /* pc: linear */
    uint32_t event;      /* the one before it; 0: none yet */
    uint32_t before, after, stack; /* of the bytes watched, little-endian; stack: see kc_stack() */
    uint64_t count;      /* of writes so far; 0: there was none, and the rest says nothing */
} kc_write;
/* The last write to the bytes, and the first and the last that changed them. */
typedef struct { kc_write last, first_change, last_change; } kc_writes;
/* Record the writes to [physical, physical + size) in the runs from now on; before and after are the first 4 bytes. What costs time are writes to the same page. Any number of
 * watchpoints may be open, on the same bytes, too. Between runs only, as is kc_watchpoint_close(). Returns the watchpoint's
 * number, from 1, which is not used again; a Unicorn error, negative, if it cannot be. */
int32_t kc_watchpoint_open(kc *m, uint32_t physical, uint32_t size);
/* What was written since it was opened. False: the watchpoint is not open. */
bool kc_watchpoint_writes(kc *m, uint32_t number, kc_writes *out);
void kc_watchpoint_close(kc *m, uint32_t number);
/* An access of watched bytes: where the instruction stood, its linear address, and the bytes before and after, until the next one. */
typedef struct {
    kc_moment moment;
    uint32_t eip, pc;
    bool is_write, is_instructions, is_models; /* the instruction itself has made it, or a model; else the CPU by itself, or a device */
    uint64_t count;          /* of accesses by then */
    const uint8_t *before, *after;
} kc_watch_hit;
/* A watchpoint that ends runs with KC_STOP, in front of the next instruction, perhaps where Python says so; or that only keeps the newest access. access: bits 1 << KC_READ,
 * 1 << KC_WRITE. Its number is that of a breakpoint with the bit KC_WATCHES. */
enum { KC_WATCHES = 1 << 30 };
enum kc_then { KC_ENDS_RUN, KC_ASKS, KC_ONLY_KEEPS };
int32_t kc_watch(kc *m, uint32_t physical, uint32_t size, uint32_t access, int then);
/* From a callback: a model is going to write to RAM. */
void kc_write_follows(kc *m, uint64_t physical, uint64_t size);
/* Its newest access that has counted; the bytes after it are not known yet where it only keeps it. False: there was none. */
bool kc_watch_hit_of(const kc *m, uint32_t number, kc_watch_hit *out);

/* -- translations that page tables no longer say: observe/stale_translations.c ------------------ */

/* An access by a translation that a TLB may still hold, though an entry of the page tables that it came from says something else by
 * now. The TLB of this CPU holds it: the access is made as if the entry had not changed. */
typedef struct {
    uint32_t linear, eip, pc;     /* what was accessed, and by which instruction; pc: linear */
    uint32_t access;              /* enum kc_access */
    uint32_t event, stack;        /* the last event before it, and see kc_stack() */
    uint64_t held, now;           /* the page's frame; now is 0 with now_rights 0: the page is not mapped */
    uint32_t held_rights, now_rights; /* bits KC_PRESENT, KC_WRITABLE, KC_FOR_USERS */
    uint32_t entry_at, padding;   /* physical address of the entry that was changed */
    kc_write change;              /* the write that did it; count 0: it was none of the guest's instructions */
} kc_stale_use;
enum { KC_PRESENT = 1, KC_WRITABLE = 2, KC_FOR_USERS = 4 };
enum { KC_STALE_USES = 256 };
/* Look for such accesses from now on, as often as this is called, until kc_stale_close() was called as often, with the same; between runs only. The
 * TLB is empty then. Slower, where page tables are written to. `each_load`: follow each load of CR3, however long that takes. Returns 0, or a Unicorn error,
 * negative: no memory, or the MMU is not the core's. */
int kc_stale_open(kc *m, bool each_load);
void kc_stale_close(kc *m, bool each_load);
/* Those since the first opening, the first KC_STALE_USES of them; of each change of an entry the first. Returns how many there
 * were. What `uses` points to is valid while the machine is. */
uint32_t kc_stale_uses(const kc *m, const kc_stale_use **uses);
/* Were all uses found? Once loads of CR3 were so many that to follow each of them took too long, a use may be missed. */
bool kc_stale_is_whole(const kc *m);

/* -- instructions of the kernel that access page zero: observe/null_accesses.c ------------------ */

/* Accesses of linear addresses 0 to 0xfff by one instruction, with one call stack. */
typedef struct {
    uint32_t linear, size;   /* of the first one: what was accessed; of code that was executed the first byte */
    uint32_t access;         /* enum kc_access */
    uint32_t event, stack;   /* the last event before the first one, and see kc_stack() */
    uint32_t count;          /* an access in pieces, because it is not aligned, counts once */
    kc_registers registers;  /* at the first one */
    uint64_t last_ns;        /* the virtual time of the last one */
} kc_null_access;
typedef struct {
    uint32_t kept, looks; /* how many of these there are; how many accesses were looked at */
    uint32_t old_modes_event;
    bool missed;          /* there were more */
    bool old_modes;       /* code of real mode or virtual-8086 mode accessed page zero, after old_modes_event the last time */
    bool has_tables;      /* the CPU's tables of interrupts, segments or pages lay there at one of these accesses */
    kc_null_access fault; /* the last one that made a page fault, which is not among those that are kept; count 0: none did */
} kc_page_zero;
enum { KC_NULL_ACCESSES = 512, KC_NULL_LOOKS = 1 << 18 };
/* Keep such accesses from now on, as often as this is called, until kc_null_close() was called as often; between runs only. Other
 * pages are accessed as fast as without. What is kept belongs to the state of the machine: snapshots keep it. */
void kc_null_open(kc *m);
void kc_null_close(kc *m);
/* Those that are kept, valid while the machine is; they change when it runs. */
const kc_null_access *kc_null_accesses(const kc *m, kc_page_zero *summary);

/* -- accesses of memory that no allocator has handed out: observe/checked_accesses.c, record/blocks.c, core/shadow.c -- */

/* Why a byte of RAM may not be accessed, or read. */
enum kc_poison {
    KC_ACCESSIBLE = 0, /* it may; all others have bit 7 set, and bits 4 to 6 not: see unicorn/fast_accesses.c */
    KC_UNINITIALISED = 0x80, /* it may be written, and is initialised then; bit 0 is clear */
    KC_FREED = 0x81,   /* it lay in a block that was given back; bit 0 is set of this one and the others: no access at all */
    KC_GAP = 0x83,     /* an allocator has it, and no block lies there */
    KC_REDZONE = 0x85, /* it lies next to a block, and in none */
    KC_RETURN = 0x84,  /* a call has pushed it, and has not returned: it may be accessed, but stores are looked at. Bit 0 is clear */
    KC_READ_ONLY = 0x87, /* it is the kernel's code, or a constant: it may be read. The shadow never has it, nor those below */
    KC_BELOW_STACK = 4, /* it lies below ESP, while interrupts are on that push there */
    /* What only code says that was compiled with KASAN: */
    KC_STACK = 1,      /* it lies next to a variable of a function that goes on */
    KC_SCOPE = 2,      /* it is a variable's whose scope was left */
    KC_GLOBAL = 3      /* it lies next to a static variable */
};
/* Bits of a byte of the shadow. KC_WRITTEN, where nobody may access it: the byte was written since, by its allocator. KC_MARKED with
 * KC_UNINITIALISED: some bits of it are, see observe/definedness.c. */
enum { KC_NO_ACCESS = 1, KC_MARKED = 2, KC_WRITTEN = 8, KC_POISONED = 0x80 };
enum { KC_REDZONE_SIZE = 16 }; /* bytes on each side of a block, at most */

/* A block: an address as the kernel knows it, of an area of frames a physical one. */
typedef struct {
    uint32_t start, size; /* size 0: not known */
    uint32_t area;
    uint32_t born, birth; /* the event, and the call that made it */
    uint32_t died, death; /* the same of its end; death 0: it lives, or its place was handed out again */
} kc_block;

/* A function that compiled code calls before it accesses what it takes for inaccessible; or, with `variables`, one without checks that
 * accesses what it is given, as memset() does: only what lies beside variables is reported then. `pointer`, `length`: numbers of
 * arguments on the stack, from 0; the length counts if `size` is 0. */
typedef struct { uint32_t address, size; uint8_t pointer, length; bool write, variables; } kc_report;

/* What to check. */
typedef struct {
    const kc_block_function *functions; /* by their numbers in the rows */
    const uint32_t *failures;           /* pairs: the first and the last result of a range */
    const kc_extent *objects;   /* physical addresses of what the kernel has of its own, variables and sections; ascending, and none overlaps
                                 * another: a block in one has no redzone outside of it */
    const kc_extent *allocator; /* code, linear, ascending, that may access all memory, besides that of the recorded functions */
    const kc_extent *read_only; /* physical addresses, ascending, none overlaps another: the kernel only reads what lies there, and on the
                                 * same pages nothing is that it writes to; as long as no allocator has handed them out */
    const kc_extent *compiled;  /* code, linear, ascending, that checks its accesses itself, and calls one of: */
    const kc_report *reports;
    uint32_t function_count, failure_count, object_count, allocator_count, read_only_count, compiled_count, report_count;
    bool uninitialised; /* uses of values that were never written, too */
    bool ends_run; /* with KC_BAD_ACCESS, at each access that is kept as a new one: in front of its instruction */
} kc_checking;

/* What an instruction does with a value that was never written. */
enum kc_use { KC_NO_USE, KC_USE_BRANCH /* depends on it */, KC_USE_ADDRESS /* accesses memory there, or jumps to it */, KC_USE_OUTPUT /* hands it to a device */ };

/* Accesses of such memory by one instruction, with one call stack, for one reason. Of KC_UNINITIALISED: uses of a value that was read there. */
enum { KC_AROUND = 64, KC_BAD_ACCESSES = 512 };
typedef struct {
    uint32_t linear, physical, size; /* of the first one: what was accessed */
    uint32_t access;         /* enum kc_access */
    uint32_t poison;         /* enum kc_poison, of the first byte that may not be accessed */
    uint32_t offset;         /* of that byte, from `linear` */
    uint32_t event, stack;   /* the last event before the first one, and see kc_stack() */
    uint32_t count;
    uint64_t time_ns, last_ns; /* the virtual time of the first and of the last one */
    uint32_t use, read_at;   /* enum kc_use; where the value was read, linear. Else 0 */
    kc_registers registers;  /* at the first one; of compiled code at the call that has reported it */
    bool has_block;          /* the block that it concerns is known */
    int32_t distance;        /* from the block's start to that byte, in bytes; negative: it lies below */
    kc_block block;
    /* KC_STACK, KC_SCOPE: where the function's variables begin (linear), with a word that says so; 0: not known. KC_RETURN: where the return
     * address lies, what it is, and an instruction of the function that it belongs to. KC_BELOW_STACK: ESP (linear). */
    uint32_t frame;
    uint32_t variables;      /* the next word there: a string that describes them */
    uint32_t owner;          /* and the next: their function */
    uint32_t around;         /* physical, a multiple of 16: where the bytes below begin. Outside of RAM they are 0 */
    uint8_t memory[KC_AROUND], shadow[KC_AROUND]; /* at the first one; enum kc_poison */
} kc_bad_access;

/* Check the kernel's accesses from now on, until kc_sanitize_close(); while calls are recorded, between runs only. What is kept
 * belongs to the state of the machine, as do the blocks: snapshots keep it, but one from before brings back that nothing is known.
 * With the core's MMU only. Returns 0; 1: no calls are recorded, or they are checked already; a Unicorn error, negative: no memory. */
int kc_sanitize_open(kc *m, const kc_checking *checks);
void kc_sanitize_close(kc *m);
/* Those that are kept, valid until kc_sanitize_close(); they change when the machine runs. */
const kc_bad_access *kc_bad_accesses(const kc *m, uint32_t *count, bool *missed);
/* Are all stores to return addresses among them? That needs a fast window, and to know where functions that store have theirs. */
bool kc_finds_returns(const kc *m);
/* The bytes of the shadow, enum kc_poison, of [0, memory_end); valid until kc_sanitize_close(). */
const uint8_t *kc_shadow_bytes(const kc *m);
/* The blocks that live, as calls have returned, by area and address, and those that died lately, the oldest first; pages with the same
 * life are one. Valid until the next of these calls, and the next run. NULL: no memory. */
const kc_block *kc_live_blocks(kc *m, uint32_t *count);
const kc_block *kc_dead_blocks(kc *m, uint32_t *count);

/* -- what a piece of code does: observe/step_logs.c -------------------------------------------- */

enum { KC_INSTRUCTION, KC_LOAD, KC_STORE };
/* An instruction (address: linear, size: its length), or an access of the instruction before (address: physical). */
typedef struct { uint64_t value; uint32_t address; uint16_t size; uint16_t kind; } kc_step;
/* Record the first `limit` steps of the runs from now on, which are much slower. Any number of logs may be open. Between runs
 * only, as is kc_step_log_close(). Returns the log's number, from 1, which is not used again; a Unicorn error, negative, if it
 * cannot be. */
int32_t kc_step_log_open(kc *m, uint32_t limit);
/* The steps so far, valid until the log is closed; NULL: it is not open. */
const kc_step *kc_step_log(const kc *m, uint32_t number, uint32_t *count);
void kc_step_log_close(kc *m, uint32_t number);
/* cdef end */

/* Called into Python (declared as extern "Python" in build.py). */
typedef struct {
    uint32_t (*port_read)(void *handle, uint32_t port, int32_t size);
    void (*port_write)(void *handle, uint32_t port, int32_t size, uint32_t value);
    uint32_t (*memory_read)(void *handle, uint32_t window, uint32_t offset, int32_t size);
    void (*memory_write)(void *handle, uint32_t window, uint32_t offset, int32_t size, uint32_t value);
    void (*console)(void *handle, uint32_t number, const uint8_t *bytes, uint32_t count);
    uint32_t (*probe)(void *handle, uint32_t number, uint32_t kind, uint32_t esp, uint32_t eax);
    void (*calls)(void *handle);
    void (*entered)(void *handle);
    void (*idle)(void *handle);
    uint32_t (*apic_acknowledge)(void *handle);
    void (*apic_line)(void *handle, uint32_t line);
    void (*apic_off)(void *handle);
    void (*bios)(void *handle);
    uint32_t (*stops)(void *handle, uint32_t breakpoint); /* whether it counts */
} kc_python;
void kc_set_python(const kc_python *callbacks);

#endif
