/* head_loss: the loss of a head with its gradients, in one; graph/fuse.c makes it for GPUs, where logits then need not
 * be kept: some rows at a time are made, turned to their gradients and multiplied on.
 *   x (R, E), w (V, E), targets (R), count (), dloss () -> loss (), dx (R, E), dw (V, E)
 *   z = x w, loss = sum of (lse z - z[target]) / count over the rows whose target isn't `ignore`,
 *   dz = (exp(z - lse z) - [class is target]) dloss / count, dx = dz w, dw = dz x
 * x, w, dx, and z and dz on the way, are bfloat16. Parts of R each give their rows' dx and add to the others; E and V
 * are whole. */
#include "base/dtype.h"
#include "ops/need.h"
#include "ops/product.h"
#include "ops/table.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { X, W, TARGETS, COUNT, DLOSS };                /* inputs */
enum { LOSS, DX, DW };                               /* outputs */
enum { OF_DZ, OF_Z, OF_LSE, OF_LOSS, OF_DX, OF_DW }; /* nodes of the pattern */

/* Whether x's last axes are w's but the first, which x lacks. */
static bool fits(const struct para_shape *x, const struct para_shape *w)
{
    int rows = x->rank - (w->rank - 1);
    bool fit = w->rank >= 2 && rows >= 0 && para_shape_find(x, w->dim[0].axis) < 0;
    for (int d = 1; d < w->rank && fit; d++)
        fit = strcmp(w->dim[d].axis, x->dim[rows + d - 1].axis) == 0;
    return fit;
}

static int infer(const para_node *n, struct para_shape out[], para_error *err)
{
    char x_text[PARA_SHAPE_TEXT], w_text[PARA_SHAPE_TEXT];
    const struct para_shape *x = &n->in[X]->shape, *w = &n->in[W]->shape;
    if (!fits(x, w))
        return para_fail(err, PARA_ESHAPE, "x is %s and w %s, expected w's axes but the first as the last of x",
                         para_shape_text(x, x_text), para_shape_text(w, w_text));
    struct para_shape rows = {0};
    for (int d = 0; d < x->rank - (w->rank - 1); d++)
        para_shape_append(&rows, x->dim[d].axis, x->dim[d].whole);
    PARA_TRY(para_need_shape(n, TARGETS, &rows, err));
    PARA_TRY(para_need_scalar(n, COUNT, err));
    PARA_TRY(para_need_scalar(n, DLOSS, err));
    para_infer_like(n, X, &out[DX]);
    return para_infer_like(n, W, &out[DW]);
}

static enum para_role role(const para_node *n, const char *axis, int output, const char **why)
{
    *why = "a row's loss needs all of its logits, and these all of x";
    if (para_shape_find(&n->in[TARGETS]->shape, axis) < 0)
        return PARA_WHOLE;
    return output == DX ? PARA_PARALLEL : PARA_REDUCE;
}

static void cost(const para_node *n, struct para_cost *c)
{
    const struct para_shape *w = &n->in[W]->shape;
    double rows = (double)para_shape_elements(&n->in[TARGETS]->shape);
    c->flops = rows * (6.0 * (double)para_shape_elements(w) + 30.0 * (double)w->dim[0].extent);
}

static int complain(const para_node *n, int64_t position, int32_t target, para_error *err)
{
    const struct para_extent *classes = &n->in[W]->shape.dim[0];
    return para_fail(err, PARA_ERANGE,
                     "target %" PRId32 " at position %" PRId64 " is outside of %s, which has %" PRId64
                     ", and isn't %" PRId64 ", which is ignored",
                     target, position, classes->axis, classes->whole, n->attr[0].i);
}

/* Sizes of a tile. */
struct head {
    int64_t rows, classes, width;
};

static struct head head_of(const para_node *n)
{
    const struct para_shape *w = &n->in[W]->shape;
    int64_t classes = w->dim[0].extent, width = para_shape_elements(w) / classes;
    return (struct head){para_shape_elements(&n->in[X]->shape) / width, classes, width};
}

static size_t scratch(const para_node *n)
{
    return (size_t)head_of(n).classes * sizeof(float);
}

