/* go_on on a GPU: a thread for each row. */
#include "ops/cuda.h"

enum { RECENT = 2, IDS, MADE = 0, TOKENS, POSITION, NEW_RECENT }; /* inputs and outputs, as in ops/go-on.c */
enum { THREADS = 32 };

static __global__ void go_on(int64_t rows, int64_t count, const int32_t *ids, int32_t *tokens, int32_t *position,
                             int32_t *recent, int32_t *made)
{
    int64_t b = blockIdx.x * (int64_t)THREADS + threadIdx.x;
    para_wait_before();
    if (b >= rows)
        return;
    bool goes = position[b] >= 0 && ids[b] >= 0;
    for (int64_t i = b * count; i < (b + 1) * count; i++)
        made[i] = recent[i] = i + 1 < (b + 1) * count ? recent[i + 1] : goes ? ids[b] : -1;
    tokens[b] = goes ? ids[b] : 0;
    position[b] = goes ? position[b] + 1 : -1;
}

int para_go_on_cuda(const struct para_call *c)
{
    int64_t rows = para_shape_elements(&c->node->in[IDS]->shape);
    int64_t count = para_shape_elements(&c->node->in[RECENT]->shape) / rows;
    return para_launch_early(c, go_on, dim3((unsigned)((rows + THREADS - 1) / THREADS)), THREADS, 0, 1, rows, count,
                             (const int32_t *)c->in[IDS], (int32_t *)c->out[TOKENS], (int32_t *)c->out[POSITION],
                             (int32_t *)c->out[NEW_RECENT], (int32_t *)c->out[MADE]);
}
