/* Jobs that talk to each other by messages. One after the other, none interrupts another. */

#pragma once

#include <stdint.h>

enum job { SENSOR, CONTROL, LOGGER, JOBS };

struct message {
    struct message *next;
    uint32_t value;
    char text[24];
};

/* Messages that wait for a job; oldest first. */
struct queue {
    struct message *first;
    struct message *last;
    uint32_t length;
};

extern struct queue queues[JOBS];

/* Sends a message: 0, or -1 if there is no memory for it. */
int post(enum job to, const char *text, uint32_t value);

/* Runs the jobs until the sensor has measured so often and no message waits. */
void run_jobs(uint32_t measurements);
