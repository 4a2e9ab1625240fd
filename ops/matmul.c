/* matmul: y = sum of a b over the contracted axes.
 *   a (batch, M, K), b (batch, K, N) -> y (batch, M, N), where each letter is a group of any number of axes: K those
 *   named in `contract`, batch the others that both have, M and N those that one of them has.
 * y's axes come in that order, within batch and M as in a, within N as in b, unless `order` lists them all.
 * M, N and batch are parallel; parts of K give partial sums.
 *
 * b may be of fewer bits than float32: weights, converted as they are read, of types in blocks with K last. A few rows
 * by a matrix go through kernels/skinny.h, by one of blocks through kernels/blocks.h, as do more where the processor
 * has what it takes; for all others the weights become float32 in scratch, some columns at a time. Where all is float32
 * and rows are many, kernels/provider.h says who computes. a may be bfloat16 if b is; it becomes float32 in scratch.
 * Sums are float32, and matmul_bf16 rounds them once.
 *
 * The groups may lie in memory in any order. Where a matrix's two groups can each be walked with one stride, and one
 * of these is 1, the product reads or writes it in place; else it goes through a packed copy in scratch. */
#include <paragraph/ops.h>

#include "base/checked.h"
#include "base/dtype.h"
#include "kernels/bf16-amx.h"
#include "kernels/blocks.h"
#include "kernels/convert.h"
#include "kernels/gemm.h"
#include "kernels/provider.h"
#include "kernels/skinny.h"
#include "ops/dims.h"
#include "ops/need.h"
#include "ops/product.h"
#include "ops/table.h"

#include <stdio.h>
#include <string.h>

/* y's axes in their default order; false if they are more than a tensor can have. */
static bool default_axes(const struct para_shape *a, const struct para_shape *b, const char *contract,
                         struct para_shape *y)
{
    *y = (struct para_shape){.dtype = PARA_F32};
    for (int own = 0; own < 2; own++)
        for (int i = 0; i < a->rank; i++)
            if (!para_word_in(a->dim[i].axis, contract) && (para_shape_find(b, a->dim[i].axis) < 0) == own)
                para_shape_append(y, a->dim[i].axis, a->dim[i].whole);
    for (int i = 0; i < b->rank; i++) {
        if (para_shape_find(a, b->dim[i].axis) >= 0)
            continue;
        if (y->rank == PARA_MAX_RANK)
            return false;
        para_shape_append(y, b->dim[i].axis, b->dim[i].whole);
    }
    return true;
}

static int count_words(const char *list)
{
    int words = 0;
    for (const char *p = list + strspn(list, " "); *p; p += strcspn(p, " "), p += strspn(p, " "))
        words++;
    return words;
}

static int check_contract(const para_node *n, para_error *err)
{
    char axis[PARA_MAX_AXIS_NAME + 1], text[PARA_SHAPE_TEXT];
    for (int w = 0; w < count_words(n->attr[0].s); w++)
        for (int k = 0; k < 2; k++)
            if (!para_word(n->attr[0].s, w, axis) || para_shape_find(&n->in[k]->shape, axis) < 0)
                return para_fail(err, PARA_EAXIS, "contract is \"%s\", expected axes of both operands; %s is %s",
                                 n->attr[0].s, k ? "the second" : "the first", para_shape_text(&n->in[k]->shape, text));
    return 0;
}

static int put_in_order(struct para_shape *y, const char *order, para_error *err)
{
    char axis[PARA_MAX_AXIS_NAME + 1], text[PARA_SHAPE_TEXT];
    struct para_shape by_default = *y;
    y->rank = 0;
    for (int w = 0; w < by_default.rank && para_word(order, w, axis); w++) {
        int from = para_shape_find(&by_default, axis);
        if (from >= 0 && para_shape_find(y, axis) < 0)
            para_shape_append(y, by_default.dim[from].axis, by_default.dim[from].whole);
    }
    if (y->rank != by_default.rank || count_words(order) != y->rank)
        return para_fail(err, PARA_EAXIS, "order is \"%s\", expected each axis of the product once: %s", order,
                         para_shape_text(&by_default, text));
    return 0;
}

