/* Element types: which of them weights have, and their conversions. */
#ifndef PARA_BASE_DTYPE_H
#define PARA_BASE_DTYPE_H

#include <paragraph/types.h>

#include <string.h>

/* Whether parameters may be of this type. */
static inline bool para_dtype_weighs(para_dtype dtype)
{
    return dtype == PARA_F32 || dtype == PARA_BF16 || dtype == PARA_I8;
}

/* Round to nearest, ties to even; a NaN stays one, with its lowest bits lost. */
static inline uint16_t para_bf16_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    return (uint16_t)(x != x ? bits >> 16 | 0x40 : rounded);
}

/* Round to nearest, ties to even, and hold to -127 to 127; NaN becomes 0. */
static inline int8_t para_i8_of(float x)
{
    float held = x > 127.0f ? 127.0f : x < -127.0f ? -127.0f : x;
    return (int8_t)(x != x ? 0.0f : held + 12582912.0f - 12582912.0f); /* 3/2 2^23: its steps are 1 */
}

static inline float para_of_bf16(uint16_t half)
{
    uint32_t bits = (uint32_t)half << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

#endif
