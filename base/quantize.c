#include "base/quantize.h"

#include <float.h>
#include <math.h>

enum { HALF = PARA_BLOCK / 2, ZERO = PARA_Q4_0_ZERO };

/* The element farthest from 0. */
static float farthest(const float *x)
{
    float most = 0;
    for (int e = 0; e < PARA_BLOCK; e++)
        most = fabsf(x[e]) > fabsf(most) ? x[e] : most;
    return most;
}

static bool is_finite(const float *x)
{
    bool finite = true;
    for (int e = 0; e < PARA_BLOCK; e++)
        finite = finite && fabsf(x[e]) <= FLT_MAX;
    return finite;
}

/* The nearest whole number to x / scale from `least` to `most`. */
static int number_of(float x, float scale, int least, int most)
{
    float number = scale != 0 ? x / scale : 0;
    number = number < (float)least ? (float)least : number > (float)most ? (float)most : number;
    return (int)(number + 12582912.0f - 12582912.0f); /* 3/2 2^23: its steps are 1 */
}

static void q8_0_of(const float *x, float scale, unsigned char *to)
{
    for (int e = 0; e < PARA_BLOCK; e++)
        to[e] = (unsigned char)number_of(x[e], scale, -127, 127);
}

static void q4_0_of(const float *x, float scale, unsigned char *to)
{
    for (int e = 0; e < HALF; e++) {
        int low = number_of(x[e], scale, -ZERO, ZERO - 1), high = number_of(x[e + HALF], scale, -ZERO, ZERO - 1);
        to[e] = (unsigned char)(low + ZERO + (high + ZERO) * 16);
    }
}

bool para_quantize(para_dtype dtype, int64_t n, const float *x, void *blocks)
{
    unsigned char *to = blocks;
    for (int64_t first = 0; first < n; first += PARA_BLOCK, x += PARA_BLOCK, to += para_dtype_bytes(dtype)) {
        float most = farthest(x);
        uint16_t half = para_f16_of(dtype == PARA_Q8_0 ? fabsf(most) / 127 : most / -ZERO);
        float scale = para_of_f16(half);
        if (!is_finite(x) || !(fabsf(scale) <= FLT_MAX))
            return false;
        memcpy(to, &half, sizeof half);
        (dtype == PARA_Q8_0 ? q8_0_of : q4_0_of)(x, scale, to + sizeof half);
    }
    return true;
}