/* z (V) = x (E) w (V, E), rounded. Returns the log of the sum of exp. */
static double logits_of(const struct head *h, const uint16_t *x, const uint16_t *w, float *z)
{
    double top = -INFINITY, sum = 0;
    for (int64_t v = 0; v < h->classes; v++, w += h->width) {
        double product = 0;
        for (int64_t e = 0; e < h->width; e++)
            product += (double)para_of_bf16(x[e]) * para_of_bf16(w[e]);
        z[v] = para_of_bf16(para_bf16_of((float)product));
        top = z[v] > top ? z[v] : top;
    }
    for (int64_t v = 0; v < h->classes; v++)
        sum += exp(z[v] - top);
    return top + log(sum);
}

static int cpu(const struct para_call *c)
{
    struct head h = head_of(c->node);
    const uint16_t *x = c->in[X], *w = c->in[W];
    const int32_t *targets = c->in[TARGETS];
    const float *count = c->in[COUNT], *dloss = c->in[DLOSS];
    float *z = c->scratch, *dw = c->out[DW];
    uint16_t *dx = c->out[DX];
    double loss = 0;
    memset(dw, 0, (size_t)(h.classes * h.width) * sizeof *dw);
    for (int64_t r = 0; r < h.rows; r++, x += h.width, dx += h.width) {
        bool counts = targets[r] != c->node->attr[0].i;
        if (counts && (targets[r] < 0 || targets[r] >= h.classes))
            return complain(c->node, r, targets[r], c->err);
        double lse = counts ? logits_of(&h, x, w, z) : 0;
        loss += counts ? lse - z[targets[r]] : 0;
        for (int64_t v = 0; v < h.classes; v++) {
            double slope = counts ? (exp(z[v] - lse) - (v == targets[r])) * *dloss / *count : 0;
            z[v] = para_of_bf16(para_bf16_of((float)slope));
            for (int64_t e = 0; e < h.width; e++)
                dw[v * h.width + e] += z[v] * para_of_bf16(x[e]);
        }
        for (int64_t e = 0; e < h.width; e++) {
            double sum = 0;
            for (int64_t v = 0; v < h.classes; v++)
                sum += (double)z[v] * para_of_bf16(w[v * h.width + e]);
            dx[e] = para_bf16_of((float)sum);
        }
    }
    *(float *)c->out[LOSS] = *count > 0 ? (float)(loss / *count) : 0.0f;
    return 0;
}

static bool same(const para_tensor *a, const para_tensor *b)
{
    return para_shape_same_axes(&a->shape, &b->shape);
}

static bool fuse(const para_node *const of[], union para_attr attr[])
{
    const para_node *z = of[OF_Z];
    const para_tensor *x = z->in[0], *w = z->in[1];
    const struct para_shape *logits = &z->out[0]->shape;
    attr[0] = of[OF_DZ]->attr[1];
    return fits(&x->shape, &w->shape) && strcmp(logits->dim[logits->rank - 1].axis, w->shape.dim[0].axis) == 0 &&
           w->shape.dim[0].extent == w->shape.dim[0].whole && same(of[OF_DX]->out[0], x) &&
           same(of[OF_DW]->out[0], w) && (para_shape_elements(&w->shape) / w->shape.dim[0].extent) % 8 == 0;
}

const struct para_op para_op_head_loss = {
    .name = "head_loss",
    .attrs = {{"ignore", PARA_ATTR_INT}},
    .types = "bf16 bf16 i32 f32 f32 -> f32 bf16 f32",
    .infer = infer,
    .role = role,
    .cost = cost,
    .scratch = scratch,
    .fuses = "x w t n d -> l dx dw: dz = cross_entropy_backward(z, s, t, n, d); z = matmul_bf16(x, w); "
             "s = logsumexp(z); l = cross_entropy(z, s, t, n); dx = matmul_bf16(dz, w); dw = matmul(dz, x)",
    .fuse = fuse,
    .cpu = cpu,
    .cuda = PARA_CUDA(para_head_loss_cuda),
    .cuda_scratch = PARA_CUDA(para_head_loss_cuda_scratch),
    .complain = complain,
};
