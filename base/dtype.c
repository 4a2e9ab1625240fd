/* Element types. */
#include <paragraph/types.h>

size_t para_dtype_bytes(para_dtype dtype)
{
    return dtype == PARA_F32 || dtype == PARA_I32 ? 4 : dtype == PARA_I8 ? 1 : 2;
}

const char *para_dtype_name(para_dtype dtype)
{
    static const char *const names[] = {"f32", "f16", "bf16", "i32", "i8"};
    return dtype >= PARA_F32 && dtype <= PARA_I8 ? names[dtype] : "unknown";
}
