/* embedding: y = table[ids], rows of the table by number.
 *   table (axis, rest), ids (I) -> y (I, rest), where I and rest are any axes
 * A table of fewer bits gives its values as float32; of a type in blocks a row is whole blocks.
 * I and rest are parallel. Parts of the table's axis each give the rows that they hold, 0 for others, and add up. */
#include <paragraph/ops.h>

#include "base/dtype.h"
#include "kernels/convert.h"
#include "ops/need.h"
#include "ops/table.h"

#include <inttypes.h>
#include <string.h>

static int infer(const para_node *n, struct para_shape out[], para_error *err)
{
    char text[PARA_SHAPE_TEXT];
    const struct para_shape *table = &n->in[0]->shape, *ids = &n->in[1]->shape;
    if (para_shape_find(table, n->attr[0].s) != 0)
        return para_fail(err, PARA_EAXIS, "the table is %s, expected axis \"%s\" first", para_shape_text(table, text),
                         n->attr[0].s);
    if (ids->rank + table->rank - 1 > PARA_MAX_RANK)
        return para_fail(err, PARA_ESHAPE, "the result has %d axes, expected at most %d", ids->rank + table->rank - 1,
                         PARA_MAX_RANK);
    for (int i = 0; i < ids->rank; i++) {
        if (para_shape_find(table, ids->dim[i].axis) >= 0)
            return para_fail(err, PARA_EAXIS, "both ids and table have axis \"%s\"; para_rename() can tell them apart",
                             ids->dim[i].axis);
        para_shape_append(&out[0], ids->dim[i].axis, ids->dim[i].whole);
    }
    int64_t width = 1, block = para_dtype_block(table->dtype);
    for (int i = 1; i < table->rank; width *= table->dim[i++].whole)
        para_shape_append(&out[0], table->dim[i].axis, table->dim[i].whole);
    if (width % block != 0)
        return para_fail(err, PARA_ESHAPE, "the table is %s, expected rows of a multiple of %d elements",
                         para_shape_text(table, text), (int)block);
    return 0;
}

static enum para_role role(const para_node *n, const char *axis, int output, const char **why)
{
    (void)output, (void)why;
    return strcmp(axis, n->attr[0].s) == 0 ? PARA_REDUCE : PARA_PARALLEL;
}

static int grad(para_graph *g, const para_node *n, para_tensor *const dy[], para_tensor *dx[])
{
    dx[0] = para_apply(&para_op_embedding_backward, g, PARA_IN(n->in[1], dy[0]),
                       PARA_ATTRS({.s = n->attr[0].s}, {.i = n->in[0]->shape.dim[0].whole}));
    return 0;
}

/* Moves bytes alone, of which it touches only the rows that ids name. */
static void cost(const para_node *n, struct para_cost *c)
{
    c->flops = 0;
    size_t rows = para_dtype_span(n->in[0]->shape.dtype, para_shape_elements(&n->out[0]->shape));
    c->bytes = (double)(rows + para_shape_bytes(&n->out[0]->shape) + para_shape_bytes(&n->in[1]->shape));
}

/* The axis that ids number: the first of the table, which embedding reads and its gradient writes. */
static const struct para_extent *table_dim(const para_node *n)
{
    const struct para_shape *in = &n->in[0]->shape, *out = &n->out[0]->shape;
    return para_shape_find(out, n->attr[0].s) < 0 ? &in->dim[0] : &out->dim[0];
}

static int complain(const para_node *n, int64_t position, int32_t id, para_error *err)
{
    const struct para_shape *ids = &n->in[n->in[0]->shape.dtype == PARA_I32 ? 0 : 1]->shape;
    position = para_shape_whole_index(ids, position);
    return para_fail(err, PARA_ERANGE, "id %" PRId32 " at position %" PRId64 " is outside of %s, which has %" PRId64,
                     id, position, table_dim(n)->axis, table_dim(n)->whole);
}

/* Fail if an id is outside of the table. */
static int check_ids(const struct para_call *c, const int32_t *ids, int64_t count)
{
    int64_t whole = table_dim(c->node)->whole;
    for (int64_t p = 0; p < count; p++)
        if (ids[p] < 0 || ids[p] >= whole)
            return complain(c->node, p, ids[p], c->err);
    return 0;
}

