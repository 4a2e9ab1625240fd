/* Products of bfloat16 of some rows whose result has rows of no whole words, as the head of a vocabulary of 50257 makes
 * them for the texts that generation has side by side: cuBLASLt then takes kernels of older cards and five times as
 * long as it takes to read the weights. y (R,C) = x (R,K) w (C,K)^T on tensor cores, of which a warp has sixteen
 * columns at a time, for all rows. A thread reads eight neighbours of a column, and multiplies them by the same eight
 * of x: in which order an instruction adds up K is all the same, if both operands have it. */
#include "ops/product-cuda.h"

extern "C" {
#include "ops/few-rows.h"
}

enum { THREADS = 256, ROWS = 64, COLUMNS = 16, DEEP = 32 }; /* DEEP: of K that a warp multiplies at once */
enum { EIGHT = 8, AHEAD = 6 };                              /* AHEAD: steps of DEEP that are on their way */

struct odd {
    struct para_few f;
    const para_half *x, *w;
    void *y;
    bool add, ready; /* ready: the weights are, before the kernels before have ended */
};

/* Elements from one row of x to the next in shared memory, so that what eight threads read lies in different banks. */
static __host__ __device__ int64_t spaced(int64_t inner)
{
    return inner + (inner % 64 ? 0 : 32);
}

template <class Y> static __global__ void __launch_bounds__(THREADS, 1) odd_columns(struct odd p)
{
    extern __shared__ __align__(16) para_half x[]; /* (ROWS, spaced K) */
    int lane = threadIdx.x % PARA_WARP, row = lane / 4, eighth = lane % 4 * EIGHT;
    int64_t inner = p.f.inner, ld = spaced(inner), tiles = (p.f.columns + COLUMNS - 1) / COLUMNS;
    int64_t tile = blockIdx.x + threadIdx.x / PARA_WARP * (int64_t)gridDim.x, apart = gridDim.x * (THREADS / PARA_WARP);
    int64_t k = 0;
    uint4 next[AHEAD][2];
    float sum[ROWS / EIGHT][4] = {};
    auto fetch = [&] {
#pragma unroll
        for (int i = 0; i < AHEAD; i++)
#pragma unroll
            for (int half = 0; half < 2; half++) {
                int64_t column = tile * COLUMNS + half * EIGHT + row, at = k + i * DEEP;
                next[i][half] = {};
                if (column < p.f.columns && at < inner)
                    next[i][half] = *(const uint4 *)(p.w + column * p.f.w_ld + at + eighth);
            }
    };
    para_let_next();
    if (!p.ready)
        para_wait_before();
    fetch();
    if (p.ready)
        para_wait_before();
    for (int64_t e = threadIdx.x * EIGHT; e < ROWS * inner; e += THREADS * EIGHT) {
        int64_t r = e / inner, at = e - r * inner;
        para_copy_word(x + r * ld + at, p.x + (r < p.f.rows ? r : 0) * p.f.x_ld + at, r < p.f.rows);
    }
    para_wait_for_copies<0>();
    __syncthreads();
    while (tile < tiles) {
        uint4 w[AHEAD][2];
        int64_t own_k = k, own_tile = tile;
        memcpy(w, next, sizeof w);
        k += AHEAD * DEEP;
        if (k >= inner) {
            k = 0;
            tile += apart;
        }
        fetch();
#pragma unroll
        for (int i = 0; i < AHEAD; i++)
            if (own_k + i * DEEP < inner)
#pragma unroll
                for (int n = 0; n < ROWS / EIGHT; n++) {
                    uint4 of_x = *(const uint4 *)(x + (n * EIGHT + row) * ld + own_k + i * DEEP + eighth);
                    const unsigned *a = &w[i][0].x, *b = &w[i][1].x, *c = &of_x.x;
                    for (int pair = 0; pair < 4; pair += 2) {
                        unsigned both[4] = {a[pair], b[pair], a[pair + 1], b[pair + 1]};
                        para_add_tile(sum[n], both, c + pair);
                    }
                }
        if (k > 0)
            continue;
#pragma unroll
        for (int n = 0; n < ROWS / EIGHT; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                int64_t r = n * EIGHT + lane % 4 * 2 + i % 2, column = own_tile * COLUMNS + i / 2 * EIGHT + row;
                Y *y = (Y *)p.y + r * p.f.y_row + column * p.f.y_column;
                if (r < p.f.rows && column < p.f.columns)
                    *y = para_round<Y>(p.add ? (float)*y + sum[n][i] : sum[n][i]);
                sum[n][i] = 0;
            }
    }
}

static size_t shared_bytes(const struct para_few *f)
{
    return (size_t)(ROWS * spaced(f->inner)) * sizeof(para_half);
}

bool para_has_odd_columns(const para_node *n)
{
    struct para_few f;
    return para_walks_rows(&f, n) && !f.by_column && f.rows <= ROWS && f.columns % EIGHT != 0 && f.inner % DEEP == 0 &&
           n->in[PARA_A]->shape.dtype == PARA_BF16 && n->in[PARA_B]->shape.dtype == PARA_BF16 &&
           shared_bytes(&f) <= para_most_shared();
}

template <class Y> static int run(const struct para_call *c, const struct odd &p)
{
    const int64_t AT_ONCE = COLUMNS * (THREADS / PARA_WARP);
    int64_t blocks = (p.f.columns + AT_ONCE - 1) / AT_ONCE, most = para_multiprocessors();
    size_t bytes = shared_bytes(&p.f);
    cudaFuncSetAttribute(odd_columns<Y>, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes);
    return para_launch_early(c, odd_columns<Y>, dim3((unsigned)(blocks < most ? blocks : most)), THREADS, bytes, 1, p);
}

int para_odd_columns_cuda(const struct para_call *c, void *y, bool add)
{
    struct odd p = {};
    para_walks_rows(&p.f, c->node);
    p.x = (const para_half *)c->in[PARA_A];
    p.w = (const para_half *)c->in[PARA_B];
    p.y = y;
    p.add = add;
    p.ready = para_is_source(c->node->in[PARA_B]);
    return PARA_OF_TYPE(c->node->out[0]->shape.dtype, run, c, p);
}
