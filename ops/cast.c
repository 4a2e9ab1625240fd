/* cast: y = x in another element type. f32 to f16 and bf16 rounds to nearest, ties to even, with infinities, NaNs
 * and subnormals as IEEE 754 has them; f32 to i32 rounds towards zero, stops at the ends of the range, and makes
 * NaN 0. Element by element, so every axis is parallel. */
#include <paragraph/ops.h>

#include "base/dtype.h"
#include "base/simd.h"
#include "ops/need.h"
#include "ops/table.h"

/* The type called `name`, or -1. */
static int dtype_of(const char *name)
{
    for (int t = PARA_F32; t <= PARA_I32; t++)
        if (strcmp(para_dtype_name((para_dtype)t), name) == 0)
            return t;
    return -1;
}

static int infer(const para_node *n, struct para_shape out[], para_error *err)
{
    int to = dtype_of(n->attr[0].s), from = (int)n->in[0]->shape.dtype;
    if (to < 0)
        return para_fail(err, PARA_EINVAL, "type is \"%s\", expected f32, f16, bf16 or i32", n->attr[0].s);
    if ((from == PARA_F32) == (to == PARA_F32))
        return para_fail(err, PARA_ESHAPE, "from %s to %s, expected f32 on one side", para_dtype_name((para_dtype)from),
                         n->attr[0].s);
    para_infer_like(n, 0, out);
    out[0].dtype = (para_dtype)to;
    return 1;
}

/* Integers have no gradient. */
static int grad(para_graph *g, const para_node *n, para_tensor *const dy[], para_tensor *dx[])
{
    para_dtype from = n->in[0]->shape.dtype, to = n->out[0]->shape.dtype;
    if (from != PARA_I32 && to != PARA_I32)
        dx[0] = para_cast(g, dy[0], from);
    return 0;
}

static inline uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Below 2^-14 a half has steps of 2^-24, those of floats from 1/2 to 1: adding 1/2 rounds to them. From 65520 on,
 * half a step above the largest half, the result is infinity. */
static inline uint16_t f16_of(float x)
{
    uint32_t bits = bits_of(x), sign = bits >> 16 & 0x8000, size = bits & 0x7fffffff;
    uint32_t normal = (size + 0xfff + (size >> 13 & 1) - 0x38000000) >> 13;
    uint32_t small = bits_of(float_of(size) + 0.5f) - 0x3f000000;
    uint32_t half = size < 0x38800000 ? small : normal;
    half = size >= 0x477ff000 ? 0x7c00 : half;
    half = size > 0x7f800000 ? 0x7e00 | (size >> 13 & 0x3ff) : half;
    return (uint16_t)(sign | half);
}

static inline float of_f16(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, size = half & 0x7fff;
    uint32_t normal = (size << 13) + (size >= 0x7c00 ? 0x70000000 : 0x38000000);
    uint32_t small = bits_of((float)(int32_t)size * 0x1p-24f);
    return float_of(sign | (size < 0x400 ? small : normal));
}

static inline int32_t i32_of(float x)
{
    if (x >= 0x1p31f)
        return INT32_MAX;
    if (x <= -0x1p31f)
        return INT32_MIN;
    return x != x ? 0 : (int32_t)x;
}

PARA_SIMD static void from_f32(int64_t elements, para_dtype to, const float *restrict x, void *restrict out)
{
    uint16_t *half = out;
    int32_t *integer = out;
    switch (to) {
    case PARA_F16:
#pragma omp simd
        for (int64_t e = 0; e < elements; e++)
            half[e] = f16_of(x[e]);
        break;
    case PARA_BF16:
#pragma omp simd
        for (int64_t e = 0; e < elements; e++)
            half[e] = para_bf16_of(x[e]);
        break;
    default:
        for (int64_t e = 0; e < elements; e++)
            integer[e] = i32_of(x[e]);
    }
}

PARA_SIMD static void to_f32(int64_t elements, para_dtype from, const void *restrict in, float *restrict y)
{
    const uint16_t *half = in;
    const int32_t *integer = in;
    switch (from) {
    case PARA_F16:
#pragma omp simd
        for (int64_t e = 0; e < elements; e++)
            y[e] = of_f16(half[e]);
        break;
    case PARA_BF16:
#pragma omp simd
        for (int64_t e = 0; e < elements; e++)
            y[e] = para_of_bf16(half[e]);
        break;
    default:
#pragma omp simd
        for (int64_t e = 0; e < elements; e++)
            y[e] = (float)integer[e];
    }
}

/* y (E) = x (E) */
static int cpu(const struct para_call *c)
{
    const struct para_shape *x = &c->node->in[0]->shape, *y = &c->node->out[0]->shape;
    if (x->dtype == PARA_F32)
        from_f32(para_shape_elements(y), y->dtype, c->in[0], c->out[0]);
    else
        to_f32(para_shape_elements(y), x->dtype, c->in[0], c->out[0]);
    return 0;
}

const struct para_op para_op_cast = {
    .name = "cast",
    .attrs = {{"dtype", PARA_ATTR_STRING}},
    .inputs = {1, 1},
    .infer = infer,
    .grad = grad,
    .cpu = cpu,
};

para_tensor *para_cast(para_graph *g, para_tensor *x, para_dtype dtype)
{
    if (x && x->shape.dtype == dtype)
        return x;
    return para_apply(&para_op_cast, g, PARA_IN(x), PARA_ATTRS({.s = para_dtype_name(dtype)}));
}
