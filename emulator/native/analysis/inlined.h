/* Functions that become part of those that call them, whatever the compiler thinks of that. */
#ifndef KMEMU_INLINED_H
#define KMEMU_INLINED_H

/* What nearly each call comes to; or loops, of which the compiler knows how many turns they have there. */
#define INLINED inline __attribute__((always_inline))

#endif
