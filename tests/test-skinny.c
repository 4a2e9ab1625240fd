/* Products of a few rows with weights of each type, in both layouts: held to sums in double, and a row's bits don't
 * depend on the rows beside it. Neither they nor products with weights of fewer bits are left to OpenBLAS. */
#include "tests/graph-text.h"

#include "base/quantize.h"
#include "kernels/bf16-amx.h"
#include "kernels/blocks-amx.h"
#include "kernels/blocks.h"
#include "kernels/convert.h"
#include "kernels/provider.h"
#include "kernels/skinny-int8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = PARA_SKINNY_ROWS, PAD = 3 };

typedef void multiply(const struct para_weights_matrix *w, int64_t m, const float *x, int64_t ldx, float *y,
                      int64_t ldy);

/* The weights as they are and as float32, lines of `length` PAD elements apart. */
struct weights {
    struct para_weights_matrix matrix;
    void *data;
    float *values;
};

static struct weights make_weights(para_dtype dtype, int64_t n, int64_t k, int64_t lines, int64_t length)
{
    int64_t ld = length + PAD, count = lines * ld;
    struct weights w = {.data = must_alloc((size_t)count * para_dtype_bytes(dtype)),
                        .values = must_alloc((size_t)count * sizeof(float))};
    fill_uniform(w.values, count, 3, 1, -1, 1);
    for (int64_t e = 0; e < count; e++)
        if (dtype == PARA_BF16)
            ((uint16_t *)w.data)[e] = para_bf16_of(w.values[e]);
        else if (dtype == PARA_I8)
            ((int8_t *)w.data)[e] = para_i8_of(127 * w.values[e]);
        else
            ((float *)w.data)[e] = w.values[e];
    para_convert(count, dtype, w.data, 0, w.values);
    w.matrix = (struct para_weights_matrix){dtype, n, k, ld, w.data};
    return w;
}

static void free_weights(struct weights *w)
{
    free(w->data);
    free(w->values);
}

static float weight(const struct weights *w, bool transposed, int64_t k, int64_t n)
{
    return w->values[transposed ? n * w->matrix.ld + k : k * w->matrix.ld + n];
}

/* y (m,N) by the formula. */
static void sum_in_double(const struct weights *w, bool transposed, int64_t m, const float *x, int64_t ldx, float *y,
                          int64_t ldy)
{
    for (int64_t i = 0; i < m; i++)
        for (int64_t n = 0; n < w->matrix.n; n++) {
            double sum = 0;
            for (int64_t k = 0; k < w->matrix.k; k++)
                sum += (double)x[i * ldx + k] * weight(w, transposed, k, n);
            y[i * ldy + n] = (float)sum;
        }
}

static void check(para_dtype dtype, bool transposed, int64_t n, int64_t k)
{
    multiply *product = transposed ? para_skinny_transposed : para_skinny_rows;
    struct weights w = make_weights(dtype, n, k, transposed ? n : k, transposed ? k : n);
    int64_t ldx = k + PAD, ldy = n + PAD;
    size_t bytes = (size_t)(ROWS * ldy) * sizeof(float);
    float *x = must_alloc((size_t)(ROWS * ldx) * sizeof *x), *y = must_alloc(bytes), *expected = must_alloc(bytes);
    float *alone = must_alloc((size_t)ldy * sizeof *alone);
    char what[96];
    fill_uniform(x, ROWS * ldx, 3, 2, -1, 1);
    sum_in_double(&w, transposed, ROWS, x, ldx, expected, ldy);
    for (int64_t m = 1; m <= ROWS; m++) {
        memset(y, 0, bytes);
        product(&w.matrix, m, x, ldx, y, ldy);
        snprintf(what, sizeof what, "%s %s(%d,%d,%d)", para_dtype_name(dtype), transposed ? "transposed " : "", (int)m,
                 (int)n, (int)k);
        assert_close(NULL, what, y, expected, (m - 1) * ldy + n, 1e-6);
        for (int64_t i = 0; i < m; i++) {
            product(&w.matrix, 1, x + i * ldx, ldx, alone, ldy);
            assert_memory_equal(alone, y + i * ldy, (size_t)n * sizeof *y);
        }
    }
    free_weights(&w);
    free(alone);
    free(expected);
    free(y);
    free(x);
}