/* What is contracted must be b's last axes, and hold whole blocks. */
static int check_blocks(const struct para_shape *b, const char *contract, para_error *err)
{
    int64_t block = para_dtype_block(b->dtype), length = 1;
    char text[PARA_SHAPE_TEXT];
    int d = b->rank;
    while (d > 0 && para_word_in(b->dim[d - 1].axis, contract))
        length *= b->dim[--d].whole;
    if (block == 1 || (b->rank - d == count_words(contract) && length % block == 0))
        return 0;
    return para_fail(err, PARA_ESHAPE, "the second operand is %s, expected \"%s\" last, a multiple of %d elements",
                     para_shape_text(b, text), contract, (int)block);
}

static int check_range(const struct para_shape *y, para_error *err)
{
    int64_t elements = 1;
    for (int i = 0; i < y->rank; i++)
        if (!para_mul_i64(elements, y->dim[i].whole, &elements))
            return para_fail(err, PARA_ERANGE, "the product has more than 2^63 elements");
    return 0;
}

int para_product_infer(const para_node *n, struct para_shape out[], para_error *err)
{
    PARA_TRY(check_contract(n, err));
    if (!default_axes(&n->in[0]->shape, &n->in[1]->shape, n->attr[0].s, &out[0]))
        return para_fail(err, PARA_ESHAPE, "the product has more than %d axes", PARA_MAX_RANK);
    if (n->attr[1].s[0])
        PARA_TRY(put_in_order(&out[0], n->attr[1].s, err));
    PARA_TRY(check_blocks(&n->in[1]->shape, n->attr[0].s, err));
    return check_range(&out[0], err);
}

static enum para_role role(const para_node *n, const char *axis, int output, const char **why)
{
    (void)output, (void)why;
    return para_word_in(axis, n->attr[0].s) ? PARA_REDUCE : PARA_PARALLEL;
}

static bool same_axes(const struct para_shape *s, const struct para_shape *t)
{
    for (int i = 0; i < s->rank && i < t->rank; i++)
        if (strcmp(s->dim[i].axis, t->dim[i].axis) != 0)
            return false;
    return s->rank == t->rank;
}

/* The gradient of operand x, whose partner in the product was w: contract dy with w over what x lacks. */
static para_tensor *operand_gradient(para_graph *g, const para_tensor *x, para_tensor *w, para_tensor *dy)
{
    if (!dy || !para_wants_grad(g, x))
        return NULL;
    char contract[PARA_AXES_TEXT], order[PARA_AXES_TEXT];
    para_axes_list(&w->shape, &x->shape, false, contract);
    para_axes_list(&x->shape, &x->shape, true, order);
    struct para_shape shape;
    if (default_axes(&dy->shape, &w->shape, contract, &shape) && same_axes(&shape, &x->shape))
        return para_apply(&para_op_matmul, g, PARA_IN(dy, w), PARA_ATTRS({.s = contract}, {.s = ""}));
    if (default_axes(&w->shape, &dy->shape, contract, &shape) && same_axes(&shape, &x->shape))
        return para_apply(&para_op_matmul, g, PARA_IN(w, dy), PARA_ATTRS({.s = contract}, {.s = ""}));
    return para_apply(&para_op_matmul, g, PARA_IN(dy, w), PARA_ATTRS({.s = contract}, {.s = order}));
}

static int grad(para_graph *g, const para_node *n, para_tensor *const dy[], para_tensor *dx[])
{
    dx[0] = operand_gradient(g, n->in[0], n->in[1], dy[0]);
    dx[1] = operand_gradient(g, n->in[1], n->in[0], dy[0]);
    return 0;
}

void para_product_cost(const para_node *n, struct para_cost *c)
{
    struct para_product p;
    para_product_plan(&p, n);
    c->flops = 2.0;
    for (int i = 0; i < PARA_GROUPS; i++)
        c->flops *= (double)p.group[i].total;
}

