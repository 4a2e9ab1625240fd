/* matmul: y = sum of a b over the contracted axes.
 *   a (batch, M, K), b (batch, K, N) -> y (batch, M, N), where each letter is a group of any number of axes: K those
 *   named in `contract`, batch the others that both have, M and N those that one of them has.
 * y's axes come in that order, within batch and M as in a, within N as in b, unless `order` lists them all.
 * M, N and batch are parallel; parts of K give partial sums.
 *
 * b may be of fewer bits than float32: weights, converted as they are read. A few rows by a matrix go through
 * ops/skinny.h; for more, the weights become float32 in scratch, some columns at a time.
 *
 * The groups may lie in memory in any order. Where a matrix's two groups can each be walked with one stride, and one
 * of these is 1, the product reads or writes it in place; else it goes through a packed copy in scratch. */
#include <paragraph/ops.h>

#include "base/checked.h"
#include "ops/convert.h"
#include "ops/dims.h"
#include "ops/gemm.h"
#include "ops/need.h"
#include "ops/skinny.h"

#include <stdio.h>
#include <string.h>

extern const struct para_op para_op_matmul, para_op_matmul_add;

enum { BATCH, ROWS, COLS, INNER, GROUPS };
enum { A, B, Y };

/* The axes of a group, in the order in which they are merged to one, with their strides in a, b and y (0: absent).
 * Axes of extent 1 are left out: they never hinder. */
struct group {
    int rank;
    int64_t extent[PARA_MAX_RANK], stride[3][PARA_MAX_RANK], total;
};

/* An operand seen as matrices, one for each element of the batch. */
struct matrix {
    int rows, cols;  /* groups */
    bool packed;     /* through scratch, as (batch, rows, cols) */
    bool transposed; /* rows lie innermost */
    int64_t ld;      /* elements from one row (transposed: column) to the next */
};

struct plan {
    struct group group[GROUPS];
    struct matrix matrix[3];
    para_dtype weights; /* of b as it is multiplied: float32 if it is packed */
};

static void add_axis(struct group *g, const struct para_shape *const s[3], const struct para_extent *dim)
{
    if (dim->extent == 1)
        return;
    g->extent[g->rank] = dim->extent;
    for (int k = 0; k < 3; k++)
        g->stride[k][g->rank] = para_shape_stride(s[k], dim->axis);
    g->total *= dim->extent;
    g->rank++;
}

/* Where operand k holds element number `index` of a group. */
static int64_t offset(const struct group *g, int k, int64_t index)
{
    int64_t at = 0;
    for (int i = g->rank - 1; i >= 0; i--) {
        at += index % g->extent[i] * g->stride[k][i];
        index /= g->extent[i];
    }
    return at;
}

/* The one stride that walks a group in operand k; 0 if it has one element, -1 if there is no such stride. */
static int64_t merged_stride(const struct group *g, int k)
{
    for (int i = 0; i + 1 < g->rank; i++)
        if (g->stride[k][i] != g->stride[k][i + 1] * g->extent[i + 1])
            return -1;
    return g->rank ? g->stride[k][g->rank - 1] : 0;
}

static struct matrix lay_out(const struct plan *p, int k, int rows, int cols)
{
    int64_t down = merged_stride(&p->group[rows], k), across = merged_stride(&p->group[cols], k);
    struct matrix m = {.rows = rows, .cols = cols};
    m.packed = down < 0 || across < 0 || (down > 1 && across > 1);
    m.transposed = !m.packed && across > 1;
    int64_t length = p->group[m.transposed ? rows : cols].total, stride = m.transposed ? across : down;
    m.ld = m.packed || stride < length ? length : stride;
    return m;
}

/* Batch, M and N are merged in y's order; K in that of the larger operand, so that the smaller one is packed. */
static void make_plan(struct plan *p, const struct para_shape *a, const struct para_shape *b,
                      const struct para_shape *y)
{
    const struct para_shape *const s[3] = {a, b, y};
    const struct para_shape *larger = para_shape_elements(a) > para_shape_elements(b) ? a : b;
    *p = (struct plan){0};
    for (int i = 0; i < GROUPS; i++)
        p->group[i].total = 1;
    for (int i = 0; i < y->rank; i++) {
        bool in_a = para_shape_find(a, y->dim[i].axis) >= 0, in_b = para_shape_find(b, y->dim[i].axis) >= 0;
        add_axis(&p->group[in_a && in_b ? BATCH : in_a ? ROWS : COLS], s, &y->dim[i]);
    }
    for (int i = 0; i < larger->rank; i++)
        if (para_shape_find(y, larger->dim[i].axis) < 0)
            add_axis(&p->group[INNER], s, &larger->dim[i]);
    p->matrix[A] = lay_out(p, A, ROWS, INNER);
    p->matrix[B] = lay_out(p, B, INNER, COLS);
    p->matrix[Y] = lay_out(p, Y, ROWS, COLS);
    p->weights = p->matrix[B].packed ? PARA_F32 : b->dtype;
}

