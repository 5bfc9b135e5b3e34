/* Where kernels have the shadow that are not linked with --defsym=kmemu_kasan_offset=ADDRESS: those do not take this file. */

    .globl kmemu_kasan_offset
    .set kmemu_kasan_offset, 0xd0000000

    .section .note.GNU-stack, "", @progbits
