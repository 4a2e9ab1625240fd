/* dropout: y = x mask / (1 - p), mask being 0 with probability p.                 Srivastava et al., 2014
 * An element's draw is a function of the session's seed, the node's stream number, the step and the element's index
 * in the whole tensor, so that no split changes it, and the gradient is the same op on dy.
 * Element by element, so every axis is parallel. */
#include <paragraph/ops.h>

#include "base/philox.h"
#include "base/simd.h"
#include "ops/dropout.h"
#include "ops/need.h"
#include "ops/table.h"

enum { BLOCK = 64 }; /* counters drawn at once, four elements each */

static int infer(const para_node *n, struct para_shape out[], para_error *err)
{
    PARA_TRY(para_need_scalar(n, 1, err));
    if (!(n->attr[0].f >= 0.0 && n->attr[0].f < 1.0))
        return para_fail(err, PARA_ERANGE, "p is %g, expected 0 <= p < 1", n->attr[0].f);
    return para_infer_like(n, 0, out);
}

static int grad(para_graph *g, const para_node *n, para_tensor *const dy[], para_tensor *dx[])
{
    dx[0] = para_apply(&para_op_dropout, g, PARA_IN(dy[0], n->in[1]), n->attr);
    return 0;
}

static void cost(const para_node *n, struct para_cost *c)
{
    c->flops = 25.0 * (double)para_shape_elements(&n->out[0]->shape);
}

static uint64_t stream_of(const struct para_call *c)
{
    int32_t step = *(const int32_t *)c->in[1];
    return (uint64_t)c->node->attr[1].i << 32 | (uint32_t)step;
}

/* y (E) = x (E) mask (E) / (1 - p) */
static int reference(const struct para_call *c)
{
    const float *x = c->in[0];
    float *y = c->out[0], p = (float)c->node->attr[0].f;
    const struct para_shape *s = &c->node->out[0]->shape;
    int64_t elements = para_shape_elements(s);
    for (int64_t e = 0; e < elements; e++) {
        float draw =
            para_uniform(para_draw(c->seed ^ PARA_DROPOUT_KEY, stream_of(c), (uint64_t)para_shape_whole_index(s, e)));
        y[e] = draw < p ? 0.0f : (float)(x[e] / (1.0 - c->node->attr[0].f));
    }
    return 0;
}

/* word (4 BLOCK) = para_philox() of the counters from `first` on, round by round for all of them at once */
PARA_SIMD static void draw(uint64_t key, uint64_t stream, uint64_t first, uint32_t *restrict word)
{
    uint32_t c0[BLOCK], c1[BLOCK], c2[BLOCK], c3[BLOCK], k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
#pragma omp simd
    for (int k = 0; k < BLOCK; k++) {
        uint64_t index = first + (uint64_t)k;
        c0[k] = (uint32_t)index;
        c1[k] = (uint32_t)(index >> 32);
        c2[k] = (uint32_t)stream;
        c3[k] = (uint32_t)(stream >> 32);
    }
    for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u)
#pragma omp simd
        for (int k = 0; k < BLOCK; k++) {
            uint64_t p0 = (uint64_t)0xD2511F53u * c0[k], p1 = (uint64_t)0xCD9E8D57u * c2[k];
            c0[k] = (uint32_t)(p1 >> 32) ^ c1[k] ^ k0;
            c1[k] = (uint32_t)p1;
            c2[k] = (uint32_t)(p0 >> 32) ^ c3[k] ^ k1;
            c3[k] = (uint32_t)p0;
        }
    for (int k = 0; k < BLOCK; k++) {
        word[4 * k] = c0[k];
        word[4 * k + 1] = c1[k];
        word[4 * k + 2] = c2[k];
        word[4 * k + 3] = c3[k];
    }
}

PARA_SIMD static void mask(int64_t elements, float p, float scale, const uint32_t *restrict word, const float *x,
                           float *y)
{
#pragma omp simd
    for (int64_t e = 0; e < elements; e++)
        y[e] = (float)(int32_t)(word[e] >> 8) * 0x1p-24f < p ? 0.0f : x[e] * scale;
}

/* y (E) from x (E), neighbours in the whole tensor, the first of them element `index` of it */
static void drop_run(const struct para_call *c, uint64_t index, int64_t elements, const float *x, float *y)
{
    double p = c->node->attr[0].f;
    uint32_t word[4 * BLOCK];
    while (elements > 0) {
        int64_t skip = (int64_t)(index & 3), count = 4 * BLOCK - skip < elements ? 4 * BLOCK - skip : elements;
        draw(c->seed ^ PARA_DROPOUT_KEY, stream_of(c), index >> 2, word);
        mask(count, (float)p, (float)(1.0 / (1.0 - p)), word + skip, x, y);
        index += (uint64_t)count, elements -= count, x += count, y += count;
    }
}

static int cpu(const struct para_call *c)
{
    const struct para_shape *s = &c->node->out[0]->shape;
    const float *x = c->in[0];
    float *y = c->out[0];
    int64_t elements = para_shape_elements(s), run = 1;
    for (int d = s->rank - 1; d >= 0; d--) { /* neighbours in the tile up to the first dimension that is cut */
        run *= s->dim[d].extent;
        if (s->dim[d].extent != s->dim[d].whole)
            break;
    }
    for (int64_t e = 0; e < elements; e += run)
        drop_run(c, (uint64_t)para_shape_whole_index(s, e), run, x + e, y + e);
    return 0;
}

const struct para_op para_op_dropout = {
    .name = "dropout",
    .attrs = {{"p", PARA_ATTR_FLOAT}, {"stream", PARA_ATTR_INT}},
    .types = "T:f32|bf16 i32 -> T",
    .float32 = true,
    .infer = infer,
    .grad = grad,
    .cost = cost,
    .over = {1 + 0},
    .reference = reference,
    .cpu = cpu,
    .cuda = PARA_CUDA(para_dropout_cuda),
};

para_tensor *para_dropout(para_graph *g, para_tensor *x, para_tensor *step, double p)
{
    if (p == 0.0)
        return x;
    return para_apply(&para_op_dropout, g, PARA_IN(x, step), PARA_ATTRS({.f = p}, {.i = para_graph_node_count(g)}));
}