static void plan_node(struct plan *p, const para_node *n)
{
    make_plan(p, &n->in[0]->shape, &n->in[1]->shape, &n->out[0]->shape);
}

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

static int check_range(const struct para_shape *y, para_error *err)
{
    int64_t elements = 1;
    for (int i = 0; i < y->rank; i++)
        if (!para_mul_i64(elements, y->dim[i].whole, &elements))
            return para_fail(err, PARA_ERANGE, "the product has more than 2^63 elements");
    return 0;
}

static int infer(const para_node *n, struct para_shape out[], para_error *err)
{
    PARA_TRY(para_need_dtype(n, 0, PARA_F32, err));
    PARA_TRY(para_need_weights(n, 1, err));
    PARA_TRY(check_contract(n, err));
    if (!default_axes(&n->in[0]->shape, &n->in[1]->shape, n->attr[0].s, &out[0]))
        return para_fail(err, PARA_ESHAPE, "the product has more than %d axes", PARA_MAX_RANK);
    if (n->attr[1].s[0])
        PARA_TRY(put_in_order(&out[0], n->attr[1].s, err));
    PARA_TRY(check_range(&out[0], err));
    return 1;
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

static void cost(const para_node *n, struct para_cost *c)
{
    struct plan p;
    plan_node(&p, n);
    c->flops = 2.0;
    for (int i = 0; i < GROUPS; i++)
        c->flops *= (double)p.group[i].total;
}

/* y (batch, M, N) = or += sum over K of a (batch, M, K) b (batch, K, N), axes in any order */
static int sum_products(const struct para_call *c, bool add)
{
    const struct para_shape *a = &c->node->in[0]->shape, *b = &c->node->in[1]->shape, *y = &c->node->out[0]->shape;
    const struct para_shape *const shapes[3] = {a, b, y};
    const float *x = c->in[0];
    const char *weights = c->in[1];
    float *out = c->out[0];
    size_t element = para_dtype_bytes(b->dtype);
    struct group outer = {.total = 1}, inner = {.total = 1};
    for (int i = 0; i < y->rank; i++)
        add_axis(&outer, shapes, &y->dim[i]);
    for (int i = 0; i < a->rank; i++)
        if (para_shape_find(y, a->dim[i].axis) < 0)
            add_axis(&inner, shapes, &a->dim[i]);
    for (int64_t e = 0; e < outer.total; e++) {
        int64_t at_x = offset(&outer, A, e), at_w = offset(&outer, B, e);
        double sum = add ? out[e] : 0;
        for (int64_t k = 0; k < inner.total; k++) {
            float w;
            para_convert(1, b->dtype, weights + (size_t)(at_w + offset(&inner, B, k)) * element, &w);
            sum += (double)x[at_x + offset(&inner, A, k)] * w;
        }
        out[e] = (float)sum;
    }
    return 0;
}

static int reference(const struct para_call *c)
{
    return sum_products(c, false);
}

/* A packed copy is walked in runs along the last axis of the columns. */
struct runs {
    int64_t count, length, stride;
};

static struct runs runs_of(const struct plan *p, int k)
{
    const struct matrix *m = &p->matrix[k];
    const struct group *cols = &p->group[m->cols];
    struct runs r = {.length = 1, .stride = 1};
    if (cols->rank) {
        r.length = cols->extent[cols->rank - 1];
        r.stride = cols->stride[k][cols->rank - 1];
    }
    r.count = p->group[BATCH].total * p->group[m->rows].total * (cols->total / r.length);
    return r;
}

static int64_t run_start(const struct plan *p, int k, int64_t element)
{
    const struct group *batch = &p->group[BATCH], *rows = &p->group[p->matrix[k].rows],
                       *cols = &p->group[p->matrix[k].cols];
    return offset(cols, k, element % cols->total) + offset(rows, k, element / cols->total % rows->total) +
           offset(batch, k, element / cols->total / rows->total);
}

static void pack(const struct plan *p, int k, para_dtype dtype, const void *own, float *packed)
{
    struct runs r = runs_of(p, k);
    int64_t piece = r.stride == 1 ? r.length : 1;
    size_t element = para_dtype_bytes(dtype);
    for (int64_t i = 0; i < r.count; i++) {
        const char *from = (const char *)own + (size_t)run_start(p, k, i * r.length) * element;
        for (int64_t e = 0; e < r.length; e += piece)
            para_convert(piece, dtype, from + (size_t)(e * r.stride) * element, packed + i * r.length + e);
    }
}

static void unpack(const struct plan *p, int k, const float *packed, float *own, bool add)
{
    struct runs r = runs_of(p, k);
    for (int64_t i = 0; i < r.count; i++) {
        float *to = own + run_start(p, k, i * r.length);
        for (int64_t e = 0; e < r.length; e++)
            to[e * r.stride] = packed[i * r.length + e] + (add ? to[e * r.stride] : 0.0f);
    }
}

static int64_t matrix_elements(const struct plan *p, int k)
{
    return p->group[p->matrix[k].rows].total * p->group[p->matrix[k].cols].total;
}

/* Bytes of the packed copy of operand k, in whole cache lines; 0 if it is used in place. */
static size_t packed_bytes(const struct plan *p, int k)
{
    if (!p->matrix[k].packed)
        return 0;
    return ((size_t)(p->group[BATCH].total * matrix_elements(p, k)) * sizeof(float) + 63) / 64 * 64;
}

/* Columns of weights that are converted at a time: about half a megabyte of float32, which a core's cache holds. */
static int64_t converted_columns(const struct plan *p)
{
    int64_t fit = (1 << 17) / p->group[INNER].total / 16 * 16, all = p->group[COLS].total;
    fit = fit < 16 ? 16 : fit;
    return fit < all ? fit : all;
}

static size_t converted_bytes(const struct plan *p)
{
    if (p->weights == PARA_F32)
        return 0;
    return ((size_t)(p->group[INNER].total * converted_columns(p)) * sizeof(float) + 63) / 64 * 64;
}

static size_t scratch(const para_node *n)
{
    struct plan p;
    plan_node(&p, n);
    int64_t rows = p.group[p.matrix[Y].transposed ? COLS : ROWS].total;
    int64_t cols = p.group[p.matrix[Y].transposed ? ROWS : COLS].total;
    return packed_bytes(&p, A) + packed_bytes(&p, B) + packed_bytes(&p, Y) + converted_bytes(&p) +
           para_gemm_scratch(rows, cols, p.group[INNER].total);
}

static struct para_gemm_operand gemm_operand(const struct matrix *m, bool transpose, const float *at)
{
    bool transposed = m->transposed != transpose;
    return (struct para_gemm_operand){at, transposed ? 1 : m->ld, transposed ? m->ld : 1};
}

/* y (M,N) = or += a (M,K) b (K,N); where y lies transposed, y^T (N,M) = b^T (N,K) a^T (K,M) */
static void multiply(const struct plan *p, const float *a, const float *b, float *y, bool add, void *scratch)
{
    const struct matrix *ma = &p->matrix[A], *mb = &p->matrix[B], *my = &p->matrix[Y];
    int64_t rows = p->group[ROWS].total, cols = p->group[COLS].total, inner = p->group[INNER].total;
    struct para_gemm g = {.m = rows, .n = cols, .k = inner, .c = y, .c_row = my->ld, .add = add};
    g.a = gemm_operand(ma, false, a);
    g.b = gemm_operand(mb, false, b);
    if (my->transposed) {
        g.m = cols;
        g.n = rows;
        g.a = gemm_operand(mb, true, b);
        g.b = gemm_operand(ma, true, a);
    }
    para_gemm(&g, scratch);
}

/* The same with a few rows, which read b once. */
static void multiply_few(const struct plan *p, const float *a, const void *b, float *y)
{
    const struct matrix *mb = &p->matrix[B];
    struct para_weights_matrix w = {p->weights, p->group[COLS].total, p->group[INNER].total, mb->ld, b};
    int64_t rows = p->group[ROWS].total, lda = p->matrix[A].ld, ldy = p->matrix[Y].ld;
    if (mb->transposed)
        para_skinny_transposed(&w, rows, a, lda, y, ldy);
    else
        para_skinny_rows(&w, rows, a, lda, y, ldy);
}

/* The same with weights of fewer bits, some columns at a time in scratch. */
static void multiply_converted(const struct plan *p, const float *a, const char *b, float *y, bool add, char *scratch)
{
    float *converted = (float *)(void *)scratch;
    const struct matrix *mb = &p->matrix[B], *my = &p->matrix[Y];
    int64_t all = p->group[COLS].total, inner = p->group[INNER].total, most = converted_columns(p);
    size_t element = para_dtype_bytes(p->weights);
    struct plan part = *p;
    for (int64_t first = 0; first < all; first += most) {
        int64_t cols = all - first < most ? all - first : most;
        int64_t lines = mb->transposed ? cols : inner, length = mb->transposed ? inner : cols;
        const char *from = b + (size_t)(first * (mb->transposed ? mb->ld : 1)) * element;
        for (int64_t i = 0; i < lines; i++)
            para_convert(length, p->weights, from + (size_t)(i * mb->ld) * element, converted + i * length);
        part.group[COLS].total = cols;
        part.matrix[B].ld = length;
        multiply(&part, a, converted, y + first * (my->transposed ? my->ld : 1), add, scratch + converted_bytes(p));
    }
}

/* Where the matrix of one element of the batch begins. */
static int64_t matrix_start(const struct plan *p, int k, int64_t element)
{
    return p->matrix[k].packed ? element * matrix_elements(p, k) : offset(&p->group[BATCH], k, element);
}

/* One element of the batch; scratch has room for converted columns, then for the product. */
static void multiply_one(const struct plan *p, const float *a, const void *b, float *y, bool add, char *scratch)
{
    bool few = p->group[ROWS].total <= PARA_SKINNY_ROWS && !p->matrix[A].transposed && !p->matrix[Y].transposed;
    if (few && !add)
        multiply_few(p, a, b, y);
    else if (p->weights != PARA_F32)
        multiply_converted(p, a, b, y, add, scratch);
    else
        multiply(p, a, b, y, add, scratch);
}

static int product(const struct para_call *c, bool add)
{
    struct plan p;
    plan_node(&p, c->node);
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
    const float *a = operand[A];
    float *y = p.matrix[Y].packed ? (float *)(void *)free_scratch : c->out[0];
    free_scratch += packed_bytes(&p, Y);
    for (int64_t e = 0; e < p.group[BATCH].total; e++)
        multiply_one(&p, a + matrix_start(&p, A, e),
                     (const char *)operand[B] + (size_t)matrix_start(&p, B, e) * para_dtype_bytes(p.weights),
                     y + matrix_start(&p, Y, e), add && !p.matrix[Y].packed, free_scratch);
    if (p.matrix[Y].packed)
        unpack(&p, Y, y, c->out[0], add);
    return 0;
}

static int cpu(const struct para_call *c)
{
    return product(c, false);
}

const struct para_op para_op_matmul = {
    .name = "matmul",
    .attrs = {{"contract", PARA_ATTR_STRING}, {"order", PARA_ATTR_STRING}},
    .inputs = {2, 2},
    .infer = infer,
    .role = role,
    .accumulate = &para_op_matmul_add,
    .grad = grad,
    .cost = cost,
    .scratch = scratch,
    .reference = reference,
    .cpu = cpu,
};

/* matmul_add: y += sum over the contracted axes of a b, in place: a, b and y as in matmul -> y */

static int add_infer(const para_node *n, struct para_shape out[], para_error *err)
{
    PARA_TRY(infer(n, out, err));
    return para_need_accumulator(n, 2, &out[0], err);
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
    .inputs = {3, 3},
    .infer = add_infer,
    .role = role,
    .cost = cost,
    .scratch = scratch,
    .updates = {1 + 2},
    .reference = add_reference,
    .cpu = add_cpu,
};

para_tensor *para_matmul(para_graph *g, para_tensor *a, para_tensor *b, const char *contract)
{
    return para_apply(&para_op_matmul, g, PARA_IN(a, b), PARA_ATTRS({.s = contract}, {.s = ""}));
}
