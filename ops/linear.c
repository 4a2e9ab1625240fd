/* Products with what stands beside them, in one: graph/fuse.c makes these nodes for GPUs, where a product's epilogue
 * costs less than another pass over memory. CPUs have the formulas alone. All read and write bfloat16, sum up in
 * float32 and round once. linear:                  y = a b + c linear_gelu:             y = a b + c, z = gelu(y), in
 * its tanh form linear_gelu_backward:    dy = (a b) gelu'(y) linear_weight_backward:  dw = a b, dc = the sum of b over
 * the contracted axes; both float32 a, b and `contract` are as in matmul, a without axes that b has but those
 * contracted; c has the axes of b that y has, and these are the last ones of y. Over contracted axes they are whole: c
 * is added once, and what follows needs the sum. */
#include "base/dtype.h"
#include "ops/dims.h"
#include "ops/gelu.h"
#include "ops/need.h"
#include "ops/product.h"
#include "ops/table.h"

#include <math.h>
#include <string.h>

static enum para_role role(const para_node *n, const char *axis, int output, const char **why)
{
    bool contracted = para_word_in(axis, n->attr[0].s);
    (void)output;
    *why = "its sum is needed before what is fused with it";
    return contracted ? PARA_WHOLE : PARA_PARALLEL;
}

/* Whether c's axes are the last of y's, in the same order. */
static bool is_tail(const struct para_shape *y, const struct para_shape *c)
{
    bool tail = c->rank <= y->rank;
    for (int d = 0; d < c->rank && tail; d++)
        tail = strcmp(c->dim[d].axis, y->dim[y->rank - c->rank + d].axis) == 0;
    return tail;
}

/* Fail unless input i is a bias of the product: the columns of y. */
static int need_bias(const para_node *n, int i, const struct para_shape *y, para_error *err)
{
    const struct para_shape *c = &n->in[i]->shape;
    char y_text[PARA_SHAPE_TEXT], c_text[PARA_SHAPE_TEXT];
    bool fits = is_tail(y, c);
    for (int d = 0; d < y->rank && fits; d++)
        fits = (para_shape_find(&n->in[1]->shape, y->dim[d].axis) >= 0) == (d >= y->rank - c->rank) &&
               (para_shape_find(&n->in[0]->shape, y->dim[d].axis) >= 0) == (d < y->rank - c->rank);
    return fits ? 0
                : para_fail(err, PARA_ESHAPE,
                            "the product is %s and the bias %s, expected the axes of the second operand, last",
                            para_shape_text(y, y_text), para_shape_text(c, c_text));
}

static int infer(const para_node *n, struct para_shape out[], para_error *err)
{
    PARA_TRY(para_product_infer(n, out, err));
    out[1] = out[0];
    return need_bias(n, 2, &out[0], err);
}

/* Element e of y = a b + c, rounded. */
static uint16_t biased(const struct para_call *c, const struct para_sums *s, int64_t e)
{
    const uint16_t *bias = c->in[2];
    int64_t columns = para_shape_elements(&c->node->in[2]->shape);
    return para_bf16_of((float)(para_sums_of(s, e) + para_of_bf16(bias[e % columns])));
}

static int linear_cpu(const struct para_call *c)
{
    struct para_sums s;
    uint16_t *y = c->out[0];
    para_sums_begin(&s, c->node, c->in);
    for (int64_t e = 0; e < s.outer.total; e++)
        y[e] = biased(c, &s, e);
    return 0;
}

/* How a product lies must suit its epilogue: one matrix, and rows of y one after another. */
static bool lies_right(const para_node *product)
{
    struct para_product p;
    para_product_plan(&p, product);
    const struct para_matrix *y = &p.matrix[PARA_Y];
    return p.group[PARA_BATCH].total == 1 && !y->packed && !y->transposed && y->ld == p.group[PARA_COLS].total &&
           y->ld % 8 == 0;
}

static void take_product(const para_node *product, union para_attr attr[])
{
    attr[0] = product->attr[0];
    attr[1] = product->attr[1];
}

