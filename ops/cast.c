/* cast: y = x in another element type. f32 to f16 and bf16 rounds to nearest, ties to even, with infinities, NaNs
 * and subnormals as IEEE 754 has them; f32 to i32 rounds towards zero, stops at the ends of the range, and makes
 * NaN 0. Element by element, so every axis is parallel. */
#include <paragraph/ops.h>

#include "base/dtype.h"
#include "base/simd.h"
#include "ops/need.h"
#include "ops/table.h"

static int infer(const para_node *n, struct para_shape out[], para_error *err)
{
    (void)err;
    return para_infer_like(n, 0, out);
}

/* Integers have no gradient. */
static int grad(para_graph *g, const para_node *n, para_tensor *const dy[], para_tensor *dx[])
{
    para_dtype from = n->in[0]->shape.dtype, to = n->out[0]->shape.dtype;
    if (from != PARA_I32 && to != PARA_I32)
        dx[0] = para_cast(g, dy[0], from);
    return 0;
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
            half[e] = para_f16_of(x[e]);
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
            y[e] = para_of_f16(half[e]);
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
    .types = "f32 -> @dtype:f16|bf16|i32; f16|bf16|i32 -> @dtype:f32",
    .infer = infer,
    .grad = grad,
    .cpu = cpu,
    .cuda = PARA_CUDA(para_cast_cuda),
};

para_tensor *para_cast(para_graph *g, para_tensor *x, para_dtype dtype)
{
    if (x && x->shape.dtype == dtype)
        return x;
    return para_apply(&para_op_cast, g, PARA_IN(x), PARA_ATTRS({.s = para_dtype_name(dtype)}));
}
