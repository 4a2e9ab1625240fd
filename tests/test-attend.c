/* Attention's kernels of every instruction set that this machine has give the same: the fastest, which the conformance
 * table holds to the formula, and the others, at sizes that fill no block. */
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
    size_t floats = para_attend_scratch(QUERIES, 1, KEYS, WIDTH), more = para_attend_backward_scratch(KEYS, WIDTH);
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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(versions_agree)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