static bool fuse_linear(const para_node *const of[], union para_attr attr[])
{
    take_product(of[1], attr);
    return para_product_adds_bias(of[0], of[1]) && lies_right(of[1]);
}

const struct para_op para_op_linear = {
    .name = "linear",
    .attrs = {{"contract", PARA_ATTR_STRING}, {"order", PARA_ATTR_STRING}},
    .types = "bf16 bf16 bf16 -> bf16",
    .infer = infer,
    .role = role,
    .cost = para_product_cost,
    .fuses = "a b c -> y: y = add(m, c); m = matmul_bf16(a, b)",
    .fuse = fuse_linear,
    .cpu = linear_cpu,
    .cuda = PARA_CUDA(para_linear_cuda),
    .cuda_scratch = PARA_CUDA(para_linear_cuda_scratch),
};

/* linear_gelu */

static double gelu(double x)
{
    return 0.5 * x * (1.0 + tanh(PARA_GELU_K * (x + PARA_GELU_A * x * x * x)));
}

static double gelu_slope(double x)
{
    double t = tanh(PARA_GELU_K * (x + PARA_GELU_A * x * x * x));
    return 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * PARA_GELU_K * (1.0 + 3.0 * PARA_GELU_A * x * x);
}

static int linear_gelu_cpu(const struct para_call *c)
{
    struct para_sums s;
    uint16_t *y = c->out[0], *z = c->out[1];
    para_sums_begin(&s, c->node, c->in);
    for (int64_t e = 0; e < s.outer.total; e++) {
        y[e] = biased(c, &s, e);
        z[e] = para_bf16_of((float)gelu(para_of_bf16(y[e])));
    }
    return 0;
}

static bool fuse_linear_gelu(const para_node *const of[], union para_attr attr[])
{
    return strcmp(of[0]->attr[0].s, "tanh") == 0 && fuse_linear(of + 1, attr);
}

const struct para_op para_op_linear_gelu = {
    .name = "linear_gelu",
    .attrs = {{"contract", PARA_ATTR_STRING}, {"order", PARA_ATTR_STRING}},
    .types = "bf16 bf16 bf16 -> bf16 bf16",
    .infer = infer,
    .role = role,
    .cost = para_product_cost,
    .fuses = "a b c -> y z: z = gelu(y); y = add(m, c); m = matmul_bf16(a, b)",
    .fuse = fuse_linear_gelu,
    .cpu = linear_gelu_cpu,
    .cuda = PARA_CUDA(para_linear_gelu_cuda),
    .cuda_scratch = PARA_CUDA(para_linear_gelu_cuda_scratch),
};

/* linear_gelu_backward */

static int backward_infer(const para_node *n, struct para_shape out[], para_error *err)
{
    PARA_TRY(para_product_infer(n, out, err));
    return para_need_shape(n, 2, &out[0], err);
}

static int linear_gelu_backward_cpu(const struct para_call *c)
{
    struct para_sums s;
    const uint16_t *y = c->in[2];
    uint16_t *dy = c->out[0];
    para_sums_begin(&s, c->node, c->in);
    for (int64_t e = 0; e < s.outer.total; e++)
        dy[e] = para_bf16_of((float)(para_sums_of(&s, e) * gelu_slope(para_of_bf16(y[e]))));
    return 0;
}

static bool fuse_backward(const para_node *const of[], union para_attr attr[])
{
    take_product(of[1], attr);
    return strcmp(of[0]->attr[0].s, "tanh") == 0 && lies_right(of[1]);
}

const struct para_op para_op_linear_gelu_backward = {
    .name = "linear_gelu_backward",
    .attrs = {{"contract", PARA_ATTR_STRING}, {"order", PARA_ATTR_STRING}},
    .types = "bf16 bf16 bf16 -> bf16",
    .infer = backward_infer,
    .role = role,
    .cost = para_product_cost,
    .fuses = "a b y -> dy: dy = gelu_backward(y, m); m = matmul_bf16(a, b)",
    .fuse = fuse_backward,
    .cpu = linear_gelu_backward_cpu,
    .cuda = PARA_CUDA(para_linear_gelu_backward_cuda),
    .cuda_scratch = PARA_CUDA(para_linear_gelu_backward_cuda_scratch),
};

