/* Matrix products: every version of the kernel, and OpenBLAS, against sums in double, at sizes around tiles and blocks;
 * what each promises of bits; and who is chosen. */
#include "tests/support.h"

#include <cblas.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/gemm.h"
#include "kernels/provider.h"

enum { MARGIN = 3 };

static const float GUARD = 12345.0f;

/* What a product is tried with: sizes, which operands lie transposed, and elements between rows beyond their own. */
struct trial {
    int64_t m, n, k;
    bool a_transposed, b_transposed, add;
    int64_t gap;
};

static float *random_floats(int64_t n, uint64_t stream)
{
    float *x = must_alloc((size_t)(n ? n : 1) * sizeof *x);
    fill_uniform(x, n, 7, stream, -1, 1);
    for (int64_t i = 0; i < n; i++)
        x[i] /= 3.0f; /* all bits of the mantissa */
    return x;
}

/* A matrix (rows, cols) in a block of its own that ends where its last element does. */
static struct para_gemm_operand operand(int64_t rows, int64_t cols, bool transposed, int64_t gap, uint64_t stream)
{
    int64_t count = transposed ? cols : rows, length = transposed ? rows : cols, ld = length + gap;
    int64_t elements = count && length ? (count - 1) * ld + length : 0;
    return (struct para_gemm_operand){random_floats(elements, stream), transposed ? 1 : ld, transposed ? ld : 1};
}

static float element(const struct para_gemm_operand *x, int64_t i, int64_t j)
{
    return x->at[i * x->row + j * x->col];
}

static struct para_gemm product_of(const struct trial *t)
{
    int64_t c_row = t->n + MARGIN;
    struct para_gemm g = {.m = t->m, .n = t->n, .k = t->k, .c_row = c_row, .add = t->add};
    g.a = operand(t->m, t->k, t->a_transposed, t->gap, 1);
    g.b = operand(t->k, t->n, t->b_transposed, t->gap, 2);
    g.c = random_floats(t->m * c_row, 3);
    for (int64_t i = 0; i < t->m; i++)
        for (int64_t j = t->n; j < c_row; j++)
            g.c[i * c_row + j] = GUARD;
    return g;
}

static void free_product(struct para_gemm *g)
{
    free((void *)(uintptr_t)g->a.at);
    free((void *)(uintptr_t)g->b.at);
    free(g->c);
}

/* OpenBLAS counts as one more version where it can be had. */
static int versions_with_openblas(void)
{
    return para_gemm_versions() + (para_provider_use("openblas", NULL) == 0);
}

static void multiply_by_provider(const struct para_gemm *g, void *scratch)
{
    const struct para_provider *by;
    para_error err = {0};
    must(para_provider_get(&by, &err), err);
    by->multiply(g, scratch);
}

static void multiply(int version, const struct para_gemm *g)
{
    size_t bytes = para_gemm_scratch(g->m, g->n, g->k);
    void *scratch = aligned_alloc(64, bytes ? bytes : 64);
    assert_non_null(scratch);
    memset(scratch, 0xff, bytes); /* NaN */
    if (version < para_gemm_versions())
        para_gemm_version(version, g, scratch);
    else
        multiply_by_provider(g, scratch);
    free(scratch);
}

static void check(int version, const struct trial *t)
{
    struct para_gemm g = product_of(t);
    float *before = must_alloc((size_t)(g.m * g.c_row + 1) * sizeof *before);
    memcpy(before, g.c, (size_t)(g.m * g.c_row) * sizeof *before);
    multiply(version, &g);
    for (int64_t i = 0; i < g.m; i++) {
        for (int64_t j = 0; j < g.n; j++) {
            double sum = g.add ? before[i * g.c_row + j] : 0, size = fabs(sum);
            for (int64_t k = 0; k < g.k; k++) {
                double term = (double)element(&g.a, i, k) * element(&g.b, k, j);
                sum += term;
                size += fabs(term);
            }
            double off = fabs(g.c[i * g.c_row + j] - sum);
            if (!(off <= 1e-6 * size))
                fail_msg("version %d, (%lld,%lld,%lld)%s%s%s: element (%lld,%lld) is %g, expected %g", version,
                         (long long)g.m, (long long)g.n, (long long)g.k, t->a_transposed ? ", a transposed" : "",
                         t->b_transposed ? ", b transposed" : "", t->add ? ", added" : "", (long long)i, (long long)j,
                         (double)g.c[i * g.c_row + j], sum);
        }
        for (int64_t j = g.n; j < g.c_row; j++)
            assert_true(g.c[i * g.c_row + j] == GUARD);
    }
    free(before);
    free_product(&g);
}

static void check_layouts(int64_t m, int64_t n, int64_t k, int64_t gap)
{
    for (int version = 0; version < versions_with_openblas(); version++)
        for (int bits = 0; bits < 8; bits++)
            check(version, &(struct trial){m, n, k, bits & 1, bits & 2, bits & 4, gap});
}

