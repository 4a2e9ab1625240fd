#include "ops/product.h"

#include "base/dtype.h"
#include "kernels/convert.h"

#include <string.h>

void para_group_add(struct para_group *g, const struct para_shape *const s[3], const struct para_extent *dim)
{
    if (dim->extent == 1)
        return;
    g->extent[g->rank] = dim->extent;
    for (int k = 0; k < 3; k++)
        g->stride[k][g->rank] = para_shape_stride(s[k], dim->axis);
    g->total *= dim->extent;
    g->rank++;
}

int64_t para_group_stride(const struct para_group *g, int k)
{
    for (int i = 0; i + 1 < g->rank; i++)
        if (g->stride[k][i] != g->stride[k][i + 1] * g->extent[i + 1])
            return -1;
    return g->rank ? g->stride[k][g->rank - 1] : 0;
}

static struct para_matrix lay_out(const struct para_product *p, int k, int rows, int cols)
{
    int64_t down = para_group_stride(&p->group[rows], k), across = para_group_stride(&p->group[cols], k);
    struct para_matrix m = {.rows = rows, .cols = cols};
    m.packed = down < 0 || across < 0 || (down > 1 && across > 1);
    m.transposed = !m.packed && across > 1;
    int64_t length = p->group[m.transposed ? rows : cols].total, stride = m.transposed ? across : down;
    m.ld = m.packed || stride < length ? length : stride;
    return m;
}

/* Batch, M and N are merged in y's order; K in that of the larger operand, so that the smaller one is packed, and of b
 * in blocks in that of its blocks. */
static void make_plan(struct para_product *p, const struct para_shape *a, const struct para_shape *b,
                      const struct para_shape *y)
{
    const struct para_shape *const s[3] = {a, b, y};
    const struct para_shape *larger =
        para_shape_elements(a) > para_shape_elements(b) && !para_dtype_blocks(b->dtype) ? a : b;
    *p = (struct para_product){0};
    for (int i = 0; i < PARA_GROUPS; i++)
        p->group[i].total = 1;
    for (int i = 0; i < y->rank; i++) {
        bool in_a = para_shape_find(a, y->dim[i].axis) >= 0, in_b = para_shape_find(b, y->dim[i].axis) >= 0;
        para_group_add(&p->group[in_a && in_b ? PARA_BATCH : in_a ? PARA_ROWS : PARA_COLS], s, &y->dim[i]);
    }
    for (int i = 0; i < larger->rank; i++)
        if (para_shape_find(y, larger->dim[i].axis) < 0)
            para_group_add(&p->group[PARA_INNER], s, &larger->dim[i]);
    p->matrix[PARA_A] = lay_out(p, PARA_A, PARA_ROWS, PARA_INNER);
    p->matrix[PARA_B] = lay_out(p, PARA_B, PARA_INNER, PARA_COLS);
    p->matrix[PARA_Y] = lay_out(p, PARA_Y, PARA_ROWS, PARA_COLS);
    p->weights = p->matrix[PARA_B].packed ? PARA_F32 : b->dtype;
}

void para_product_plan(struct para_product *p, const para_node *n)
{
    make_plan(p, &n->in[0]->shape, &n->in[1]->shape, &n->out[0]->shape);
}

void para_product_pack(struct para_product *p, int k)
{
    struct para_matrix *m = &p->matrix[k];
    *m = (struct para_matrix){.rows = m->rows, .cols = m->cols, .packed = true, .ld = p->group[m->cols].total};
}

int64_t para_product_elements(const struct para_product *p, int k)
{
    return p->group[p->matrix[k].rows].total * p->group[p->matrix[k].cols].total;
}

void para_sums_begin(struct para_sums *s, const para_node *n, void *const in[])
{
    const struct para_shape *a = &n->in[0]->shape, *b = &n->in[1]->shape, *y = &n->out[0]->shape;
    const struct para_shape *const shapes[3] = {a, b, y};
    *s = (struct para_sums){{.total = 1}, {.total = 1}, {a->dtype, b->dtype}, {in[0], in[1]}};
    for (int i = 0; i < y->rank; i++)
        para_group_add(&s->outer, shapes, &y->dim[i]);
    for (int i = 0; i < a->rank; i++)
        if (para_shape_find(y, a->dim[i].axis) < 0)
            para_group_add(&s->inner, shapes, &a->dim[i]);
}

static float element_of(const struct para_sums *s, int k, int64_t at)
{
    float x;
    para_convert(1, s->type[k], s->operand[k], at, &x);
    return x;
}

double para_sums_of(const struct para_sums *s, int64_t e)
{
    int64_t at_a = para_group_offset(&s->outer, PARA_A, e), at_b = para_group_offset(&s->outer, PARA_B, e);
    double sum = 0;
    for (int64_t k = 0; k < s->inner.total; k++)
        sum += (double)element_of(s, 0, at_a + para_group_offset(&s->inner, PARA_A, k)) *
               element_of(s, 1, at_b + para_group_offset(&s->inner, PARA_B, k));
    return sum;
}

bool para_product_adds_bias(const para_node *add, const para_node *product)
{
    const struct para_shape *y = &product->out[0]->shape, *c = &add->in[1]->shape;
    bool fits = c->rank <= y->rank;
    for (int d = 0; d < y->rank && fits; d++) {
        int at = d - (y->rank - c->rank);
        fits = (para_shape_find(&product->in[1]->shape, y->dim[d].axis) >= 0) == (at >= 0) &&
               (at < 0 || strcmp(c->dim[at].axis, y->dim[d].axis) == 0);
    }
    return fits;
}