/* linear_weight_backward */

static int weight_infer(const para_node *n, struct para_shape out[], para_error *err)
{
    PARA_TRY(para_product_infer(n, out, err));
    for (int d = 0; d < n->in[1]->shape.rank; d++)
        if (!para_word_in(n->in[1]->shape.dim[d].axis, n->attr[0].s))
            para_shape_append(&out[1], n->in[1]->shape.dim[d].axis, n->in[1]->shape.dim[d].whole);
    return 0;
}

/* Over axes that a alone has, each part would give all of dc. */
static enum para_role weight_role(const para_node *n, const char *axis, int output, const char **why)
{
    *why = "each part would give all of the bias's gradient";
    if (para_word_in(axis, n->attr[0].s))
        return PARA_REDUCE;
    return output == 1 && para_shape_find(&n->in[1]->shape, axis) < 0 ? PARA_WHOLE : PARA_PARALLEL;
}

static int linear_weight_backward_cpu(const struct para_call *c)
{
    struct para_sums s;
    const struct para_shape *b = &c->node->in[1]->shape, *sum = &c->node->out[1]->shape;
    const uint16_t *x = c->in[1];
    float *dw = c->out[0], *dc = c->out[1];
    para_sums_begin(&s, c->node, c->in);
    for (int64_t e = 0; e < s.outer.total; e++)
        dw[e] = (float)para_sums_of(&s, e);
    /* b's own axes and those contracted, as a product with nothing else */
    const struct para_shape *const shapes[3] = {b, b, sum};
    struct para_group own = {.total = 1}, inner = {.total = 1};
    for (int d = 0; d < b->rank; d++)
        para_group_add(para_shape_find(sum, b->dim[d].axis) >= 0 ? &own : &inner, shapes, &b->dim[d]);
    for (int64_t e = 0; e < own.total; e++) {
        double total = 0;
        for (int64_t k = 0; k < inner.total; k++)
            total += para_of_bf16(x[para_group_offset(&own, PARA_B, e) + para_group_offset(&inner, PARA_B, k)]);
        dc[e] = (float)total;
    }
    return 0;
}

/* b's rows are the contracted axes, one after another, and its columns the bias's. */
static bool fuse_weight(const para_node *const of[], union para_attr attr[])
{
    const para_node *sum = of[0], *product = of[1];
    const struct para_shape *b = &product->in[1]->shape, *dc = &sum->out[0]->shape;
    bool fits = is_tail(b, dc);
    for (int d = 0; d < b->rank && fits; d++)
        fits = para_word_in(b->dim[d].axis, product->attr[0].s) == (d < b->rank - dc->rank);
    for (int d = 0; d < product->in[0]->shape.rank && fits; d++) {
        const char *axis = product->in[0]->shape.dim[d].axis;
        fits = para_word_in(axis, product->attr[0].s) || para_shape_find(b, axis) < 0;
    }
    take_product(product, attr);
    return fits && lies_right(product);
}

const struct para_op para_op_linear_weight_backward = {
    .name = "linear_weight_backward",
    .attrs = {{"contract", PARA_ATTR_STRING}, {"order", PARA_ATTR_STRING}},
    .types = "bf16 bf16 -> f32 f32",
    .infer = weight_infer,
    .role = weight_role,
    .cost = para_product_cost,
    .fuses = "a b -> dw dc: dc = reduce_sum(b); dw = matmul(a, b)",
    .fuse = fuse_weight,
    .cpu = linear_weight_backward_cpu,
    .cuda = PARA_CUDA(para_linear_weight_backward_cuda),
    .cuda_scratch = PARA_CUDA(para_linear_weight_backward_cuda_scratch),
};
