/*
 * A sensor measures, the controller reads what it measured and reports to the logger when that is too much. Each message
 * is a block of the pool, and belongs to the job that takes it out of its queue.
 */

#include "jobs.h"

#include "pool.h"
#include "serial.h"

enum { WINDOW = 5, TOO_MUCH = 65, ALARM = 70 };

struct queue queues[JOBS];

int post(enum job to, const char *text, uint32_t value)
{
    struct queue *queue = &queues[to];
    struct message *message = pool_take(sizeof(*message));

    if (message == NULL) {
        return -1;
    }
    message->next = NULL;
    message->value = value;
    unsigned i = 0;
    while (text[i] != '\0' && i < sizeof(message->text) - 1) {
        message->text[i] = text[i];
        i++;
    }
    message->text[i] = '\0';
    if (queue->first == NULL) {
        queue->first = message;
    } else {
        queue->last->next = message;
    }
    queue->last = message;
    queue->length++;
    return 0;
}

static struct message *next_message(enum job job)
{
    struct queue *queue = &queues[job];
    struct message *message = queue->first;

    if (message != NULL) {
        queue->first = message->next;
        if (queue->first == NULL) {
            queue->last = NULL;
        }
        queue->length--;
    }
    return message;
}

static void sensor(uint32_t time)
{
    if (post(CONTROL, "temperature", 60 + time * time % 17) != 0) {
        say("sensor: no memory\n");
    }
}

/* The middle one of the last values. The table that is sorted for it is there only as long as it is needed. */
static uint32_t median(uint32_t value)
{
    static uint32_t last[WINDOW];
    static uint32_t count;
    void *place;

    last[count++ % WINDOW] = value;
    if (count < WINDOW || pool_try(&place, sizeof(last)) != 0) {
        return value;
    }
    uint32_t *sorted = place;
    for (unsigned i = 0; i < WINDOW; i++) {
        unsigned j = i;
        for (; j > 0 && sorted[j - 1] > last[i]; j--) {
            sorted[j] = sorted[j - 1];
        }
        sorted[j] = last[i];
    }
    uint32_t middle = sorted[WINDOW / 2];
    pool_give(sorted);
    return middle;
}

static void control(void)
{
    struct message *message = next_message(CONTROL);

    if (message == NULL) {
        return;
    }
    uint32_t value = median(message->value);
    if (value > TOO_MUCH && post(LOGGER, "too hot", value) != 0) {
        say("control: no memory\n");
    }
    pool_give(message);
}

static void logger(void)
{
    struct message *message = next_message(LOGGER);

    if (message == NULL) {
        return;
    }
    say(message->text);
    say(": ");
    say_number(message->value);
    say("\n");
#ifdef LEAK
    if (message->value > ALARM) {
        say("alarm\n");
        return; /* and the message is forgotten */
    }
#endif
    pool_give(message);
}

void run_jobs(uint32_t measurements)
{
    for (uint32_t time = 0; time < measurements || queues[CONTROL].length + queues[LOGGER].length != 0; time++) {
        if (time < measurements) {
            sensor(time);
        }
        control();
        logger();
    }
    say("all jobs are idle\n");
}
