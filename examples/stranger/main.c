/* A kernel that kmemu has never heard of. */

#include "jobs.h"
#include "pool.h"
#include "serial.h"

/* Called by boot.S. */
_Noreturn void start(void);

void start(void)
{
    serial_open();
    pool_open();
    say("stranger: up\n");
    run_jobs(12);
    say("free: ");
    say_number(pool.free_bytes);
    say(" bytes\n");
    power_off(0);
}
