/* Philox4x32-10, a counter-based generator: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as
 * 1, 2, 3", 2011. A draw is a pure function of (key, stream, index), so no order of evaluation changes it. */
#ifndef PARA_BASE_PHILOX_H
#define PARA_BASE_PHILOX_H

#include <math.h>
#include <stdint.h>

#include "base/anywhere.h"

struct para_philox {
    uint32_t word[4];
};

/* The four words of counter (low 64 bits: index, high: stream) under a 64-bit key. */
PARA_ANYWHERE static inline struct para_philox para_philox(uint64_t key, uint64_t stream, uint64_t index)
{
    uint32_t c0 = (uint32_t)index, c1 = (uint32_t)(index >> 32), c2 = (uint32_t)stream, c3 = (uint32_t)(stream >> 32);
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    struct para_philox p = {{c0, c1, c2, c3}};
    return p;
}

/* A float in [0, 1) from the upper 24 bits of a word. */
PARA_ANYWHERE static inline float para_uniform(uint32_t word)
{
    return (float)(word >> 8) * 0x1p-24f;
}

/* Word number index of a stream: four neighbours share one counter. */
PARA_ANYWHERE static inline uint32_t para_draw(uint64_t key, uint64_t stream, uint64_t index)
{
    return para_philox(key, stream, index >> 2).word[index & 3];
}

struct para_normals {
    double first, second;
};

/* Two standard normals from two words (Box and Muller, 1958). */
static inline struct para_normals para_box_muller(const uint32_t word[2])
{
    double radius = sqrt(-2.0 * log((word[0] + 0.5) * 0x1p-32));
    double angle = 6.283185307179586477 * (word[1] + 0.5) * 0x1p-32;
    struct para_normals z = {radius * cos(angle), radius * sin(angle)};
    return z;
}

/* Standard normal number index of a stream. */
static inline double para_normal(uint64_t key, uint64_t stream, uint64_t index)
{
    struct para_philox p = para_philox(key, stream, index >> 2);
    struct para_normals z = para_box_muller(&p.word[index & 2]);
    return index & 1 ? z.second : z.first;
}

#endif
