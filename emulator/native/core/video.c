/* Video memory: the frame buffer, and what of it lies at 0xA0000.
 *
 * The frame buffer is memory like RAM, in the same file and part of the same snapshots (ram.c), at the guest's speed. It is made when
 * it is first accessed: a machine whose kernel draws nothing has none.
 *
 * In the 64 KiB at 0xA0000 the CPU finds RAM, a part of the frame buffer, or the four planes of a VGA, of which one byte each lies
 * in every four bytes of the frame buffer. Planes are no memory: an access goes through latches and masks (IBM VGA/XGA Technical
 * Reference, "Graphics Controller").
 *
 * The engine has frame buffer and planes at addresses where nothing of the PC can be, because it cannot remove a region while it runs. The
 * TLB fill (mmu.c) asks where an access arrives. Unicorn's own MMU does not ask: the frame buffer is made at once there, and at
 * 0xA0000 is RAM.
 */
#include <stdlib.h>
#include <string.h>

#include "core/ram.h"
#include "core/video.h"
#include "core/windows.h"
#include "unicorn/engine.h"

#define PLANES_AT (1ull << 33)
#define FRAME_BUFFER_AT (1ull << 34)
#define ALL_PLANES 15u

static uint8_t *frame_buffer(const kc *m) { return kc_piece(m, m->video->start)->memory; }

int kc_video(kc *m, uint64_t start, uint64_t end)
{
    if (m->video->end || start < m->memory_end || start >= end || (start | end) & PAGE_MASK)
        return -1;
    m->video->start = start;
    m->video->end = end;
    return m->reference && !kc_video_memory(m) ? -1 : 0;
}

uint8_t *kc_video_memory(kc *m)
{
    struct video *video = m->video;

    if (!video->end)
        return NULL;
    if (!video->is_made) {
        if (kc_ram_extend(m, video->start, video->end, m->reference ? video->start : FRAME_BUFFER_AT))
            return NULL;
        video->is_made = true;
    }
    return frame_buffer(m);
}

void kc_video_clear(kc *m, uint32_t size)
{
    if (m->video->is_made)
        memset(frame_buffer(m), 0, size);
}

bool kc_video_touched(kc *m, uint64_t physical)
{
    return !m->video->is_made && kc_is_video(m, physical) && kc_video_memory(m);
}

/* -- planes --------------------------------------------------------------------------------------- */

static uint32_t spread_byte(uint8_t byte) { return byte * 0x01010101u; }

/* A byte of ones for each plane of a mask. */
static uint32_t spread_mask(uint32_t mask)
{
    static const uint32_t bytes[4] = {0xff, 0xff00, 0xff0000, 0xff000000};
    uint32_t all = 0;

    for (int plane = 0; plane < 4; plane++)
        all |= mask >> plane & 1 ? bytes[plane] : 0;
    return all;
}

static uint8_t plane_of(uint32_t bytes, uint32_t plane) { return (uint8_t)(bytes >> 8 * plane); }

/* Where the window's byte lies that belongs to one plane alone, and to which; false: each address belongs to all planes. */
static bool in_one_plane(const struct shown *shown, uint32_t at, uint32_t *byte, uint32_t *plane)
{
    if (shown->planes.chain4) {
        *byte = at;
        *plane = at & 3;
    } else if (shown->planes.odd_even) {
        *plane = (shown->planes.read_plane & 2u) | (at & 1);
        *byte = (at & ~1u) << 1 | *plane;
    } else {
        return false;
    }
    return true;
}

/* Address of the window's byte in the frame buffer, inside of which it stays. */
static uint8_t *byte_at(const kc *m, uint64_t at) { return frame_buffer(m) + (at & (m->video->end - m->video->start - 1)); }

static uint8_t planes_read(kc *m, uint32_t at)
{
    struct shown *shown = &m->video->shown;
    const kc_planes *planes = &shown->planes;
    uint32_t byte, plane;

    at += shown->offset;
    if (in_one_plane(shown, at, &byte, &plane))
        return *byte_at(m, byte);
    memcpy(&shown->latches, byte_at(m, (uint64_t)at * 4), sizeof shown->latches);
    if (!planes->compares)
        return plane_of(shown->latches, planes->read_plane);
    uint32_t differ = (shown->latches ^ spread_mask(planes->compare)) & spread_mask(planes->care);
    return (uint8_t)~(differ | differ >> 8 | differ >> 16 | differ >> 24);
}

