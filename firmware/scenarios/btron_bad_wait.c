/*
 * Theory of operation
 *
 * Two tasks need a block of each of two pools, which have one each. They take them in opposite orders, and wait for each
 * other. When nobody is ready the director puts the CPU to sleep for good: all that could wake it would be a task.
 *
 * Shortcomings
 *
 * None intended beyond the deadlock.
 */

#include "common/cpu.h"
#include "scenarios/btron.h"

enum { DIRECTOR = 1, READER = 2, WRITER = 3, LAZY = 30, MIDDLE = 20, URGENT = 10 };
enum { INPUT = 1, OUTPUT = 2, BLOCK_BYTES = 64 };

static UW done;

static void put_back(VP input, VP output)
{
    check(rel_blf(OUTPUT, output) == E_OK && rel_blf(INPUT, input) == E_OK, "both buffers are put back");
    done++;
    ext_tsk();
}

static void write_reply(INT stacd, VP exinf)
{
    VP input, output;

    (void)stacd;
    (void)exinf;
    if (CORRECT) {
        get_blf(&input, INPUT);
        get_blf(&output, OUTPUT);
    } else {
        get_blf(&output, OUTPUT);
        get_blf(&input, INPUT);
    }
    put_back(input, output);
}

static void read_request(INT stacd, VP exinf)
{
    VP input, output;

    (void)stacd;
    (void)exinf;
    get_blf(&input, INPUT);
    start_task(WRITER, URGENT, write_reply, 0);
    get_blf(&output, OUTPUT); /* finding: deadlock */
    put_back(input, output);
}

static void direct(INT stacd, VP exinf)
{
    T_CMPF pool = {.mpfatr = TA_TFIFO, .mpfcnt = 1, .blfsz = BLOCK_BYTES};

    (void)stacd;
    (void)exinf;
    section("A reader and a writer share two buffers");
    check(cre_mpf(INPUT, &pool) == E_OK && cre_mpf(OUTPUT, &pool) == E_OK, "two pools of one block each");
    start_task(READER, MIDDLE, read_request, 0);
    if (done == 2) {
        finish();
    }
    console_write("  nobody is ready: the CPU sleeps\n");
    for (;;) {
        cpu_disable_interrupts();
        cpu_halt();
    }
}

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    btron_boot(magic, info);
    console_write("BTRON/386 btron_bad_wait: two tasks wait for each other\n");
    start_task(DIRECTOR, LAZY, direct, 0);
    tasks_run();
}