/* y (batch, M, N) = or += sum over K of a (batch, M, K) b (batch, K, N), axes in any order */
static int sum_products(const struct para_call *c, bool add)
{
    struct para_sums s;
    float *y = c->out[0];
    uint16_t *half = c->out[0];
    para_sums_begin(&s, c->node, c->in);
    for (int64_t e = 0; e < s.outer.total; e++) {
        double sum = para_sums_of(&s, e);
        if (c->node->out[0]->shape.dtype == PARA_BF16)
            half[e] = para_bf16_of((float)sum);
        else
            y[e] = (float)(sum + (add ? y[e] : 0.0));
    }
    return 0;
}

static int reference(const struct para_call *c)
{
    return sum_products(c, false);
}

/* The plan of a node's product in float32: all else but b goes through a packed copy. */
static void plan(struct para_product *p, const para_node *n)
{
    para_product_plan(p, n);
    if (n->in[PARA_A]->shape.dtype != PARA_F32)
        para_product_pack(p, PARA_A);
    if (n->out[0]->shape.dtype != PARA_F32)
        para_product_pack(p, PARA_Y);
}

/* A packed copy is walked in runs along the last axis of the columns. */
struct runs {
    int64_t count, length, stride;
};

static struct runs runs_of(const struct para_product *p, int k)
{
    const struct para_matrix *m = &p->matrix[k];
    const struct para_group *cols = &p->group[m->cols];
    struct runs r = {.length = 1, .stride = 1};
    if (cols->rank) {
        r.length = cols->extent[cols->rank - 1];
        r.stride = cols->stride[k][cols->rank - 1];
    }
    r.count = p->group[PARA_BATCH].total * p->group[m->rows].total * (cols->total / r.length);
    return r;
}

static int64_t run_start(const struct para_product *p, int k, int64_t element)
{
    const struct para_group *batch = &p->group[PARA_BATCH], *rows = &p->group[p->matrix[k].rows],
                            *cols = &p->group[p->matrix[k].cols];
    return para_group_offset(cols, k, element % cols->total) +
           para_group_offset(rows, k, element / cols->total % rows->total) +
           para_group_offset(batch, k, element / cols->total / rows->total);
}

static void pack(const struct para_product *p, int k, para_dtype dtype, const void *own, float *packed)
{
    struct runs r = runs_of(p, k);
    int64_t piece = r.stride == 1 ? r.length : 1;
    for (int64_t i = 0; i < r.count; i++) {
        int64_t from = run_start(p, k, i * r.length);
        for (int64_t e = 0; e < r.length; e += piece)
            para_convert(piece, dtype, own, from + e * r.stride, packed + i * r.length + e);
    }
}

static void round_packed(const struct para_product *p, int k, const float *packed, uint16_t *own)
{
    struct runs r = runs_of(p, k);
    for (int64_t i = 0; i < r.count; i++) {
        uint16_t *to = own + run_start(p, k, i * r.length);
        for (int64_t e = 0; e < r.length; e++)
            to[e * r.stride] = para_bf16_of(packed[i * r.length + e]);
    }
}

static void unpack(const struct para_product *p, int k, const float *packed, float *own, bool add)
{
    struct runs r = runs_of(p, k);
    for (int64_t i = 0; i < r.count; i++) {
        float *to = own + run_start(p, k, i * r.length);
        for (int64_t e = 0; e < r.length; e++)
            to[e * r.stride] = packed[i * r.length + e] + (add ? to[e * r.stride] : 0.0f);
    }
}

/* Bytes of the packed copy of operand k, in whole cache lines; 0 if it is used in place. */
static size_t packed_bytes(const struct para_product *p, int k)
{
    if (!p->matrix[k].packed)
        return 0;
    return ((size_t)(p->group[PARA_BATCH].total * para_product_elements(p, k)) * sizeof(float) + 63) / 64 * 64;
}

/* Columns of weights that are converted at a time: about half a megabyte of float32, which a core's cache holds, but as
 * many as make up for packing the other operand once more. */
