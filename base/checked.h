/* Products and sums of sizes that report overflow. */
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

#endif
