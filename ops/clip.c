/* Clipping by the global gradient norm (Pascanu et al., 2013), in two scalars.
 *   norm:       norm = sqrt(sum of squares)
 *   clip_scale: scale = min(1, max_norm / (norm + 1e-6)); 1 without a limit, max_norm = 0 */
#include "ops/need.h"
#include "ops/table.h"

#include <math.h>

static int infer(const para_node *n, struct para_shape out[], para_error *err)
{
    PARA_TRY(para_need_scalar(n, 0, PARA_F32, err));
    return para_infer_like(n, 0, out);
}

/* norm () = sqrt(norm2 ()) */
static int norm_cpu(const struct para_call *c)
{
    *(float *)c->out[0] = sqrtf(*(const float *)c->in[0]);
    return 0;
}

/* scale () from norm () */
static int scale_cpu(const struct para_call *c)
{
    double limit = c->node->attr[0].f, scale = limit / (*(const float *)c->in[0] + 1e-6);
    *(float *)c->out[0] = limit > 0 && !(scale >= 1) ? (float)scale : 1.0f;
    return 0;
}

const struct para_op para_op_norm = {
    .name = "norm",
    .inputs = {1, 1},
    .infer = infer,
    .cpu = norm_cpu,
};

const struct para_op para_op_clip_scale = {
    .name = "clip_scale",
    .attrs = {{"max_norm", PARA_ATTR_FLOAT}},
    .inputs = {1, 1},
    .infer = infer,
    .cpu = scale_cpu,
};
