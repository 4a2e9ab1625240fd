/* max on a GPU. */
#include "ops/nary.h"

int para_max_cuda(const struct para_call *c)
{
    return para_fold_inputs(c, para_larger());
}
