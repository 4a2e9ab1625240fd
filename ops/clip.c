/* Clipping by the global gradient norm (Pascanu et al., 2013), in two scalars.
 *   norm:       norm = sqrt(sum of squares)
 *   clip_scale: scale = min(1, max_norm / (norm + 1e-6)); 1 without a limit, max_norm = 0
 * Where the norm, or the loss, which may be given beside it, isn't finite, the scale is no number, and the updates that
 * read it leave everything as it is. */
#include "ops/need.h"
#include "ops/table.h"

#include <math.h>

static int infer(const para_node *n, struct para_shape out[], para_error *err)
{
    for (int i = 0; i < n->n_in; i++)
        PARA_TRY(para_need_scalar(n, i, err));
    return para_infer_like(n, 0, out);
}

/* norm () = sqrt(norm2 ()) */
static int norm_cpu(const struct para_call *c)
{
    *(float *)c->out[0] = sqrtf(*(const float *)c->in[0]);
    return 0;
}

/* scale () from norm () and loss () */
static int scale_cpu(const struct para_call *c)
{
    float norm = *(const float *)c->in[0], loss = c->node->n_in > 1 ? *(const float *)c->in[1] : 0;
    double limit = c->node->attr[0].f, scale = limit / (norm + 1e-6);
    if (!isfinite(norm) || !isfinite(loss))
        *(float *)c->out[0] = NAN;
    else
        *(float *)c->out[0] = limit > 0 && scale < 1 ? (float)scale : 1.0f;
    return 0;
}

const struct para_op para_op_norm = {
    .name = "norm",
    .types = "f32 -> f32",
    .infer = infer,
    .cpu = norm_cpu,
    .cuda = PARA_CUDA(para_norm_cuda),
};

const struct para_op para_op_clip_scale = {
    .name = "clip_scale",
    .attrs = {{"max_norm", PARA_ATTR_FLOAT}},
    .types = "f32 -> f32; f32 f32 -> f32",
    .infer = infer,
    .cpu = scale_cpu,
    .cuda = PARA_CUDA(para_clip_scale_cuda),
};