/* y (I,R) = table[ids (I)] (R), table (V,R) */
static int cpu(const struct para_call *c)
{
    const struct para_shape *table = &c->node->in[0]->shape;
    const struct para_extent *dim = &table->dim[0];
    const char *rows = c->in[0];
    const int32_t *ids = c->in[1];
    char *y = c->out[0];
    para_dtype to = c->node->out[0]->shape.dtype;
    int64_t count = para_shape_elements(&c->node->in[1]->shape), width = para_shape_elements(table) / dim->extent;
    size_t y_bytes = para_dtype_span(to, width);
    PARA_TRY(check_ids(c, ids, count));
    for (int64_t p = 0; p < count; p++, y += y_bytes) {
        int64_t row = ids[p] - dim->begin;
        if (row < 0 || row >= dim->extent)
            memset(y, 0, y_bytes);
        else if (to == PARA_F32)
            para_convert(width, table->dtype, rows, row * width, (float *)(void *)y);
        else
            memcpy(y, rows + (size_t)row * y_bytes, y_bytes);
    }
    return 0;
}

const struct para_op para_op_embedding = {
    .name = "embedding",
    .attrs = {{"axis", PARA_ATTR_STRING}},
    .types = "f32|bf16|i8|q8_0|q4_0 i32 -> f32",
    .narrow = &para_op_embedding_bf16,
    .infer = infer,
    .role = role,
    .grad = grad,
    .cost = cost,
    .cpu = cpu,
    .cuda = PARA_CUDA(para_embedding_cuda),
    .complain = complain,
};

/* embedding_bf16: rows of a table of bfloat16 as they are */

const struct para_op para_op_embedding_bf16 = {
    .name = "embedding_bf16",
    .attrs = {{"axis", PARA_ATTR_STRING}},
    .types = "bf16 i32 -> bf16",
    .infer = infer,
    .role = role,
    .cost = cost,
    .cpu = cpu,
    .cuda = PARA_CUDA(para_embedding_bf16_cuda),
    .complain = complain,
};

/* embedding_backward: dtable[v] = sum of dy over the positions whose id is v, in the order of positions.
 *   ids (I), dy (I, rest) -> dtable (axis, rest), axis of `extent` elements
 * axis and rest are parallel, I is reduced. */

static int backward_infer(const para_node *n, struct para_shape out[], para_error *err)
{
    char text[2][PARA_SHAPE_TEXT];
    const struct para_shape *ids = &n->in[0]->shape, *dy = &n->in[1]->shape;
    bool fits = dy->rank >= ids->rank && para_shape_find(dy, n->attr[0].s) < 0;
    for (int i = 0; fits && i < ids->rank; i++)
        fits = strcmp(dy->dim[i].axis, ids->dim[i].axis) == 0;
    if (!fits)
        return para_fail(err, PARA_ESHAPE, "dy is %s, expected ids's axes first, %s, and not %s",
                         para_shape_text(dy, text[0]), para_shape_text(ids, text[1]), n->attr[0].s);
    if (n->attr[1].i < 1 || dy->rank - ids->rank + 1 > PARA_MAX_RANK)
        return para_fail(err, PARA_ERANGE, "extent is %" PRId64 ", expected at least 1, and at most %d axes",
                         n->attr[1].i, PARA_MAX_RANK);
    para_shape_append(&out[0], n->attr[0].s, n->attr[1].i);
    for (int i = ids->rank; i < dy->rank; i++)
        para_shape_append(&out[0], dy->dim[i].axis, dy->dim[i].whole);
    return 0;
}

static enum para_role backward_role(const para_node *n, const char *axis, int output, const char **why)
{
    (void)output, (void)why;
    return para_shape_find(&n->in[0]->shape, axis) >= 0 ? PARA_REDUCE : PARA_PARALLEL;
}

static void backward_cost(const para_node *n, struct para_cost *c)
{
    c->flops = (double)para_shape_elements(&n->in[1]->shape);
}

