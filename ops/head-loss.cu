/* head_loss on a GPU: some rows' logits at a time, in scratch, whose rows are spaced to whole words. A kernel reads a
 * row once, keeps it in registers, and leaves its slopes in its place, which two products read. */
#include "ops/product-cuda.h"
#include "ops/row-cuda.h"

enum { X, W, TARGETS, COUNT, DLOSS }; /* inputs, as in ops/head-loss.c */
enum { LOSS, DX, DW };                /* outputs */
enum { THREADS = 512, LINE = 64, BYTES = 512 << 20 /* of logits at a time */ };

/* Sizes of a tile; logits lie ld apart, and `at_once` rows of them in scratch. */
struct head {
    int64_t rows, classes, width, ld, at_once;
};

static struct head head_of(const para_node *n)
{
    const struct para_shape *w = &n->in[W]->shape;
    head h = {};
    h.classes = w->dim[0].extent;
    h.width = para_shape_elements(w) / h.classes;
    h.rows = para_shape_elements(&n->in[X]->shape) / h.width;
    h.ld = (h.classes + LINE - 1) / LINE * LINE;
    int64_t most = BYTES / (h.ld * (int64_t)sizeof(para_half)), parts;
    most = most < LINE ? LINE : most;
    parts = (h.rows + most - 1) / most;
    h.at_once = (h.rows + parts - 1) / parts;
    return h;
}

static size_t logits_bytes(const struct head *h)
{
    return (size_t)(h->at_once * h->ld) * sizeof(para_half);
}

size_t para_head_loss_cuda_scratch(const para_node *n)
{
    struct head h = head_of(n);
    return logits_bytes(&h) + (size_t)h.rows * sizeof(float);
}

/* What the rows' kernel reads and writes; logits become slopes. */
struct rows {
    para_half *logits;
    const int32_t *targets;
    const float *count, *dloss;
    float *loss;
    int64_t first, classes, ld, ignore;
    unsigned long long *fault;
};

/* The fold of v over THREADS threads. */
template <class F> static __device__ float fold(float v, F f)
{
    __shared__ float of_warp[THREADS / PARA_WARP];
    v = para_warp_fold(v, f);
    __syncthreads();
    if (threadIdx.x % PARA_WARP == 0)
        of_warp[threadIdx.x / PARA_WARP] = v;
    __syncthreads();
    v = of_warp[0];
    for (int w = 1; w < THREADS / PARA_WARP; w++)
        v = f(v, of_warp[w]);
    return v;
}

/* Whether a row's target counts; one that is no class is noted. */
static __device__ bool is_counted(const struct rows &all, int64_t row, int32_t target)
{
    bool is_class = target >= 0 && target < all.classes;
    if (target != all.ignore && !is_class && threadIdx.x == 0)
        para_fault(all.fault, row, target);
    return target != all.ignore && is_class;
}

/* A row, of which a thread holds PACKS packs; loss = lse - z[target] */
template <int PACKS> static __global__ void __launch_bounds__(THREADS) turn(struct rows all)
{
    const int LENGTH = para_pack<para_half>::COUNT;
    int64_t row = all.first + blockIdx.x;
    para_half *z = all.logits + blockIdx.x * all.ld;
    int32_t target = all.targets[row];
    bool counts = is_counted(all, row, target);
    float hit = counts ? (float)z[target] : 0, top = -INFINITY, sum = 0;
    para_pack<para_half> held[PACKS];
#pragma unroll
    for (int p = 0; p < PACKS; p++) {
        int64_t e = (p * THREADS + threadIdx.x) * LENGTH;
        if (e < all.classes)
            held[p] = para_load(z + e);
#pragma unroll
        for (int k = 0; k < LENGTH; k++) {
            if (e + k >= all.classes)
                held[p].of[k] = para_round<para_half>(-INFINITY);
            top = para_larger()(top, (float)held[p].of[k]);
        }
    }
    top = fold(top, para_larger());
#pragma unroll
    for (int p = 0; p < PACKS; p++)
#pragma unroll
        for (int k = 0; k < LENGTH; k++)
            sum += expf((float)held[p].of[k] - top);
    sum = fold(sum, para_plus());
    float lse = top + logf(sum), scale = counts ? *all.dloss / *all.count : 0.0f;
#pragma unroll
    for (int p = 0; p < PACKS; p++) {
        int64_t e = (p * THREADS + threadIdx.x) * LENGTH;
#pragma unroll
        for (int k = 0; k < LENGTH; k++) {
            float slope = scale * (expf((float)held[p].of[k] - lse) - (e + k == target ? 1.0f : 0.0f));
            held[p].of[k] = para_round<para_half>(counts ? slope : 0.0f);
        }
        if (e < all.classes)
            para_store(z + e, held[p]);
    }
    if (threadIdx.x == 0)
        all.loss[row] = counts ? lse - hit : 0;
}

