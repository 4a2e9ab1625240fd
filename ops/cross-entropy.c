/* count_targets: how many targets are not `ignore`, as float32 scalar.
 *   targets (R) -> count (); every axis is reduced */
#include <paragraph/ops.h>

#include "base/simd.h"
#include "ops/need.h"
#include "ops/table.h"

#include <inttypes.h>

static enum para_role reduced(const para_node *n, const char *axis, int output, const char **why)
{
    (void)n, (void)axis, (void)output, (void)why;
    return PARA_REDUCE;
}

static int count_cpu(const struct para_call *c)
{
    const int32_t *targets = c->in[0];
    int64_t rows = para_shape_elements(&c->node->in[0]->shape), count = 0;
    for (int64_t r = 0; r < rows; r++)
        count += targets[r] != c->node->attr[0].i;
    *(float *)c->out[0] = (float)count;
    return 0;
}

const struct para_op para_op_count_targets = {
    .name = "count_targets",
    .attrs = {{"ignore", PARA_ATTR_INT}},
    .types = "i32 -> f32",
    .infer = para_infer_scalar,
    .role = reduced,
    .cpu = count_cpu,
    .cuda = PARA_CUDA(para_count_targets_cuda),
};

/* cross_entropy: loss = sum of (lse - logit[target]) / count over the rows whose target isn't `ignore`.
 *   logits (R, axis), lse (R), targets (R), count () -> loss ()
 * lse is the logsumexp of the logits over their last axis, `axis`, and count the number of such rows in the whole
 * batch; without any the loss is 0. Every axis is reduced: a row is added by the part that holds its target's logit.
 * Its gradient is that of lse and cross_entropy together: all of it goes to the logits. */

/* Inputs 0 to 3 of both ops. */
static int check_loss(const para_node *n, para_error *err)
{
    char full[PARA_SHAPE_TEXT];
    struct para_shape rows = {0};
    const struct para_shape *logits = &n->in[0]->shape;
    PARA_TRY(para_need_scalar(n, 3, err));
    if (logits->rank < 1 || strcmp(logits->dim[logits->rank - 1].axis, n->attr[0].s) != 0)
        return para_fail(err, PARA_EAXIS, "logits are %s, expected axis \"%s\" last; para_permute() can put it there",
                         para_shape_text(logits, full), n->attr[0].s);
    para_infer_without(n, 0, n->attr[0].s, &rows);
    for (int i = 1; i < 3; i++)
        PARA_TRY(para_need_shape(n, i, &rows, err));
    return 0;
}

static int infer(const para_node *n, struct para_shape out[], para_error *err)
{
    (void)out;
    return check_loss(n, err);
}

static int grad(para_graph *g, const para_node *n, para_tensor *const dy[], para_tensor *dx[])
{
    dx[0] =
        para_apply(&para_op_cross_entropy_backward, g, PARA_IN(n->in[0], n->in[1], n->in[2], n->in[3], dy[0]), n->attr);
    return 0;
}

/* Reads one logit of each row. */
static void cost(const para_node *n, struct para_cost *c)
{
    c->flops = 2.0 * (double)para_shape_elements(&n->in[2]->shape);
    c->bytes = 3.0 * (double)para_shape_bytes(&n->in[2]->shape);
}

static const struct para_extent *class_dim(const para_node *n)
{
    const struct para_shape *logits = &n->in[0]->shape;
    return &logits->dim[logits->rank - 1];
}

static int complain(const para_node *n, int64_t position, int32_t target, para_error *err)
{
    const struct para_extent *classes = class_dim(n);
    position = para_shape_whole_index(&n->in[2]->shape, position);
    return para_fail(err, PARA_ERANGE,
                     "target %" PRId32 " at position %" PRId64 " is outside of %s, which has %" PRId64
                     ", and isn't %" PRId64 ", which is ignored",
                     target, position, classes->axis, classes->whole, n->attr[1].i);
}

/* Fail if a target is neither `ignore` nor a class. */
static int check_targets(const struct para_call *c)
{
    const int32_t *targets = c->in[2];
    int64_t rows = para_shape_elements(&c->node->in[2]->shape), whole = class_dim(c->node)->whole;
    for (int64_t r = 0; r < rows; r++)
        if (targets[r] != c->node->attr[1].i && (targets[r] < 0 || targets[r] >= whole))
            return complain(c->node, r, targets[r], c->err);
    return 0;
}

/* The index of a row's target in its logits, or -1 if it is ignored or another part's. */
static int64_t index_of(const para_node *n, int32_t target)
{
    const struct para_extent *classes = class_dim(n);
    int64_t index = target - classes->begin;
    return target != n->attr[1].i && index >= 0 && index < classes->extent ? index : -1;
}

