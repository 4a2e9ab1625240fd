/* increment: the int32 scalar x becomes x + 1 in place. It counts the steps. */
#include "ops/need.h"
#include "ops/table.h"

static int infer(const para_node *n, struct para_shape out[], para_error *err)
{
    PARA_TRY(para_need_scalar(n, 0, PARA_I32, err));
    return para_infer_like(n, 0, out);
}

/* x () = x () + 1 */
static int cpu(const struct para_call *c)
{
    int32_t *x = c->out[0];
    if (*x == INT32_MAX)
        return para_fail(c->err, PARA_ERANGE, "the count is at its end, %d", INT32_MAX);
    *x += 1;
    return 0;
}

const struct para_op para_op_increment = {
    .name = "increment",
    .inputs = {1, 1},
    .infer = infer,
    .updates = {1},
    .cpu = cpu,
};