static int64_t converted_columns(const struct para_product *p)
{
    const int64_t WORTH = 128;
    int64_t fit = (1 << 17) / p->group[PARA_INNER].total / 16 * 16, all = p->group[PARA_COLS].total;
    return para_smaller(fit < WORTH ? WORTH : fit, all);
}

static size_t converted_bytes(const struct para_product *p)
{
    if (p->weights == PARA_F32)
        return 0;
    return ((size_t)(p->group[PARA_INNER].total * converted_columns(p)) * sizeof(float) + 63) / 64 * 64;
}

static bool has_few_rows(const struct para_product *p)
{
    return p->group[PARA_ROWS].total <= PARA_SKINNY_ROWS;
}

/* Whether rows are multiplied by weights in blocks as these lie, where all lies right. */
static bool goes_by_blocks(const struct para_product *p)
{
    return para_dtype_blocks(p->weights) && (has_few_rows(p) || para_blocks_many());
}

/* What products by weights in blocks need. */
static size_t blocks_bytes(const struct para_product *p)
{
    return goes_by_blocks(p) ? para_blocks_scratch(p->group[PARA_ROWS].total, p->group[PARA_INNER].total) : 0;
}

/* Whether rows are multiplied by tiles of bfloat16, where all lies right. */
static bool goes_by_tiles(const struct para_product *p)
{
    return (p->weights == PARA_BF16 || p->weights == PARA_I8) && !has_few_rows(p) && para_bf16_amx_known();
}

static size_t tiles_bytes(const struct para_product *p)
{
    return goes_by_tiles(p) ? para_bf16_amx_scratch(p->group[PARA_ROWS].total, p->group[PARA_INNER].total) : 0;
}

static size_t scratch(const para_node *n)
{
    struct para_product p;
    plan(&p, n);
    int64_t rows = p.group[p.matrix[PARA_Y].transposed ? PARA_COLS : PARA_ROWS].total;
    int64_t cols = p.group[p.matrix[PARA_Y].transposed ? PARA_ROWS : PARA_COLS].total;
    return packed_bytes(&p, PARA_A) + packed_bytes(&p, PARA_B) + packed_bytes(&p, PARA_Y) + converted_bytes(&p) +
           para_gemm_scratch(rows, cols, p.group[PARA_INNER].total) + blocks_bytes(&p) + tiles_bytes(&p);
}

static struct para_gemm_operand gemm_operand(const struct para_matrix *m, bool transpose, const float *at)
{
    bool transposed = m->transposed != transpose;
    return (struct para_gemm_operand){at, transposed ? 1 : m->ld, transposed ? m->ld : 1};
}

/* y (M,N) = or += a (M,K) b (K,N); where y lies transposed, y^T (N,M) = b^T (N,K) a^T (K,M) */
static struct para_gemm gemm_of(const struct para_product *p, const float *a, const float *b, float *y, bool add)
{
    const struct para_matrix *ma = &p->matrix[PARA_A], *mb = &p->matrix[PARA_B], *my = &p->matrix[PARA_Y];
    int64_t rows = p->group[PARA_ROWS].total, cols = p->group[PARA_COLS].total, inner = p->group[PARA_INNER].total;
    struct para_gemm g = {.m = rows, .n = cols, .k = inner, .c = y, .c_row = my->ld, .add = add};
    g.a = gemm_operand(ma, false, a);
    g.b = gemm_operand(mb, false, b);
    if (my->transposed) {
        g.m = cols;
        g.n = rows;
        g.a = gemm_operand(mb, true, b);
        g.b = gemm_operand(ma, true, a);
    }
    return g;
}

static struct para_weights_matrix weights_of(const struct para_product *p, const void *b)
{
    return (struct para_weights_matrix){p->weights, p->group[PARA_COLS].total, p->group[PARA_INNER].total,
                                        p->matrix[PARA_B].ld, b};
}

