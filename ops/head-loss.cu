/* head_loss on a GPU: some rows' logits at a time, in scratch. A kernel reads a row once, keeps it in registers, and
 * leaves its slopes in its place, which two products read.
 *
 * Fast products need sides of whole words, which a vocabulary of 50257 isn't: then they read a copy of w with classes
 * of zeros behind it, whose slopes are zero, and leave the last few classes of dw to a product of their own. With
 * 50257 in place of 50304 those that make logits and dx take six to nine times as long on an H200. */
#include "ops/product-cuda.h"
#include "ops/row-cuda.h"

enum { X, W, TARGETS, COUNT, DLOSS }; /* inputs, as in ops/head-loss.c */
enum { LOSS, DX, DW };                /* outputs */
enum { THREADS = 512, LINE = 64, WORD = 8, BYTES = 512 << 20 /* of logits at a time */ };

/* Sizes of a tile; `padded` classes are whole lines, and logits of `at_once` rows lie in scratch. */
struct head {
    int64_t rows, classes, width, padded, at_once;
};

static struct head head_of(const para_node *n)
{
    const struct para_shape *w = &n->in[W]->shape;
    head h = {};
    h.classes = w->dim[0].extent;
    h.width = para_shape_elements(w) / h.classes;
    h.rows = para_shape_elements(&n->in[X]->shape) / h.width;
    h.padded = (h.classes + LINE - 1) / LINE * LINE;
    int64_t most = BYTES / (h.padded * (int64_t)sizeof(para_half)), parts;
    most = most < LINE ? LINE : most;
    parts = (h.rows + most - 1) / most;
    h.at_once = (h.rows + parts - 1) / parts;
    return h;
}

static size_t logits_bytes(const struct head *h)
{
    return (size_t)(h->at_once * h->padded) * sizeof(para_half);
}

static size_t weights_bytes(const struct head *h)
{
    return h->padded > h->classes ? (size_t)(h->padded * h->width) * sizeof(para_half) : 0;
}

size_t para_head_loss_cuda_scratch(const para_node *n)
{
    struct head h = head_of(n);
    return logits_bytes(&h) + weights_bytes(&h) + (size_t)h.rows * sizeof(float);
}

/* w, with lines of zeros behind it where its own aren't whole: in `room` then. */
static int pad(const struct para_call *c, const struct head *h, char *room, const char **padded)
{
    size_t own = (size_t)(h->classes * h->width) * sizeof(para_half), all = weights_bytes(h);
    *padded = all ? room : (const char *)c->in[W];
    if (!all)
        return 0;
    cudaMemcpyAsync(room, c->in[W], own, cudaMemcpyDeviceToDevice, c->cuda->stream);
    cudaMemsetAsync(room + own, 0, all - own, c->cuda->stream);
    return para_launched(c);
}

/* What the rows' kernel reads and writes; logits become slopes, and zeros behind them. */
struct rows {
    para_half *logits;
    const int32_t *targets;
    const float *count, *dloss;
    float *loss;
    int64_t first, classes, padded, ignore;
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
    para_half *z = all.logits + blockIdx.x * all.padded;
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
        if (e < all.padded)
            para_store(z + e, held[p]);
    }
    if (threadIdx.x == 0)
        all.loss[row] = counts ? lse - hit : 0;
}

/* The same where a row is longer: it is read twice. */
static __global__ void __launch_bounds__(PARA_THREADS) turn_long(struct rows all)
{
    int64_t row = all.first + blockIdx.x;
    para_half *z = all.logits + blockIdx.x * all.padded;
    int32_t target = all.targets[row];
    bool counts = is_counted(all, row, target);
    float hit = counts ? (float)z[target] : 0, scale = counts ? *all.dloss / *all.count : 0.0f;
    para_exp_sum sum;
    para_row_visit(z, all.classes, sum);
    float lse = sum.log_of_block();
    for (int64_t e = threadIdx.x; e < all.padded; e += PARA_THREADS) {
        float slope = scale * (expf((float)z[e] - lse) - (e == target ? 1.0f : 0.0f));
        z[e] = para_round<para_half>(counts && e < all.classes ? slope : 0.0f);
    }
    if (threadIdx.x == 0)
        all.loss[row] = counts ? lse - hit : 0;
}

