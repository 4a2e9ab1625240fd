/* Products of a few rows with weights of each type, in both layouts: held to sums in double, and a row's bits don't
 * depend on the rows beside it. */
#include "tests/support.h"

#include "base/dtype.h"
#include "ops/convert.h"
#include "ops/skinny.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = PARA_SKINNY_ROWS, PAD = 3 };

typedef void multiply(const struct para_weights_matrix *w, int64_t m, const float *x, int64_t ldx, float *y, int64_t ldy);

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
    para_convert(count, dtype, w.data, w.values);
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

/* y (ROWS,N) by the formula. */
static void sum_in_double(const struct weights *w, bool transposed, const float *x, int64_t ldx, float *y, int64_t ldy)
{
    for (int64_t i = 0; i < ROWS; i++)
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
    sum_in_double(&w, transposed, x, ldx, expected, ldy);
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
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(products_are_what_they_are_for_one_row)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