static uint32_t operate(const struct shown *shown, uint32_t bits)
{
    switch (shown->planes.operation) {
    case 1:
        return bits & shown->latches;
    case 2:
        return bits | shown->latches;
    case 3:
        return bits ^ shown->latches;
    default:
        return bits;
    }
}

/* What a write brings to all planes, before the map mask chooses some. */
static uint32_t bits_to_write(const struct shown *shown, uint8_t value)
{
    const kc_planes *planes = &shown->planes;
    uint32_t rotated = spread_byte((uint8_t)(value >> planes->rotate | value << (8 - planes->rotate)));
    uint32_t bit_mask = spread_byte(planes->bit_mask), set = spread_mask(planes->set), bits;

    switch (planes->write_mode) {
    case 1:
        return shown->latches;
    case 0:
        bits = (rotated & ~spread_mask(planes->set_enabled)) | (set & spread_mask(planes->set_enabled));
        break;
    case 2:
        bits = spread_mask(value & ALL_PLANES);
        break;
    default:
        bits = set;
        bit_mask &= rotated;
    }
    return (operate(shown, bits) & bit_mask) | (shown->latches & ~bit_mask);
}

static void planes_write(kc *m, uint32_t at, uint8_t value)
{
    const struct shown *shown = &m->video->shown;
    uint32_t byte, plane, now, mask = spread_mask(shown->planes.map_mask);

    at += shown->offset;
    if (in_one_plane(shown, at, &byte, &plane)) {
        if (shown->planes.map_mask >> plane & 1)
            *byte_at(m, byte) = value;
        return;
    }
    uint8_t *bytes = byte_at(m, (uint64_t)at * 4);
    memcpy(&now, bytes, sizeof now);
    now = (bits_to_write(shown, value) & mask) | (now & ~mask);
    memcpy(bytes, &now, sizeof now);
}

static uint64_t on_read(uc_engine *uc, uint64_t offset, unsigned size, void *data)
{
    uint64_t value = 0;
    (void)uc;

    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)planes_read(data, (uint32_t)offset + i) << 8 * i;
    return value;
}

static void on_write(uc_engine *uc, uint64_t offset, unsigned size, uint64_t value, void *data)
{
    (void)uc;

    for (unsigned i = 0; i < size; i++)
        planes_write(data, (uint32_t)offset + i, (uint8_t)(value >> 8 * i));
}

/* -- the window ----------------------------------------------------------------------------------- */

void kc_video_planes(kc *m, const kc_planes *planes) { m->video->shown.planes = *planes; }

int kc_video_window(kc *m, int kind, uint32_t offset)
{
    struct video *video = m->video;

    if (kind == video->shown.kind && offset == video->shown.offset)
        return 0;
    if (m->reference)
        return 0;
    if (kind != KC_WINDOW_RAM && !kc_video_memory(m))
        return -1;
    if (kind == KC_WINDOW_PLANES && !video->has_planes) {
        if (U.uc_mmio_map(m->uc, PLANES_AT, VIDEO_WINDOW_SIZE, on_read, m, on_write, m))
            return -1;
        video->has_planes = true;
    }
    kc_windows_forget(m);
    video->shown.kind = kind;
    video->shown.offset = offset & (uint32_t)(video->end - video->start - 1);
    kc_flush_tlb(m);
    return 0;
}

uint64_t kc_video_target(kc *m, uint64_t physical)
{
    const struct video *video = m->video;

    if (kc_is_video(m, physical))
        return FRAME_BUFFER_AT + (physical - video->start);
    if (physical - VIDEO_WINDOW >= VIDEO_WINDOW_SIZE || video->shown.kind == KC_WINDOW_RAM)
        return physical;
    if (video->shown.kind == KC_WINDOW_PLANES)
        return PLANES_AT + (physical - VIDEO_WINDOW);
    return FRAME_BUFFER_AT + video->shown.offset + (physical - VIDEO_WINDOW);
}

/* -- life, snapshots ------------------------------------------------------------------------------ */

int kc_video_save(kc *m, void **out)
{
    struct shown *saved = malloc(sizeof *saved);

    if (!saved)
        return -1;
    *saved = m->video->shown;
    *out = saved;
    return 0;
}

int kc_video_restore(kc *m, const void *saved)
{
    const struct shown *shown = saved;

    if (shown->kind != m->video->shown.kind || shown->offset != m->video->shown.offset) {
        kc_windows_forget(m);
        kc_flush_tlb(m);
    }
    m->video->shown = *shown;
    return 0;
}

int kc_video_init(kc *m) { return KC_NEW(m->video); }

void kc_video_free(kc *m) { free(m->video); }