static int turn_rows(const struct para_call *c, const struct rows &all, int64_t count)
{
    const int64_t HELD = THREADS * para_pack<para_half>::COUNT; /* elements that a pack of each thread holds */
    if (all.padded <= 4 * HELD)
        turn<4><<<(unsigned)count, THREADS, 0, c->cuda->stream>>>(all);
    else if (all.padded <= 8 * HELD)
        turn<8><<<(unsigned)count, THREADS, 0, c->cuda->stream>>>(all);
    else if (all.padded <= 13 * HELD)
        turn<13><<<(unsigned)count, THREADS, 0, c->cuda->stream>>>(all);
    else
        turn_long<<<(unsigned)count, PARA_THREADS, 0, c->cuda->stream>>>(all);
    return para_launched(c);
}

/* dw = or += dz x, for `count` classes from `first` on */
static int add_weights(const struct para_call *c, const struct head *h, const struct para_operand *rows,
                       const para_half *slopes, int64_t first, int64_t count, bool add)
{
    struct para_operand turned = {PARA_BF16, (const char *)(slopes + first), count, rows->cols, h->padded, 0, true};
    const float *dw = (const float *)c->out[DW] + first * h->width;
    struct para_operand d_weights = {PARA_F32, (const char *)dw, h->width, count, h->width, 0, false};
    return count > 0 ? para_multiply(c, rows, &turned, &d_weights, 1, add, NULL) : 0;
}

/* Rows from `first` on: z = x w, its slopes, dx = dz w, dw = or += dz x; for a reader of columns all are transposed. */
static int run_rows(const struct para_call *c, const struct head *h, struct rows all, const char *w, int64_t count)
{
    int64_t width = h->width, whole = h->classes / WORD * WORD;
    size_t before = (size_t)(all.first * width) * sizeof(para_half);
    struct para_operand logits = {PARA_BF16, (const char *)all.logits, h->padded, count, h->padded, 0, false};
    struct para_operand rows = {PARA_BF16, (const char *)c->in[X] + before, width, count, width, 0, false};
    struct para_operand d_rows = {PARA_BF16, (const char *)c->out[DX] + before, width, count, width, 0, false};
    struct para_operand weights = {PARA_BF16, w, width, h->padded, width, 0, false}, by_class = weights;
    by_class.transpose = true;
    PARA_TRY(para_multiply(c, &by_class, &rows, &logits, 1, false, NULL));
    PARA_TRY(turn_rows(c, all, count));
    PARA_TRY(para_multiply(c, &weights, &logits, &d_rows, 1, false, NULL));
    PARA_TRY(add_weights(c, h, &rows, all.logits, 0, whole, all.first > 0));
    return add_weights(c, h, &rows, all.logits, whole, h->classes - whole, all.first > 0);
}

int para_head_loss_cuda(const struct para_call *c)
{
    struct head h = head_of(c->node);
    const char *w;
    rows all = {};
    all.logits = (para_half *)c->scratch;
    char *room = (char *)c->scratch + logits_bytes(&h);
    all.loss = (float *)(room + weights_bytes(&h));
    all.targets = (const int32_t *)c->in[TARGETS];
    all.count = (const float *)c->in[COUNT];
    all.dloss = (const float *)c->in[DLOSS];
    all.classes = h.classes;
    all.padded = h.padded;
    all.ignore = c->node->attr[0].i;
    all.fault = c->fault;
    PARA_TRY(pad(c, &h, room, &w));
    for (; all.first < h.rows; all.first += h.at_once)
        PARA_TRY(run_rows(c, &h, all, w, h.rows - all.first < h.at_once ? h.rows - all.first : h.at_once));
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
