/* Parameters of any type set from float32. */
#include "runtime/session.h"

#include "base/quantize.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char SCALE[] = ".scale";

/* The first tile of the parameter called `name` with `end` after it; NULL if there is none. */
static const para_tensor *find_parameter(const para_session *s, const char *name, const char *end)
{
    size_t length = strlen(name);
    for (int i = 0; i < s->g->n_tensors; i++) {
        const para_tensor *t = s->g->tensors[i];
        if (t->kind == PARA_PARAMETER && !t->producer && strncmp(t->base, name, length) == 0 &&
            strcmp(t->base + length, end) == 0)
            return t;
    }
    return NULL;
}

static int64_t whole_elements(const struct para_shape *s)
{
    int64_t elements = 1;
    for (int d = 0; d < s->rank; d++)
        elements *= s->dim[d].whole;
    return elements;
}

static int set_bf16(para_session *s, const para_tensor *t, const float *x, int64_t count, para_error *err)
{
    uint16_t *half = malloc((size_t)count * sizeof *half);
    int lost = 0;
    if (!half)
        return para_fail_memory(err, t->base);
    for (int64_t e = 0; e < count; e++) {
        half[e] = para_bf16_of(x[e]);
        lost |= ((half[e] & 0x7fff) == 0x7f80) & (fabsf(x[e]) <= FLT_MAX);
    }
    int status = lost ? para_fail(err, PARA_ERANGE, "\"%s\" is bf16, expected values of at most 3.3895e38", t->base)
                      : para_session_set(s, t->base, half, (size_t)count * sizeof *half, err);
    free(half);
    return status;
}

static int set_blocks(para_session *s, const para_tensor *t, const float *x, int64_t count, para_error *err)
{
    para_dtype dtype = t->shape.dtype;
    size_t bytes = para_dtype_span(dtype, count);
    void *blocks = malloc(bytes);
    int status = blocks ? 0 : para_fail_memory(err, t->base);
    if (status == 0 && !para_quantize(dtype, count, x, blocks))
        status =
            para_fail(err, PARA_ERANGE, "\"%s\" is %s, expected finite values to quantize, and scales that are halves",
                      t->base, para_dtype_name(dtype));
    if (status == 0)
        status = para_session_set(s, t->base, blocks, bytes, err);
    free(blocks);
    return status;
}

/* A weight as rows along its last axis, and how its axes walk over its scales; a stride of 0: they share one. */
struct quantizer {
    const struct para_shape *weight;
    int64_t stride[PARA_MAX_RANK], rows, length;
    float *scale;
};

static int begin(struct quantizer *q, const para_tensor *weight, const para_tensor *scale, para_error *err)
{
    const struct para_shape *w = &weight->shape, *s = &scale->shape;
    char left[PARA_SHAPE_TEXT], right[PARA_SHAPE_TEXT];
    int64_t stride = 1;
    *q = (struct quantizer){.weight = w};
    for (int d = s->rank - 1; d >= 0; stride *= s->dim[d].whole, d--) {
        int in = para_shape_find(w, s->dim[d].axis);
        if (in < 0)
            return para_fail(err, PARA_ESHAPE, "\"%s\" is %s, expected axes of \"%s\", %s", scale->base,
                             para_shape_text(s, right), weight->base, para_shape_text(w, left));
        q->stride[in] = stride;
    }
    if (s->dtype != PARA_F32)
        return para_fail(err, PARA_ESHAPE, "\"%s\" is %s, expected f32", scale->base, para_dtype_name(s->dtype));
    q->length = w->rank ? w->dim[w->rank - 1].whole : 1;
    q->rows = whole_elements(w) / q->length;
    q->scale = calloc((size_t)stride, sizeof *q->scale);
    return q->scale ? 0 : para_fail_memory(err, scale->base);
}

/* The scale of a row's first element, and the step from one element's to the next one's. */
static float *scales_of_row(const struct quantizer *q, int64_t row, int64_t *step)
{
    float *scale = q->scale;
    for (int d = q->weight->rank - 2; d >= 0; d--) {
        scale += row % q->weight->dim[d].whole * q->stride[d];
        row /= q->weight->dim[d].whole;
    }
    *step = q->weight->rank ? q->stride[q->weight->rank - 1] : 0;
    return scale;
}

/* Scales from the largest sizes; false if a value isn't finite. */
static bool find_scales(struct quantizer *q, int64_t scales, const float *x)
{
    bool finite = true;
    for (int64_t row = 0; row < q->rows; row++, x += q->length) {
        int64_t step;
        float *scale = scales_of_row(q, row, &step);
        for (int64_t e = 0; e < q->length; e++) {
            float size = fabsf(x[e]);
            finite = finite && size <= FLT_MAX;
            scale[e * step] = size > scale[e * step] ? size : scale[e * step];
        }
    }
    for (int64_t i = 0; i < scales; i++)
        q->scale[i] /= 127.0f;
    return finite;
}

static void divide(const struct quantizer *q, const float *x, int8_t *out)
{
    for (int64_t row = 0; row < q->rows; row++, x += q->length, out += q->length) {
        int64_t step;
        const float *scale = scales_of_row(q, row, &step);
        for (int64_t e = 0; e < q->length; e++)
            out[e] = scale[e * step] > 0 ? para_i8_of(x[e] / scale[e * step]) : 0;
    }
}

static int set_i8(para_session *s, const para_tensor *t, const float *x, int64_t count, para_error *err)
{
    struct quantizer q;
    const para_tensor *scale = find_parameter(s, t->base, SCALE);
    if (!scale)
        return para_fail(err, PARA_ENAME, "no parameter is called \"%s%s\", which an i8 parameter needs", t->base,
                         SCALE);
    PARA_TRY(begin(&q, t, scale, err));
    int64_t scales = whole_elements(&scale->shape);
    int8_t *byte = malloc((size_t)count);
    int status = byte ? 0 : para_fail_memory(err, t->base);
    if (status == 0 && !find_scales(&q, scales, x))
        status = para_fail(err, PARA_ERANGE, "\"%s\" is i8, expected finite values to quantize", t->base);
    if (status == 0) {
        divide(&q, x, byte);
        status = para_session_set(s, scale->base, q.scale, (size_t)scales * sizeof *q.scale, err);
    }
    if (status == 0)
        status = para_session_set(s, t->base, byte, (size_t)count, err);
    free(byte);
    free(q.scale);
    return status;
}

int para_session_set_weight(para_session *s, const char *name, const float *values, int64_t count, para_error *err)
{
    const para_tensor *t = find_parameter(s, name, "");
    if (!t)
        return para_fail(err, PARA_ENAME, "no parameter is called \"%s\"", name);
    int64_t expected = whole_elements(&t->shape);
    if (count != expected)
        return para_fail(err, PARA_ESHAPE, "\"%s\" has %lld elements, got %lld", name, (long long)expected,
                         (long long)count);
    if (t->shape.dtype == PARA_BF16)
        return set_bf16(s, t, values, count, err);
    if (t->shape.dtype == PARA_I8)
        return set_i8(s, t, values, count, err);
    if (para_dtype_blocks(t->shape.dtype))
        return set_blocks(s, t, values, count, err);
    return para_session_set(s, name, values, (size_t)count * sizeof *values, err);
}