/* loss () from logits (R,V), lse (R), targets (R), count () */
static int cpu(const struct para_call *c)
{
    const float *logits = c->in[0], *lse = c->in[1], *count = c->in[3];
    const int32_t *targets = c->in[2];
    int64_t rows = para_shape_elements(&c->node->in[2]->shape), classes = class_dim(c->node)->extent;
    double sum = 0;
    PARA_TRY(check_targets(c));
    for (int64_t r = 0; r < rows; r++) {
        int64_t index = index_of(c->node, targets[r]);
        if (index >= 0)
            sum += (double)lse[r] - logits[r * classes + index];
    }
    *(float *)c->out[0] = *count > 0 ? (float)(sum / *count) : 0.0f;
    return 0;
}

const struct para_op para_op_cross_entropy = {
    .name = "cross_entropy",
    .attrs = {{"axis", PARA_ATTR_STRING}, {"ignore", PARA_ATTR_INT}},
    .types = "f32|bf16 f32 i32 f32 -> f32",
    .float32 = true,
    .infer = infer,
    .role = reduced,
    .grad = grad,
    .cost = cost,
    .cpu = cpu,
    .cuda = PARA_CUDA(para_cross_entropy_cuda),
    .complain = complain,
};

/* cross_entropy_backward: dlogits = (exp(logits - lse) - [class is target]) dloss / count, 0 in ignored rows.
 *   logits (R, axis), lse (R), targets (R), count (), dloss () -> dlogits (R, axis); all axes are parallel */

static int backward_infer(const para_node *n, struct para_shape out[], para_error *err)
{
    PARA_TRY(check_loss(n, err));
    PARA_TRY(para_need_scalar(n, 4, err));
    return para_infer_like(n, 0, out);
}

static void backward_cost(const para_node *n, struct para_cost *c)
{
    c->flops = 20.0 * (double)para_shape_elements(&n->out[0]->shape);
}

/* What a row's derivatives are multiplied with. */
static double row_scale(const struct para_call *c, int64_t r)
{
    const int32_t *targets = c->in[2];
    const float *count = c->in[3], *dloss = c->in[4];
    return targets[r] != c->node->attr[1].i ? (double)*dloss / *count : 0.0;
}

/* dlogits (R,V) from logits (R,V), lse (R), targets (R), count (), dloss () */
static int backward_reference(const struct para_call *c)
{
    const float *logits = c->in[0], *lse = c->in[1];
    const int32_t *targets = c->in[2];
    float *dlogits = c->out[0];
    int64_t rows = para_shape_elements(&c->node->in[2]->shape), classes = class_dim(c->node)->extent;
    PARA_TRY(check_targets(c));
    for (int64_t r = 0; r < rows; r++, logits += classes, dlogits += classes)
        for (int64_t v = 0; v < classes; v++) {
            double p = exp((double)logits[v] - lse[r]), hit = v == index_of(c->node, targets[r]);
            dlogits[v] = (float)((p - hit) * row_scale(c, r));
        }
    return 0;
}

PARA_SIMD static void scaled_softmax(int64_t classes, float scale, float lse, const float *logits, float *dlogits)
{
#pragma omp simd
    for (int64_t v = 0; v < classes; v++)
        dlogits[v] = scale * para_expf(logits[v] - lse);
}

static int backward_cpu(const struct para_call *c)
{
    const float *logits = c->in[0], *lse = c->in[1];
    const int32_t *targets = c->in[2];
    float *dlogits = c->out[0];
    int64_t rows = para_shape_elements(&c->node->in[2]->shape), classes = class_dim(c->node)->extent;
    PARA_TRY(check_targets(c));
    for (int64_t r = 0; r < rows; r++, logits += classes, dlogits += classes) {
        float scale = (float)row_scale(c, r);
        int64_t index = index_of(c->node, targets[r]);
        if (scale == 0.0f) {
            memset(dlogits, 0, (size_t)classes * sizeof *dlogits);
            continue;
        }
        float hit = index >= 0 ? scale * (float)(exp((double)logits[index] - lse[r]) - 1.0) : 0.0f;
        scaled_softmax(classes, scale, lse[r], logits, dlogits);
        if (index >= 0)
            dlogits[index] = hit;
    }
    return 0;
}

const struct para_op para_op_cross_entropy_backward = {
    .name = "cross_entropy_backward",
    .attrs = {{"axis", PARA_ATTR_STRING}, {"ignore", PARA_ATTR_INT}},
    .types = "T:f32|bf16 f32 i32 f32 f32 -> T",
    .float32 = true,
    .infer = backward_infer,
    .cost = backward_cost,
    .over = {1 + 0},
    .reference = backward_reference,
    .cpu = backward_cpu,
    .cuda = PARA_CUDA(para_cross_entropy_backward_cuda),
    .complain = complain,
};

para_tensor *para_cross_entropy(para_graph *g, para_tensor *logits, para_tensor *targets, const char *axis, int ignore)
{
    para_tensor *lse = para_logsumexp(g, logits, axis);
    para_tensor *count = para_apply(&para_op_count_targets, g, PARA_IN(targets), PARA_ATTRS({.i = ignore}));
    return para_apply(&para_op_cross_entropy, g, PARA_IN(logits, lse, targets, count),
                      PARA_ATTRS({.s = axis}, {.i = ignore}));
}
