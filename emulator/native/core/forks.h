/* fork(): the child's machines have memory of their own. */
#ifndef KMEMU_FORKS_H
#define KMEMU_FORKS_H

#include "machine.h"

struct forks {
    kc *next;
    int ram, shadow; /* while the process forks: files for the child; -1: there is none */
};

int kc_forks_init(kc *m);
void kc_forks_free(kc *m);

#endif