/* dtable (V,R) [ids (I)] += dy (I,R); element by element with double sums, from 0 or from what dtable holds */
static int sum_rows(const struct para_call *c, bool from_zero)
{
    const struct para_extent *dim = &c->node->out[0]->shape.dim[0];
    const int32_t *ids = c->in[0];
    const float *dy = c->in[1];
    float *dtable = c->out[0];
    int64_t count = para_shape_elements(&c->node->in[0]->shape),
            width = para_shape_elements(&c->node->in[1]->shape) / count;
    PARA_TRY(check_ids(c, ids, count));
    for (int64_t row = 0; row < dim->extent; row++)
        for (int64_t e = 0; e < width; e++) {
            double sum = from_zero ? 0 : dtable[row * width + e];
            for (int64_t p = 0; p < count; p++)
                if (ids[p] == dim->begin + row)
                    sum += dy[p * width + e];
            dtable[row * width + e] = (float)sum;
        }
    return 0;
}

static int backward_reference(const struct para_call *c)
{
    return sum_rows(c, true);
}

static int add_rows(const struct para_call *c)
{
    const struct para_extent *dim = &c->node->out[0]->shape.dim[0];
    const int32_t *ids = c->in[0];
    const float *dy = c->in[1];
    float *dtable = c->out[0];
    int64_t count = para_shape_elements(&c->node->in[0]->shape),
            width = para_shape_elements(&c->node->in[1]->shape) / count;
    PARA_TRY(check_ids(c, ids, count));
    for (int64_t p = 0; p < count; p++) {
        int64_t row = ids[p] - dim->begin;
        if (row < 0 || row >= dim->extent)
            continue;
#pragma omp simd
        for (int64_t e = 0; e < width; e++)
            dtable[row * width + e] += dy[p * width + e];
    }
    return 0;
}

static int backward_cpu(const struct para_call *c)
{
    memset(c->out[0], 0, para_shape_bytes(&c->node->out[0]->shape));
    return add_rows(c);
}

const struct para_op para_op_embedding_backward = {
    .name = "embedding_backward",
    .attrs = {{"axis", PARA_ATTR_STRING}, {"extent", PARA_ATTR_INT}},
    .types = "i32 f32|bf16 -> f32",
    .float32 = true,
    .infer = backward_infer,
    .role = backward_role,
    .accumulate = &para_op_embedding_backward_add,
    .cost = backward_cost,
    .reference = backward_reference,
    .cpu = backward_cpu,
    .cuda = PARA_CUDA(para_embedding_backward_cuda),
    .complain = complain,
};

/* embedding_backward_add: the same, added to a table in place: ids (I), dy (I, rest), dtable (axis, rest) -> dtable.
 * It touches the rows that ids name, no others. */

static int add_infer(const para_node *n, struct para_shape out[], para_error *err)
{
    PARA_TRY(backward_infer(n, out, err));
    return para_need_shape(n, 2, &out[0], err);
}

static void add_cost(const para_node *n, struct para_cost *c)
{
    c->flops = (double)para_shape_elements(&n->in[1]->shape);
    c->bytes = (double)para_shape_bytes(&n->in[0]->shape) + 3.0 * (double)para_shape_bytes(&n->in[1]->shape);
}

static int add_reference(const struct para_call *c)
{
    return sum_rows(c, false);
}

const struct para_op para_op_embedding_backward_add = {
    .name = "embedding_backward_add",
    .attrs = {{"axis", PARA_ATTR_STRING}, {"extent", PARA_ATTR_INT}},
    .types = "i32 f32|bf16 f32 -> f32",
    .float32 = true,
    .infer = add_infer,
    .role = backward_role,
    .cost = add_cost,
    .updates = {1 + 2},
    .reference = add_reference,
    .cpu = add_rows,
    .cuda = PARA_CUDA(para_embedding_backward_add_cuda),
    .complain = complain,
};

para_tensor *para_embedding(para_graph *g, para_tensor *table, para_tensor *ids, const char *axis)
{
    return para_apply(&para_op_embedding, g, PARA_IN(table, ids), PARA_ATTRS({.s = axis}));
}
