/* sum on a GPU: some inputs at a time, in their order. */
#include "ops/nary.h"

int para_sum_cuda(const struct para_call *c)
{
    return para_fold_inputs(c, para_plus());
}
