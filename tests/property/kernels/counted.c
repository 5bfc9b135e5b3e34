/* Objects of one size that count their users themselves: the last one gives them back. */

#include "program.h"
#include "store.h"

struct object {
    word flags, users;
    byte rest[36];
};

API struct object *object_new(void)
{
    struct object *object = (void *)carve(sizeof *object);

    object->users = 1;
    return answer(object);
}

API void object_put(struct object *object)
{
    if (object->users && !--object->users)
        put_back(object);
}

static byte *take(word how, word a, byte **out)
{
    (void)how, (void)a, (void)out;
    return (byte *)CALL(object_new);
}

static void give(byte *block, word a)
{
    (void)a;
    RUN(object_put, (struct object *)(void *)block);
}

static void share(byte *block)
{
    ((struct object *)(void *)block)->users++;
}

static const struct allocator allocator = {.take = take, .give = give, .share = share};
