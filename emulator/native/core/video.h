/* Video memory: the frame buffer, a piece of memory beyond RAM, and what of it lies at 0xA0000. */
#ifndef KMEMU_VIDEO_H
#define KMEMU_VIDEO_H

#include "machine.h"

#define VIDEO_WINDOW 0xa0000u
#define VIDEO_WINDOW_SIZE 0x10000u

struct video {
    uint64_t start, end; /* of the frame buffer; both 0: there is none */
    bool is_made;        /* the host has memory for it, and the engine knows that */
    bool has_planes;     /* the engine has the region in which accesses to planes are answered */
    struct shown {
        int32_t kind; /* enum kc_window */
        uint32_t offset;
        uint32_t latches; /* a byte of each plane */
        kc_planes planes;
    } shown; /* kept by snapshots */
};

int kc_video_init(kc *m);
void kc_video_free(kc *m);
int kc_video_save(kc *m, void **saved);
int kc_video_restore(kc *m, const void *saved);

/* Does an address lie in the frame buffer? */
static inline bool kc_is_video(const kc *m, uint64_t physical)
{
    return physical >= m->video->start && physical < m->video->end;
}

/* Where the engine has what the CPU finds in a physical page. */
uint64_t kc_video_target(kc *m, uint64_t physical);

#endif
