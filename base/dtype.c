/* Element types. */
#include "base/dtype.h"

static const struct type {
    const char *name;
    int64_t block;
    size_t bytes;
} types[] = {
    [PARA_F32] = {"f32", 1, 4},
    [PARA_F16] = {"f16", 1, 2},
    [PARA_BF16] = {"bf16", 1, 2},
    [PARA_I32] = {"i32", 1, 4},
    [PARA_I8] = {"i8", 1, 1},
    [PARA_Q8_0] = {"q8_0", PARA_BLOCK, PARA_Q8_0_BYTES},
    [PARA_Q4_0] = {"q4_0", PARA_BLOCK, PARA_Q4_0_BYTES},
};

static struct type type_of(para_dtype dtype)
{
    return dtype >= PARA_F32 && dtype <= PARA_Q4_0 ? types[dtype] : (struct type){"unknown", 1, 1};
}

int64_t para_dtype_block(para_dtype dtype)
{
    return type_of(dtype).block;
}

size_t para_dtype_bytes(para_dtype dtype)
{
    return type_of(dtype).bytes;
}

const char *para_dtype_name(para_dtype dtype)
{
    return type_of(dtype).name;
}
