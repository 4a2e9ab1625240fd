/* Sixteen floats at a time, for kernels that say which values stay in registers: one register of AVX-512, two of AVX2,
 * four of SSE (kernels/lanes-tile.h).
 *
 * Weights of two bytes or one are loaded as sixteen words, which hold two or four of them each, and taken from these by
 * shifts alone: plane p has the elements number p of the words. So a run of sixteen words is sixteen by `planes`
 * elements, of which a kernel meets element l planes + p as lane l of plane p. */
#ifndef PARA_KERNELS_LANES_H
#define PARA_KERNELS_LANES_H

#include <paragraph/types.h>

#include <stdbool.h>

enum { PARA_LANES = 16, PARA_LINE = 64 /* bytes of sixteen words, and of a cache line */ };

/* Before functions of kernels, whose constant arguments then make loops of constant length. */
#define PARA_INLINE static inline __attribute__((always_inline))

PARA_INLINE int para_planes(para_dtype dtype)
{
    return dtype == PARA_F32 ? 1 : dtype == PARA_BF16 ? 2 : 4;
}

/* The rows that a kernel will read next. Memory is fastest where it is asked for in the order of its addresses, by a
 * few streams far from each other, each of which the processor then reads ahead; rows that are read side by side, a
 * line of each in turn, come at half the rate. So they are fetched one after another, PARA_STREAMS of them at a time,
 * while the ones before are worked on. */
enum { PARA_STREAMS = 4 };
struct para_ahead {
    const char *at, *end;  /* what the first stream asks for next, and where its row ends */
    int64_t gap, ld, band; /* bytes between two rows, from one to the next, and from one stream to the next */
};

/* `rows` rows of so many bytes, ld bytes apart, the first one at w. */
PARA_INLINE struct para_ahead para_ahead_of(const char *w, int64_t rows, int64_t bytes, int64_t ld)
{
    return (struct para_ahead){w, w + bytes, ld - bytes, ld, (rows + PARA_STREAMS - 1) / PARA_STREAMS * ld};
}

/* Let each stream ask for some more lines; what lies past the last row does no harm. */
PARA_INLINE void para_ahead_ask(struct para_ahead *a, int lines)
{
    for (int l = 0; l < lines; l++) {
        for (int s = 0; s < PARA_STREAMS; s++)
            __builtin_prefetch(a->at + s * a->band, 0, 3);
        a->at += PARA_LINE;
        if (a->at >= a->end) {
            a->at = a->end + a->gap;
            a->end += a->ld;
        }
    }
}

#endif
