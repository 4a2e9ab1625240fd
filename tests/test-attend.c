/* Attention's kernels of every instruction set that this machine has give the same: the fastest, which the conformance
 * table holds to the formula, and the others, at sizes that fill no block. One position's heads give together what each
 * gives alone. */
#include "tests/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/attend-kernels.h"
#include "kernels/attend.h"

enum { QUERIES = 83, KEYS = 211, PAST = 101, WIDTH = 21, QKV = QUERIES + 2 * KEYS };

struct result {
    float o[QUERIES * WIDTH], lse[QUERIES], slopes[QKV * WIDTH];
};

static struct result *attend(int version, bool causal, int64_t window, const float *qkv, const float *d_o)
{
    struct result *r = must_alloc(sizeof *r);
    struct para_attend a = {
        .q = qkv,
        .k = qkv + QUERIES * WIDTH,
        .v = qkv + (QUERIES + KEYS) * WIDTH,
        .o = r->o,
        .lse = r->lse,
        .queries = QUERIES,
        .readers = 1,
        .keys = KEYS,
        .width = WIDTH,
        .past = PAST,
        .q_ld = WIDTH,
        .kv_ld = WIDTH,
        .o_ld = WIDTH,
        .lse_ld = 1,
        .causal = causal,
        .window = window,
        .scale = 0.25f,
        .kernels = para_attend_version(version),
    };
    struct para_attend_slopes d = {d_o, r->slopes, r->slopes + QUERIES * WIDTH, r->slopes + (QUERIES + KEYS) * WIDTH};
    size_t floats = para_attend_scratch(QUERIES, KEYS, WIDTH), more = para_attend_backward_scratch(KEYS, WIDTH);
    float *scratch = aligned_alloc(64, ((floats > more ? floats : more) * sizeof(float) + 63) / 64 * 64);
    assert_non_null(scratch);
    para_attend(&a, scratch);
    para_attend_backward(&a, &d, scratch);
    free(scratch);
    return r;
}

static void assert_alike(const float *x, const float *y, int64_t count)
{
    double difference = 0, norm = 0;
    for (int64_t e = 0; e < count; e++) {
        difference += ((double)x[e] - y[e]) * ((double)x[e] - y[e]);
        norm += (double)y[e] * y[e];
    }
    assert_true(norm > 0 && sqrt(difference / norm) < 1e-6);
}

static void versions_agree(void **state)
{
    (void)state;
    float *qkv = must_alloc(QKV * WIDTH * sizeof *qkv), *d_o = must_alloc(QUERIES * WIDTH * sizeof *d_o);
    fill_uniform(qkv, QKV * WIDTH, 5, 1, -1.5, 1.5);
    fill_uniform(d_o, QUERIES * WIDTH, 5, 2, -1.5, 1.5);
    static const int64_t windows[] = {0, 0, 17, 150};
    for (int i = 0; i < 4; i++) {
        struct result *first = attend(0, i > 0, windows[i], qkv, d_o);
        for (int v = 1; v < para_attend_versions(); v++) {
            struct result *other = attend(v, i > 0, windows[i], qkv, d_o);
            assert_alike(other->o, first->o, QUERIES * WIDTH);
            assert_alike(other->lse, first->lse, QUERIES);
            assert_alike(other->slopes, first->slopes, QKV * WIDTH);
            free(other);
        }
        free(first);
    }
    free(qkv);
    free(d_o);
}

/* Two rows of three heads, two readers each, after a prefix of as many keys as row number `row` says. */
enum { STEP_ROWS = 2, HEADS = 3, READERS = 2, STEP = HEADS * READERS * WIDTH, STEP_KEYS = HEADS * WIDTH };

static struct para_attend step_row(int version, int row, int64_t window, const float *x, float *o)
{
    static const int64_t prefixes[STEP_ROWS] = {131, 0}, keys[STEP_ROWS] = {KEYS, 5};
    const float *own = x + STEP_ROWS * STEP + 2 * KEYS * STEP_KEYS * (1 + row);
    return (struct para_attend){
        .q = x + row * STEP,
        .k = own,
        .v = own + KEYS * STEP_KEYS,
        .prefix_k = x + STEP_ROWS * STEP,
        .prefix_v = x + STEP_ROWS * STEP + KEYS * STEP_KEYS,
        .o = o + row * STEP,
        .queries = 1,
        .readers = READERS,
        .keys = keys[row],
        .width = WIDTH,
        .prefix = prefixes[row],
        .past = keys[row] - 1,
        .q_ld = STEP,
        .kv_ld = STEP_KEYS,
        .o_ld = STEP,
        .causal = true,
        .window = window,
        .scale = 0.25f,
        .kernels = para_attend_version(version),
    };
}

/* Rows in turns; a row that takes turns alone has the same bits. */
static void attend_steps(int version, int64_t window, const float *x, float *o)
{
    size_t floats = para_attend_step_scratch(STEP_ROWS, HEADS, READERS);
    float *scratch = aligned_alloc(64, (floats * sizeof *scratch + 63) / 64 * 64), lone[STEP_ROWS * STEP];
    assert_non_null(scratch);
    bool more = true;
    for (int block = 0; more; block++) {
        more = false;
        for (int row = 0; row < STEP_ROWS; row++) {
            struct para_attend a = step_row(version, row, window, x, o);
            more |= para_attend_step(&a, row, HEADS, block, scratch);
        }
    }
    struct para_attend a = step_row(version, 0, window, x, lone);
    for (int block = 0; para_attend_step(&a, 0, HEADS, block, scratch); block++)
        ;
    assert_memory_equal(lone, o, STEP * sizeof *o);
    free(scratch);
}

/* Each head by itself. */
static void attend_heads(int64_t window, const float *x, float *o)
{
    float *scratch = aligned_alloc(64, (para_attend_scratch(1, KEYS, WIDTH) * sizeof *scratch + 63) / 64 * 64);
    assert_non_null(scratch);
    for (int row = 0; row < STEP_ROWS; row++)
        for (int h = 0; h < HEADS; h++) {
            struct para_attend a = step_row(0, row, window, x, o);
            a.q += h * READERS * WIDTH;
            a.o += h * READERS * WIDTH;
            a.k += h * WIDTH;
            a.v += h * WIDTH;
            a.prefix_k += h * WIDTH;
            a.prefix_v += h * WIDTH;
            para_attend(&a, scratch);
        }
    free(scratch);
}

static void steps_are_heads(void **state)
{
    (void)state;
    enum { ALL = STEP_ROWS * STEP + 2 * KEYS * STEP_KEYS * (1 + STEP_ROWS) };
    static const int64_t windows[] = {0, 3, 79, 150};
    float *x = must_alloc(ALL * sizeof *x), steps[STEP_ROWS * STEP], heads[STEP_ROWS * STEP];
    fill_uniform(x, ALL, 5, 3, -1.5, 1.5);
    for (int i = 0; i < 4; i++)
        for (int v = 0; v < para_attend_versions(); v++) {
            attend_steps(v, windows[i], x, steps);
            attend_heads(windows[i], x, heads);
            assert_alike(steps, heads, STEP_ROWS * STEP);
        }
    free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(versions_agree), cmocka_unit_test(steps_are_heads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