/* Sizes with and without what is left of lanes, groups, columns and parts. */
static void check_sizes(para_dtype dtype, bool transposed)
{
    static const int64_t sizes[][2] = {{64, 64}, {1, 1}, {70, 23}, {3, 130}, {133, 9}, {4200, 11}, {5, 1100}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        check(dtype, transposed, sizes[i][0], sizes[i][1]);
}

static void products_are_what_they_are_for_one_row(void **state)
{
    (void)state;
    for (int transposed = 0; transposed < 2; transposed++) {
        check_sizes(PARA_F32, transposed);
        check_sizes(PARA_BF16, transposed);
        check_sizes(PARA_I8, transposed);
        para_skinny_int8_off = true;
        check_sizes(PARA_I8, transposed);
        para_skinny_int8_off = false;
    }
}

/* The largest bytes by the largest elements, which sums of bytes must hold, and a row with NaN beside it. The elements
 * are a power of two: sums of floats are exact in any order. */
static void bytes_have_room_and_nan_comes_through(void **state)
{
    (void)state;
    enum { N = 70, K = 1100 };
    for (int transposed = 0; transposed < 2; transposed++) {
        multiply *product = transposed ? para_skinny_transposed : para_skinny_rows;
        struct weights w = make_weights(PARA_I8, N, K, transposed ? N : K, transposed ? K : N);
        memset(w.data, 127, (size_t)(N * w.matrix.ld));
        memset(w.data, -128, (size_t)(K * N / 2));
        para_convert((transposed ? N : K) * w.matrix.ld, PARA_I8, w.data, 0, w.values);
        float *x = must_alloc(ROWS * K * sizeof *x), *y = must_alloc(ROWS * N * sizeof *y), expected[ROWS * N];
        for (int64_t e = 0; e < ROWS * K; e++)
            x[e] = e < K ? 0x1p101f : -0x1p101f;
        sum_in_double(&w, transposed, ROWS, x, K, expected, N);
        x[2 * K + 5] = NAN;
        x[3 * K + 5] = INFINITY;
        product(&w.matrix, 4, x, K, y, N);
        assert_close(NULL, "the largest", y, expected, 2 * N, 1e-6);
        for (int64_t e = 2 * N; e < 4 * N; e++)
            assert_false(isfinite(y[e]));
        free_weights(&w);
        free(x);
        free(y);
    }
}

/* --- weights in blocks --- */

static struct weights make_blocks(para_dtype dtype, int64_t n, int64_t k)
{
    int64_t count = n * k;
    struct weights w = {.data = must_alloc(para_dtype_span(dtype, count)),
                        .values = must_alloc((size_t)count * sizeof(float))};
    fill_uniform(w.values, count, 3, 1, -1, 1);
    assert_true(para_quantize(dtype, count, w.values, w.data));
    para_convert(count, dtype, w.data, 0, w.values);
    w.matrix = (struct para_weights_matrix){dtype, n, k, k, w.data};
    return w;
}

/* All numbers are the type's farthest from 0. */
static struct weights make_largest(para_dtype dtype, int64_t n, int64_t k)
{
    struct weights w = make_blocks(dtype, n, k);
    size_t bytes = para_dtype_bytes(dtype);
    for (int64_t b = 0; b < n * k / PARA_BLOCK; b++)
        memset((char *)w.data + (size_t)b * bytes + 2, dtype == PARA_Q8_0 ? 0x80 : 0, bytes - 2);
    para_convert(n * k, dtype, w.data, 0, w.values);
    return w;
}

/* y (m,N) = or += x by w, rows apart; and whether each row by itself gives the same bits. */
static void multiply_blocks(int version, const struct weights *w, int64_t m, const float *x, int64_t ldx, float *y,
                            int64_t ldy, bool add)
{
    int64_t n = w->matrix.n;
    float *alone = must_alloc((size_t)(m * n) * sizeof *alone);
    void *scratch = aligned_alloc(64, para_blocks_scratch(m, w->matrix.k));
    assert_non_null(scratch);
    for (int64_t i = 0; i < m; i++)
        memcpy(alone + i * n, y + i * ldy, (size_t)n * sizeof *y);
    para_blocks_version(version, &w->matrix, m, x, ldx, y, ldy, add, scratch);
    free(scratch);
    scratch = aligned_alloc(64, para_blocks_scratch(1, w->matrix.k));
    assert_non_null(scratch);
    for (int64_t i = 0; i < m; i++) {
        para_blocks_version(version, &w->matrix, 1, x + i * ldx, ldx, alone + i * n, ldy, add, scratch);
        assert_memory_equal(alone + i * n, y + i * ldy, (size_t)n * sizeof *y);
    }
    free(scratch);
    free(alone);
}

/* Elements of a row are off by at most 2^-16 of their block's largest, however much larger than the others that is. */
static void check_bound(const struct weights *w, const float *x, const float *y, const float *expected)
{
    for (int64_t n = 0; n < w->matrix.n; n++) {
        double bound = 0;
        for (int64_t b = 0; b < w->matrix.k; b += PARA_BLOCK) {
            double most = 0, sum = 0;
            for (int64_t k = b; k < b + PARA_BLOCK; k++) {
                most = fmax(most, fabsf(x[k]));
                sum += fabsf(weight(w, true, k, n));
            }
            bound += most * sum;
        }
        assert_true(fabs((double)y[n] - expected[n]) <= bound * (0x1p-16 + 1e-6));
    }
}

static void check_blocks(int version, para_dtype dtype, int64_t m, int64_t n, int64_t k)
{
    struct weights w = make_blocks(dtype, n, k);
    int64_t ldx = k + PAD, ldy = n + PAD, count = m * ldy;
    float *x = must_alloc((size_t)(m * ldx) * sizeof *x), *y = must_alloc((size_t)count * sizeof *y),
          *expected = must_alloc((size_t)count * sizeof *y);
    char what[96];
    snprintf(what, sizeof what, "version %d, %s (%d,%d,%d)", version, para_dtype_name(dtype), (int)m, (int)n, (int)k);
    fill_uniform(x, m * ldx, 3, 2, -1, 1);
    memset(x + k - PARA_BLOCK, 0, PARA_BLOCK * sizeof *x);
    memset(y, 0, (size_t)count * sizeof *y);
    memset(expected, 0, (size_t)count * sizeof *y);
    sum_in_double(&w, true, m, x, ldx, expected, ldy);
    multiply_blocks(version, &w, m, x, ldx, y, ldy, false);
    assert_close(NULL, what, y, expected, count, 5e-5);
    for (int64_t e = 0; e < count; e++)
        expected[e] *= 2;
    multiply_blocks(version, &w, m, x, ldx, y, ldy, true);
    for (int64_t e = 0; e < count; e++) /* nothing between rows was written */
        assert_true(e % ldy < n || y[e] == 0);
    assert_close(NULL, what, y, expected, count, 5e-5);
    for (int64_t e = 7; e < m * ldx; e += 200)
        x[e] *= 1000;
    sum_in_double(&w, true, m, x, ldx, expected, ldy);
    multiply_blocks(version, &w, m, x, ldx, y, ldy, false);
    for (int64_t i = 0; i < m; i++)
        check_bound(&w, x + i * ldx, y + i * ldy, expected + i * ldy);
    free_weights(&w);
    free(expected);
    free(y);
    free(x);
}

/* Few rows and many: tiles of each number of rows, parts of rows and of what is contracted, columns that fill no panel
 * and less than one. */
static void products_by_blocks_are_what_they_are_for_one_row(void **state)
{
    (void)state;
    static const int64_t sizes[][2] = {{1, 64}, {70, 64}, {9, 96}, {3, 1120}, {130, 768}, {16, 32}, {33, 544}};
    static const int64_t more[][3] = {{17, 1, 32},  {18, 16, 64},  {19, 17, 96}, {37, 31, 512}, {26, 33, 544},
                                      {56, 64, 64}, {25, 5, 1120}, {23, 70, 64}, {800, 3, 64}};
    for (int version = 0; version < para_blocks_versions(); version++) {
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
            for (int64_t m = 1; m <= ROWS; m++) {
                check_blocks(version, PARA_Q8_0, m, sizes[i][0], sizes[i][1]);
                check_blocks(version, PARA_Q4_0, m, sizes[i][0], sizes[i][1]);
            }
        for (size_t i = 0; i < sizeof more / sizeof more[0]; i++) {
            check_blocks(version, PARA_Q8_0, more[i][0], more[i][1], more[i][2]);
            check_blocks(version, PARA_Q4_0, more[i][0], more[i][1], more[i][2]);
        }
    }
}

/* The versions that a processor with AMX chooses from by the number of rows. */
static void tiles_have_the_bits_of_vectors(void **state)
{
    (void)state;
    enum { M = 37, N = 45, K = 800 };
    static const para_dtype types[] = {PARA_Q8_0, PARA_Q4_0};
    static float x[M * K], y[2][M * N];
    int versions = para_blocks_versions();
    if (!para_blocks_amx_known())
        skip();
    fill_uniform(x, M * K, 3, 2, -1, 1);
    for (int t = 0; t < 2; t++) {
        struct weights w = make_blocks(types[t], N, K);
        for (int v = 0; v < 2; v++)
            multiply_blocks(versions - 1 - v, &w, M, x, K, y[v], N, false);
        assert_memory_equal(y[0], y[1], sizeof y[0]);
        free_weights(&w);
    }
}

/* The largest bytes by the largest elements of one sign and of both; NaN, infinity, and elements too small to count in
 * a row beside. */
static void blocks_have_room_and_nan_comes_through(void **state)
{
    (void)state;
    enum { N = 5, K = 1024, M = 20 };
    static float x[M * K], all[M * K], y[M * N], expected[M * N];
    static const para_dtype types[] = {PARA_Q8_0, PARA_Q4_0};
    for (int t = 0; t < 2; t++)
        for (int version = 0; version < para_blocks_versions(); version++) {
            struct weights w = make_largest(types[t], N, K);
            for (int64_t e = 0; e < M * K; e++)
                all[e] = e < K || e % 2 ? 3e30f : -2e30f;
            for (int64_t e = 4 * K; e < 5 * K; e++)
                all[e] = 1e-40f;
            memcpy(x, all, sizeof x);
            sum_in_double(&w, true, M, all, K, expected, N);
            x[2 * K + 5] = NAN;
            x[3 * K + 5] = -INFINITY;
            multiply_blocks(version, &w, M, x, K, y, N, false);
            assert_close(NULL, "the largest", y, expected, 2 * N, 5e-5);
            for (int64_t e = 2 * N; e < 4 * N; e++)
                assert_true(isnan(y[e]));
            for (int64_t e = 4 * N; e < 5 * N; e++)
                assert_true(fabsf(y[e]) < 1e-30f);
            assert_close(NULL, "the largest", y + 5 * N, expected + 5 * N, (M - 5) * N, 5e-5);
            free_weights(&w);
        }
}

/* --- many rows by tiles of bfloat16 --- */

/* y (m,N) = or += x by w, rows apart; and whether the last row has the same bits beside other rows. */
static void multiply_tiles(const struct weights *w, bool transposed, int64_t m, const float *x, int64_t ldx, float *y,
                           int64_t ldy, bool add)
{
    enum { FEWER = 17 };
    int64_t n = w->matrix.n;
    float *beside = must_alloc((size_t)(FEWER * ldy) * sizeof *beside);
    void *scratch = aligned_alloc(64, para_bf16_amx_scratch(m, w->matrix.k));
    assert_non_null(scratch);
    memcpy(beside, y + (m - FEWER) * ldy, (size_t)((FEWER - 1) * ldy + n) * sizeof *y);
    para_bf16_amx(&w->matrix, transposed, m, x, ldx, y, ldy, add, scratch);
    para_bf16_amx(&w->matrix, transposed, FEWER, x + (m - FEWER) * ldx, ldx, beside, ldy, add, scratch);
    for (int64_t i = 0; i < FEWER; i++)
        assert_memory_equal(beside + i * ldy, y + (m - FEWER + i) * ldy, (size_t)n * sizeof *y);
    free(scratch);
    free(beside);
}

static void check_tiles(para_dtype dtype, bool transposed, int64_t m, int64_t n, int64_t k)
{
    struct weights w = make_weights(dtype, n, k, transposed ? n : k, transposed ? k : n);
    int64_t ldx = k + PAD, ldy = n + PAD, count = m * ldy;
    float *x = must_alloc((size_t)(m * ldx) * sizeof *x), *y = must_alloc((size_t)count * sizeof *y),
          *expected = must_alloc((size_t)count * sizeof *y);
    char what[96];
    snprintf(what, sizeof what, "%s %s(%d,%d,%d)", para_dtype_name(dtype), transposed ? "transposed " : "", (int)m,
             (int)n, (int)k);
    fill_uniform(x, m * ldx, 3, 2, -1, 1);
    for (int64_t e = 0; e < m * ldx; e++)
        x[e] /= 3.0f; /* all bits of the mantissa */
    memset(y, 0, (size_t)count * sizeof *y);
    memset(expected, 0, (size_t)count * sizeof *y);
    sum_in_double(&w, transposed, m, x, ldx, expected, ldy);
    multiply_tiles(&w, transposed, m, x, ldx, y, ldy, false);
    assert_close(NULL, what, y, expected, count, 1e-6);
    for (int64_t e = 0; e < count; e++)
        expected[e] *= 2;
    multiply_tiles(&w, transposed, m, x, ldx, y, ldy, true);
    for (int64_t e = 0; e < count; e++) /* nothing between rows was written */
        assert_true(e % ldy < n || y[e] == 0);
    assert_close(NULL, what, y, expected, count, 1e-6);
    free_weights(&w);
    free(expected);
    free(y);
    free(x);
}

/* Tiles, panels and parts that are full and not; rows of x with what isn't finite, alone in its row. */
static void tiles_of_bf16_give_products_of_float32(void **state)
{
    (void)state;
    static const int64_t sizes[][3] = {{17, 1, 1}, {32, 32, 32}, {33, 45, 70}, {300, 70, 33}, {40, 31, 1100}};
    if (!para_bf16_amx_known())
        skip();
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (int t = 0; t < 4; t++)
            check_tiles(t % 2 ? PARA_I8 : PARA_BF16, t / 2, sizes[i][0], sizes[i][1], sizes[i][2]);
    enum { M = 20, N = 3, K = 40 };
    struct weights w = make_weights(PARA_BF16, N, K, K, N);
    static float x[M * K], y[M * N], expected[M * N];
    fill_uniform(x, M * K, 3, 2, -1, 1);
    x[2 * K + 5] = NAN;
    x[3 * K + 5] = INFINITY;
    sum_in_double(&w, false, M, x, K, expected, N);
    multiply_tiles(&w, false, M, x, K, y, N, false);
    for (int64_t e = 2 * N; e < 4 * N; e++)
        assert_true(isnan(expected[e]) ? isnan(y[e]) : y[e] == expected[e]);
    memset(y + 2 * N, 0, 2 * N * sizeof *y);
    memset(expected + 2 * N, 0, 2 * N * sizeof *y);
    assert_close(NULL, "the others", y, expected, M * N, 1e-6);
    free_weights(&w);
}

/* Few rows, and many by a matrix of bfloat16, in the layouts that take different ways. */
static const char *const own_products[] = {
    "a:input[m=16,k=700]; b:param[k=700,n=40]; y = matmul(a, b, \"k\"); output(y)",
    "a:input[k=700,m=16]; b:param[k=700,n=40]; y = matmul(a, b, \"k\"); output(y)",
    "a:input[h=2,m=16,d=350]; b:param[h=2,n=40,d=350]; y = matmul(a, b, \"h d\"); output(y)",
    "a:input[m=16,k=700]; b:param[k=700,n=40]; c:param[m=16,n=40]; d = scale(c, 0); "
    "y = matmul_add(a, b, d, \"k\", \"\"); output(y)",
    "a:input[m=16,k=700]; b:param[k=700,n=40]; c:param[n=40,m=16]; d = scale(c, 0); "
    "y = matmul_add(a, b, d, \"k\", \"n m\"); output(y)",
    "a:input[m=40,k=700]; b:bf16[k=700,n=40]; y = matmul(a, b, \"k\"); output(y)",
    "a:input[m=40,k=700]; b:bf16[n=40,k=700]; y = matmul(a, b, \"k\"); output(y)",
    "a:input[h=2,m=40,d=350]; b:bf16[h=2,n=40,d=350]; y = matmul(a, b, \"h d\"); output(y)",
};

/* y of such a graph, computed with this provider of large products. */
static float *product_with(const para_graph *g, const char *provider)
{
    para_error err = {0};
    must(para_provider_use(provider, &err), err);
    para_session *s = serial_session(g, false);
    int64_t na = elements_of(g, "a"), nb = elements_of(g, "b");
    float *a = must_alloc((size_t)na * sizeof *a), *b = must_alloc((size_t)nb * sizeof *b);
    fill_uniform(a, na, 3, 1, -1, 1);
    fill_uniform(b, nb, 3, 2, -1, 1);
    for (int64_t i = 0; i < na; i++)
        a[i] /= 3.0f; /* all bits of the mantissa */
    set_value(s, "a", a, (size_t)na * sizeof *a);
    must(para_session_set_weight(s, "b", b, nb, &err), err);
    run_once(s);
    float *y = get_floats(s, "y", elements_of(g, "y"));
    para_session_free(s);
    free(a);
    free(b);
    return y;
}

static void few_rows_and_narrow_weights_are_not_left_to_openblas(void **state)
{
    (void)state;
    if (para_provider_use("openblas", NULL) < 0)
        skip();
    for (size_t i = 0; i < sizeof own_products / sizeof own_products[0]; i++) {
        para_graph *g = graph_of(own_products[i]);
        float *own = product_with(g, "own"), *other = product_with(g, "openblas");
        int64_t n = elements_of(g, "y");
        assert_graph(g, memcmp(own, other, (size_t)n * sizeof *own) == 0, "OpenBLAS computed it");
        free(own);
        free(other);
        para_graph_free(g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_are_what_they_are_for_one_row),
        cmocka_unit_test(bytes_have_room_and_nan_comes_through),
        cmocka_unit_test(products_by_blocks_are_what_they_are_for_one_row),
        cmocka_unit_test(blocks_have_room_and_nan_comes_through),
        cmocka_unit_test(tiles_have_the_bits_of_vectors),
        cmocka_unit_test(tiles_of_bf16_give_products_of_float32),
        cmocka_unit_test(few_rows_and_narrow_weights_are_not_left_to_openblas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
