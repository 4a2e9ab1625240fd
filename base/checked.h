/* Arithmetic on sizes: products that report overflow, the smaller of two, multiples. */
#ifndef PARA_BASE_CHECKED_H
#define PARA_BASE_CHECKED_H

#include <stdbool.h>
#include <stdint.h>

/* *out = a * b for non-negative a and b; false, *out untouched, on overflow. */
static inline bool para_mul_i64(int64_t a, int64_t b, int64_t *out)
{
    if (a != 0 && b > INT64_MAX / a)
        return false;
    *out = a * b;
    return true;
}

static inline int64_t para_smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* The least multiple of `multiple` that is no less than `count`. */
static inline int64_t para_round_up(int64_t count, int64_t multiple)
{
    return (count + multiple - 1) / multiple * multiple;
}

#endif
