/* increment: the int32 scalar x becomes x + 1 in place. It counts the steps: with a clipping scale given, those that
 * were taken alone, for which that is a number. */
#include "ops/need.h"
#include "ops/table.h"

#include <math.h>

static int infer(const para_node *n, struct para_shape out[], para_error *err)
{
    for (int i = 0; i < n->n_in; i++)
        PARA_TRY(para_need_scalar(n, i, err));
    return para_infer_like(n, 0, out);
}

static int complain(const para_node *n, int64_t position, int32_t count, para_error *err)
{
    (void)n, (void)position;
    return para_fail(err, PARA_ERANGE, "the count is at its end, %d", count);
}

/* x () = x () + 1 */
static int cpu(const struct para_call *c)
{
    int32_t *x = c->out[0];
    if (c->node->n_in > 1 && isnan(*(const float *)c->in[1]))
        return 0;
    if (*x == INT32_MAX)
        return complain(c->node, 0, *x, c->err);
    *x += 1;
    return 0;
}

const struct para_op para_op_increment = {
    .name = "increment",
    .types = "i32 -> i32; i32 f32 -> i32",
    .infer = infer,
    .updates = {1},
    .cpu = cpu,
    .cuda = PARA_CUDA(para_increment_cuda),
    .complain = complain,
};
