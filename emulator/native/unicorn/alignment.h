/* What an access whose operand is not aligned looks like in a TLB fill. */
#ifndef KMEMU_ALIGNMENT_H
#define KMEMU_ALIGNMENT_H

enum { MISALIGNED = 40 }; /* a bit above those of the sum of a segment base and an offset, which may be more than 32 */

#endif