static void products_equal_sums_in_double(void **state)
{
    (void)state;
    static const int64_t rows[] = {1, 2, 3, 5, 6, 7, 12, 13, 14, 15, 29, 64},
                         cols[] = {1, 7, 8, 15, 17, 31, 32, 33, 65}, depths[] = {1, 2, 7, 16, 33, 70};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (size_t j = 0; j < sizeof cols / sizeof *cols; j++)
            for (size_t k = 0; k < sizeof depths / sizeof *depths; k++)
                check_layouts(rows[i], cols[j], depths[k], (int64_t)(i + j + k) % 3);
}

static void blocks_of_each_size_meet(void **state)
{
    (void)state;
    check_layouts(41, 50, PARA_GEMM_DEPTH - 1, 0);
    check_layouts(41, 50, PARA_GEMM_DEPTH, 5);
    check_layouts(20, 33, 2 * PARA_GEMM_DEPTH + 1, 0);
    check_layouts(19, 34, 7 * PARA_GEMM_DEPTH + 13, 1);
    check_layouts(1500, 9, 300, 0);
}

static void nothing_to_sum(void **state)
{
    (void)state;
    check_layouts(5, 6, 0, 0);
    check_layouts(0, 6, 3, 0);
    check_layouts(5, 0, 3, 0);
}

/* An element has the same bits whatever else is computed beside it, and wherever its operands lie. */
static void an_element_depends_on_its_row_and_column(void **state)
{
    (void)state;
    for (int version = 0; version < para_gemm_versions(); version++)
        for (int bits = 0; bits < 4; bits++) {
            struct para_gemm all = product_of(&(struct trial){67, 101, 777, bits & 1, bits & 2, false, 1});
            multiply(version, &all);
            for (int64_t i = 0; i < all.m; i += 13)
                for (int64_t j = 0; j < all.n; j += 9) {
                    struct para_gemm part = all;
                    part.m = part.m - i < 5 ? part.m - i : 5;
                    part.n = part.n - j < 37 ? part.n - j : 37;
                    part.a.at += i * all.a.row;
                    part.b.at += j * all.b.col;
                    part.c_row = part.n;
                    part.c = random_floats(part.m * part.n, 4);
                    multiply(version, &part);
                    for (int64_t r = 0; r < part.m; r++)
                        assert_memory_equal(part.c + r * part.n, all.c + (i + r) * all.c_row + j,
                                            (size_t)part.n * sizeof(float));
                    free(part.c);
                }
            free_product(&all);
        }
}

/* Parts of K that end with a block, added one after another, give the bits of the whole. */
static void parts_of_the_sum_add_up(void **state)
{
    (void)state;
    for (int version = 0; version < para_gemm_versions(); version++) {
        struct para_gemm whole = product_of(&(struct trial){30, 40, 5 * PARA_GEMM_DEPTH + 9, false, false, false, 0});
        multiply(version, &whole);
        struct para_gemm part = whole;
        part.c = random_floats(whole.m * whole.c_row, 5);
        part.k = 2 * PARA_GEMM_DEPTH;
        multiply(version, &part);
        part.a.at += part.k;
        part.b.at += part.k * part.b.row;
        part.k = whole.k - part.k;
        part.add = true;
        multiply(version, &part);
        for (int64_t i = 0; i < whole.m; i++)
            assert_memory_equal(part.c + i * whole.c_row, whole.c + i * whole.c_row, (size_t)whole.n * sizeof(float));
        free(part.c);
        free_product(&whole);
    }
}

/* Fail unless row i and column j alone hold what is not a number. */
static void assert_nan_cross(const struct para_gemm *g, int64_t row, int64_t col)
{
    for (int64_t i = 0; i < g->m; i++)
        for (int64_t j = 0; j < g->n; j++)
            assert_int_equal(isnan(g->c[i * g->c_row + j]), i == row || j == col);
}

static void nan_and_infinity_spread_as_in_sums(void **state)
{
    (void)state;
    for (int version = 0; version < versions_with_openblas(); version++)
        for (int bits = 0; bits < 4; bits++) {
            struct para_gemm g = product_of(&(struct trial){33, 45, 300, bits & 1, bits & 2, false, 0});
            float *a = (float *)(uintptr_t)g.a.at, *b = (float *)(uintptr_t)g.b.at;
            a[20 * g.a.row + 299 * g.a.col] = NAN;
            b[5 * g.b.row + 40 * g.b.col] = NAN;
            multiply(version, &g);
            assert_nan_cross(&g, 20, 40);
            a[20 * g.a.row + 299 * g.a.col] = INFINITY; /* infinity by 0 is not a number */
            b[5 * g.b.row + 40 * g.b.col] = 0;
            for (int64_t j = 0; j < g.n; j++)
                b[299 * g.b.row + j * g.b.col] = j == 7 ? 0.0f : 1.0f;
            multiply(version, &g);
            for (int64_t j = 0; j < g.n; j++)
                assert_true(j == 7 ? isnan(g.c[20 * g.c_row + j]) : g.c[20 * g.c_row + j] == INFINITY);
            free_product(&g);
        }
}