/* The same with a few rows, which read b once. */
static void multiply_few(const struct para_product *p, const float *a, const void *b, float *y)
{
    const struct para_matrix *mb = &p->matrix[PARA_B];
    struct para_weights_matrix w = weights_of(p, b);
    int64_t rows = p->group[PARA_ROWS].total, lda = p->matrix[PARA_A].ld, ldy = p->matrix[PARA_Y].ld;
    if (mb->transposed)
        para_skinny_transposed(&w, rows, a, lda, y, ldy);
    else
        para_skinny_rows(&w, rows, a, lda, y, ldy);
}

/* The same with weights of fewer bits, some columns at a time in scratch. */
static void multiply_converted(const struct para_product *p, const float *a, const void *b, float *y, bool add,
                               char *scratch)
{
    float *converted = (float *)(void *)scratch;
    const struct para_matrix *mb = &p->matrix[PARA_B], *my = &p->matrix[PARA_Y];
    int64_t all = p->group[PARA_COLS].total, inner = p->group[PARA_INNER].total, most = converted_columns(p);
    struct para_product part = *p;
    for (int64_t first = 0; first < all; first += most) {
        int64_t cols = all - first < most ? all - first : most;
        int64_t lines = mb->transposed ? cols : inner, length = mb->transposed ? inner : cols;
        int64_t from = first * (mb->transposed ? mb->ld : 1);
        for (int64_t i = 0; i < lines; i++)
            para_convert(length, p->weights, b, from + i * mb->ld, converted + i * length);
        part.group[PARA_COLS].total = cols;
        part.matrix[PARA_B].ld = length;
        float *to = y + first * (my->transposed ? my->ld : 1);
        struct para_gemm g = gemm_of(&part, a, converted, to, add);
        para_gemm(&g, scratch + converted_bytes(p));
    }
}

/* Where the matrix of one element of the batch begins. */
static int64_t matrix_start(const struct para_product *p, int k, int64_t element)
{
    return p->matrix[k].packed ? element * para_product_elements(p, k)
                               : para_group_offset(&p->group[PARA_BATCH], k, element);
}

/* One element of the batch; scratch has room for converted columns, then for the product. */
static void multiply_one(const struct para_product *p, const struct para_provider *by, const float *a, const void *b,
                         float *y, bool add, char *scratch)
{
    bool right = !p->matrix[PARA_A].transposed && !p->matrix[PARA_Y].transposed;
    if (right && goes_by_blocks(p)) {
        struct para_weights_matrix w = weights_of(p, b);
        para_blocks_multiply(&w, p->group[PARA_ROWS].total, a, p->matrix[PARA_A].ld, y, p->matrix[PARA_Y].ld, add,
                             scratch);
    } else if (right && has_few_rows(p) && !add) {
        multiply_few(p, a, b, y);
    } else if (right && goes_by_tiles(p)) {
        struct para_weights_matrix w = weights_of(p, b);
        para_bf16_amx(&w, p->matrix[PARA_B].transposed, p->group[PARA_ROWS].total, a, p->matrix[PARA_A].ld, y,
                      p->matrix[PARA_Y].ld, add, scratch);
    } else if (p->weights != PARA_F32) {
        multiply_converted(p, a, b, y, add, scratch);
    } else {
        struct para_gemm g = gemm_of(p, a, b, y, add);
        by->multiply(&g, scratch);
    }
}

