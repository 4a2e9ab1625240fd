/* permute: y = x with its axes in another order, outermost first. Every axis is parallel. */
#include <paragraph/ops.h>

#include "base/simd.h"
#include "ops/dims.h"
#include "ops/need.h"
#include "ops/table.h"
#include "ops/walk.h"

enum { BLOCK = 16 }; /* a block of 16 x 16 elements is read and written by whole cache lines */

static int infer(const para_node *n, struct para_shape out[], para_error *err)
{
    const struct para_shape *x = &n->in[0]->shape;
    char axis[PARA_MAX_AXIS_NAME + 1], text[PARA_SHAPE_TEXT];
    int count = 0;
    for (; para_word(n->attr[0].s, count, axis); count++) {
        int dim = para_need_axis(n, 0, axis, err);
        PARA_TRY(dim);
        if (para_shape_find(&out[0], axis) >= 0)
            return para_fail(err, PARA_EAXIS, "order \"%s\" lists \"%s\" twice", n->attr[0].s, axis);
        para_shape_append(&out[0], x->dim[dim].axis, x->dim[dim].whole);
    }
    if (count != x->rank)
        return para_fail(err, PARA_EAXIS, "order \"%s\" lists %d axes, expected all of %s", n->attr[0].s, count,
                         para_shape_text(x, text));
    return 0;
}

static int grad(para_graph *g, const para_node *n, para_tensor *const dy[], para_tensor *dx[])
{
    const struct para_shape *x = &n->in[0]->shape;
    char order[PARA_AXES_TEXT] = "";
    for (int d = 0; d < x->rank; d++) {
        strcat(order, d ? " " : "");
        strcat(order, x->dim[d].axis);
    }
    dx[0] = para_permute(g, dy[0], order);
    return 0;
}

/* y (order) = x */
static int reference(const struct para_call *c)
{
    const struct para_shape *to = &c->node->out[0]->shape, *from = &c->node->in[0]->shape;
    const uint32_t *x = c->in[0];
    uint32_t *y = c->out[0];
    int64_t elements = para_shape_elements(to);
    for (int64_t e = 0; e < elements; e++)
        y[e] = x[para_part_offset(to, from, e)];
    return 0;
}

/* One block, by way of a buffer, so that rows whose addresses share a cache set don't drive one another out. */
static inline void transpose_block(int64_t rows, int64_t columns, const uint32_t *restrict x, int64_t x_row,
                                   uint32_t *restrict y, int64_t y_row)
{
    uint32_t block[BLOCK][BLOCK];
    for (int64_t j = 0; j < columns; j++)
        for (int64_t i = 0; i < rows; i++)
            block[i][j] = x[j * x_row + i];
    for (int64_t i = 0; i < rows; i++)
        memcpy(y + i * y_row, block[i], sizeof *y * (size_t)columns);
}

/* y (M,N) = x (N,M)^T within larger tensors: rows of x are x_row apart, rows of y y_row */
PARA_SIMD static void transpose(int64_t rows, int64_t columns, const uint32_t *restrict x, int64_t x_row,
                                uint32_t *restrict y, int64_t y_row)
{
    for (int64_t i = 0; i < rows; i += BLOCK)
        for (int64_t j = 0; j < columns; j += BLOCK) {
            const uint32_t *from = x + j * x_row + i;
            uint32_t *to = y + i * y_row + j;
            if (rows - i >= BLOCK && columns - j >= BLOCK)
                transpose_block(BLOCK, BLOCK, from, x_row, to, y_row);
            else
                transpose_block(rows - i < BLOCK ? rows - i : BLOCK, columns - j < BLOCK ? columns - j : BLOCK, from,
                                x_row, to, y_row);
        }
}

/* Take dimension d, the one along which x is contiguous, out of the loop over rows, and make a transposition of it
 * and the last. Returns how far apart y's rows along it are, and sets *extent. */
static int64_t take_dimension(struct para_walk *w, int d, int64_t *extent)
{
    int64_t y_row = 1;
    for (int k = d + 1; k < w->rank; k++)
        y_row *= w->extent[k];
    *extent = w->extent[d];
    w->rows /= w->extent[d];
    w->extent[d] = 1;
    return y_row;
}

/* Offset in y, whose dimensions had `extent`, of the row at which the walk stands. */
static int64_t row_offset(const struct para_walk *w, const int64_t extent[])
{
    int64_t offset = 0;
    for (int d = 0; d < w->rank; d++)
        offset = offset * extent[d] + (d < w->rank - 1 ? w->index[d] : 0);
    return offset;
}

static int cpu(const struct para_call *c)
{
    struct para_walk w;
    para_walk_begin(&w, &c->node->out[0]->shape, &c->node->in[0]->shape);
    const uint32_t *x = c->in[0];
    uint32_t *y = c->out[0];
    if (w.step == 1) {
        for (int64_t row = 0; row < w.rows; row++, y += w.length, para_walk_step(&w))
            memcpy(y, x + w.offset, sizeof *y * (size_t)w.length);
        return 0;
    }
    int64_t extent[PARA_MAX_RANK], lines;
    memcpy(extent, w.extent, sizeof extent);
    int contiguous = 0;
    while (w.stride[contiguous] != 1)
        contiguous++;
    int64_t y_row = take_dimension(&w, contiguous, &lines);
    for (int64_t row = 0; row < w.rows; row++, para_walk_step(&w))
        transpose(lines, w.length, x + w.offset, w.step, y + row_offset(&w, extent), y_row);
    return 0;
}

const struct para_op para_op_permute = {
    .name = "permute",
    .attrs = {{"order", PARA_ATTR_STRING}},
    .types = "T:f32|bf16|i32 -> T",
    .float32 = true,
    .infer = infer,
    .grad = grad,
    .cost = para_cost_move,
    .reference = reference,
    .cpu = cpu,
    .cuda = PARA_CUDA(para_permute_cuda),
};

para_tensor *para_permute(para_graph *g, para_tensor *x, const char *order)
{
    return para_apply(&para_op_permute, g, PARA_IN(x), PARA_ATTRS({.s = order}));
}