/* Whether the product of whole's operands has whole's bits where all lie elsewhere in their cache lines. */
static bool same_bits_elsewhere(int version, const struct para_gemm *whole, int64_t offset)
{
    struct para_gemm g = *whole;
    int64_t a_floats = g.m * g.k, b_floats = g.k * g.n, c_row = g.n + offset;
    float *a = must_alloc((size_t)(a_floats + offset) * sizeof *a);
    float *b = must_alloc((size_t)(b_floats + offset) * sizeof *b);
    float *c = must_alloc((size_t)(g.m * c_row + offset) * sizeof *c);
    memcpy(a + offset, g.a.at, (size_t)a_floats * sizeof *a);
    memcpy(b + offset, g.b.at, (size_t)b_floats * sizeof *b);
    g.a.at = a + offset;
    g.b.at = b + offset;
    g.c = c + offset;
    g.c_row = c_row;
    multiply(version, &g);
    bool same = true;
    for (int64_t i = 0; i < g.m; i++)
        same = same && memcmp(g.c + i * c_row, whole->c + i * whole->c_row, (size_t)g.n * sizeof(float)) == 0;
    free(a);
    free(b);
    free(c);
    return same;
}

struct repeated {
    int version;
    const struct para_gemm *whole;
    bool same[17]; /* by offset */
};

static void *multiply_again(void *argument)
{
    struct repeated *r = argument;
    for (int offset = 0; offset < 17; offset++)
        r->same[offset] = same_bits_elsewhere(r->version, r->whole, offset);
    return NULL;
}

static void repeat_on_threads(int version, const struct para_gemm *whole)
{
    enum { THREADS = 4 };
    struct repeated r[THREADS];
    pthread_t thread[THREADS];
    for (int t = 0; t < THREADS; t++) {
        r[t] = (struct repeated){.version = version, .whole = whole};
        assert_int_equal(pthread_create(&thread[t], NULL, multiply_again, &r[t]), 0);
    }
    for (int t = 0; t < THREADS; t++) {
        pthread_join(thread[t], NULL);
        for (int offset = 0; offset < 17; offset++)
            if (!r[t].same[offset])
                fail_msg("version %d, (%lld,%lld,%lld), thread %d, offset %d: other bits", version, (long long)whole->m,
                         (long long)whole->n, (long long)whole->k, t, offset);
    }
}

/* On several threads at once, wherever operands lie. */
static void a_product_has_the_same_bits_each_time(void **state)
{
    (void)state;
    static const int64_t sizes[][3] = {{17, 50, 33}, {96, 64, 300}, {200, 31, 777}, {40, 700, 65}};
    for (int version = 0; version < versions_with_openblas(); version++)
        for (int i = 0; i < 4 * 4; i++) {
            const int64_t *size = sizes[i / 4];
            struct para_gemm whole = product_of(&(struct trial){size[0], size[1], size[2], i & 1, i & 2, false, 0});
            multiply(version, &whole);
            repeat_on_threads(version, &whole);
            free_product(&whole);
        }
}

static void *multiply_once(void *argument)
{
    multiply(para_gemm_versions(), argument);
    return NULL;
}

/* A thread's first product by OpenBLAS sees to that. */
static void openblas_uses_one_thread(void **state)
{
    (void)state;
    if (versions_with_openblas() == para_gemm_versions())
        skip();
    struct para_gemm g = product_of(&(struct trial){64, 64, 64, false, false, false, 0});
    pthread_t thread;
    openblas_set_num_threads(2);
    assert_int_equal(pthread_create(&thread, NULL, multiply_once, &g), 0);
    pthread_join(thread, NULL);
    assert_int_equal(openblas_get_num_threads(), 1);
    free_product(&g);
}

static const char *provider_name(void)
{
    const struct para_provider *by;
    para_error err = {0};
    must(para_provider_get(&by, &err), err);
    return by->name;
}

static void the_provider_is_chosen_by_name_or_rule(void **state)
{
    (void)state;
    para_error err = {0};
    must(para_provider_use("own", &err), err);
    assert_string_equal(provider_name(), "own");
    assert_int_equal(para_provider_use("mkl", &err), PARA_ENAME);
    assert_non_null(strstr(err.message, "PARA_GEMM is \"mkl\", expected \"own\" or \"openblas\""));
    assert_string_equal(provider_name(), "own");
    bool openblas = para_provider_use("openblas", &err) == 0;
    assert_string_equal(provider_name(), openblas ? "openblas" : "own");
    must(para_provider_use("", &err), err);
    assert_string_equal(provider_name(), para_gemm_is_tuned() || !openblas ? "own" : "openblas");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_equal_sums_in_double),
        cmocka_unit_test(blocks_of_each_size_meet),
        cmocka_unit_test(nothing_to_sum),
        cmocka_unit_test(an_element_depends_on_its_row_and_column),
        cmocka_unit_test(parts_of_the_sum_add_up),
        cmocka_unit_test(nan_and_infinity_spread_as_in_sums),
        cmocka_unit_test(a_product_has_the_same_bits_each_time),
        cmocka_unit_test(openblas_uses_one_thread),
        cmocka_unit_test(the_provider_is_chosen_by_name_or_rule),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