static int product(const struct para_call *c, bool add)
{
    struct para_product p;
    plan(&p, c->node);
    const struct para_provider *by = &para_provider_own; /* where a row's company must not change it */
    if (!has_few_rows(&p) && c->node->in[PARA_B]->shape.dtype == PARA_F32)
        PARA_TRY(para_provider_get(&by, c->err));
    char *free_scratch = c->scratch;
    const void *operand[2];
    for (int k = 0; k < 2; k++) {
        operand[k] = c->in[k];
        if (!p.matrix[k].packed)
            continue;
        operand[k] = free_scratch;
        pack(&p, k, c->node->in[k]->shape.dtype, c->in[k], (float *)(void *)free_scratch);
        free_scratch += packed_bytes(&p, k);
    }
    const float *a = operand[PARA_A];
    float *y = p.matrix[PARA_Y].packed ? (float *)(void *)free_scratch : c->out[0];
    free_scratch += packed_bytes(&p, PARA_Y);
    for (int64_t e = 0; e < p.group[PARA_BATCH].total; e++)
        multiply_one(&p, by, a + matrix_start(&p, PARA_A, e),
                     (const char *)operand[PARA_B] + para_dtype_span(p.weights, matrix_start(&p, PARA_B, e)),
                     y + matrix_start(&p, PARA_Y, e), add && !p.matrix[PARA_Y].packed, free_scratch);
    if (c->node->out[0]->shape.dtype == PARA_BF16)
        round_packed(&p, PARA_Y, y, c->out[0]);
    else if (p.matrix[PARA_Y].packed)
        unpack(&p, PARA_Y, y, c->out[0], add);
    return 0;
}

static int cpu(const struct para_call *c)
{
    return product(c, false);
}

const struct para_op para_op_matmul = {
    .name = "matmul",
    .attrs = {{"contract", PARA_ATTR_STRING}, {"order", PARA_ATTR_STRING}},
    .types = "f32 f32|bf16|i8|q8_0|q4_0 -> f32; bf16 bf16 -> f32",
    .narrow = &para_op_matmul_bf16,
    .infer = para_product_infer,
    .role = role,
    .accumulate = &para_op_matmul_add,
    .grad = grad,
    .cost = para_product_cost,
    .scratch = scratch,
    .reference = reference,
    .cpu = cpu,
    .cuda = PARA_CUDA(para_matmul_cuda),
    .cuda_scratch = PARA_CUDA(para_matmul_cuda_scratch),
};

/* matmul_bf16: the product of matmul, rounded to bfloat16 */

const struct para_op para_op_matmul_bf16 = {
    .name = "matmul_bf16",
    .attrs = {{"contract", PARA_ATTR_STRING}, {"order", PARA_ATTR_STRING}},
    .types = "bf16 bf16 -> bf16",
    .infer = para_product_infer,
    .role = role,
    .cost = para_product_cost,
    .scratch = scratch,
    .reference = reference,
    .cpu = cpu,
    .cuda = PARA_CUDA(para_matmul_bf16_cuda),
    .cuda_scratch = PARA_CUDA(para_matmul_bf16_cuda_scratch),
};

/* matmul_add: y += sum over the contracted axes of a b, in place: a, b and y as in matmul -> y */

static int add_infer(const para_node *n, struct para_shape out[], para_error *err)
{
    PARA_TRY(para_product_infer(n, out, err));
    return para_need_shape(n, 2, &out[0], err);
}

static int add_reference(const struct para_call *c)
{
    return sum_products(c, true);
}

static int add_cpu(const struct para_call *c)
{
    return product(c, true);
}

const struct para_op para_op_matmul_add = {
    .name = "matmul_add",
    .attrs = {{"contract", PARA_ATTR_STRING}, {"order", PARA_ATTR_STRING}},
    .types = "f32 f32|bf16|i8|q8_0|q4_0 f32 -> f32; bf16 bf16 f32 -> f32",
    .infer = add_infer,
    .role = role,
    .cost = para_product_cost,
    .scratch = scratch,
    .updates = {1 + 2},
    .reference = add_reference,
    .cpu = add_cpu,
    .cuda = PARA_CUDA(para_matmul_add_cuda),
    .cuda_scratch = PARA_CUDA(para_matmul_add_cuda_scratch),
};

para_tensor *para_matmul(para_graph *g, para_tensor *a, para_tensor *b, const char *contract)
{
    return para_apply(&para_op_matmul, g, PARA_IN(a, b), PARA_ATTRS({.s = contract}, {.s = ""}));
}

int para_matmul_provider(const char **out, para_error *err)
{
    const struct para_provider *by;
    PARA_TRY(para_provider_get(&by, err));
    *out = by->name;
    return 0;
}