/* The same where a row is longer: it is read twice. */
static __global__ void __launch_bounds__(PARA_THREADS) turn_long(struct rows all)
{
    int64_t row = all.first + blockIdx.x;
    para_half *z = all.logits + blockIdx.x * all.ld;
    int32_t target = all.targets[row];
    bool counts = is_counted(all, row, target);
    float hit = counts ? (float)z[target] : 0, scale = counts ? *all.dloss / *all.count : 0.0f;
    para_exp_sum sum;
    para_row_visit(z, all.classes, sum);
    float lse = sum.log_of_block();
    for (int64_t e = threadIdx.x; e < all.classes; e += PARA_THREADS) {
        float slope = scale * (expf((float)z[e] - lse) - (e == target ? 1.0f : 0.0f));
        z[e] = para_round<para_half>(counts ? slope : 0.0f);
    }
    if (threadIdx.x == 0)
        all.loss[row] = counts ? lse - hit : 0;
}

static int turn_rows(const struct para_call *c, const struct rows &all, int64_t count)
{
    const int64_t HELD = THREADS * para_pack<para_half>::COUNT; /* elements that a pack of each thread holds */
    if (all.classes <= 4 * HELD)
        turn<4><<<(unsigned)count, THREADS, 0, c->cuda->stream>>>(all);
    else if (all.classes <= 8 * HELD)
        turn<8><<<(unsigned)count, THREADS, 0, c->cuda->stream>>>(all);
    else if (all.classes <= 13 * HELD)
        turn<13><<<(unsigned)count, THREADS, 0, c->cuda->stream>>>(all);
    else
        turn_long<<<(unsigned)count, PARA_THREADS, 0, c->cuda->stream>>>(all);
    return para_launched(c);
}

/* Rows from `first` on: z = x w, its slopes, dx = dz w, dw = or += dz x; for a reader of columns all are transposed. */
static int run_rows(const struct para_call *c, const struct head *h, struct rows all, int64_t count)
{
    const char *x = (const char *)c->in[X] + (size_t)(all.first * h->width) * sizeof(para_half);
    const char *dx = (const char *)c->out[DX] + (size_t)(all.first * h->width) * sizeof(para_half);
    const char *z = (const char *)all.logits, *w = (const char *)c->in[W];
    struct para_operand logits = {PARA_BF16, z, h->classes, count, h->ld, 0, false}, turned = logits;
    struct para_operand rows = {PARA_BF16, x, h->width, count, h->width, 0, false};
    struct para_operand weights = {PARA_BF16, w, h->width, h->classes, h->width, 0, false}, by_class = weights;
    struct para_operand d_rows = {PARA_BF16, dx, h->width, count, h->width, 0, false};
    struct para_operand d_weights = {PARA_F32, (const char *)c->out[DW], h->width, h->classes, h->width, 0, false};
    by_class.transpose = turned.transpose = true;
    PARA_TRY(para_multiply(c, &by_class, &rows, &logits, 1, false, NULL));
    PARA_TRY(turn_rows(c, all, count));
    PARA_TRY(para_multiply(c, &weights, &logits, &d_rows, 1, false, NULL));
    return para_multiply(c, &rows, &turned, &d_weights, 1, all.first > 0, NULL);
}

int para_head_loss_cuda(const struct para_call *c)
{
    struct head h = head_of(c->node);
    rows all = {};
    all.logits = (para_half *)c->scratch;
    all.loss = (float *)((char *)c->scratch + logits_bytes(&h));
    all.targets = (const int32_t *)c->in[TARGETS];
    all.count = (const float *)c->in[COUNT];
    all.dloss = (const float *)c->in[DLOSS];
    all.classes = h.classes;
    all.ld = h.ld;
    all.ignore = c->node->attr[0].i;
    all.fault = c->fault;
    for (; all.first < h.rows; all.first += h.at_once)
        PARA_TRY(run_rows(c, &h, all, h.rows - all.first < h.at_once ? h.rows - all.first : h.at_once));
    const float *of_row = all.loss, *count = all.count;
    float *loss = (float *)c->out[LOSS];
    int64_t rows = h.rows;
    return para_rows(c, 1, [=] __device__(int64_t) {
        double sum = 0;
        for (int64_t r = threadIdx.x; r < rows; r += PARA_THREADS)
            sum += of_row[r];
        sum = para_block_sum(sum);
        if (threadIdx.x == 0)
            *loss = *count > 0 ? (float)(sum / *count) : 0.0f;
    });
}
