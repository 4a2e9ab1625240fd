#include "kernels/provider.h"

#include "base/checked.h"
#include "base/fail.h"

#include <cblas.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Built for OpenMP, OpenBLAS keeps the number for each caller apart, beside a list of buffers that setting it changes;
 * so each thread does it once, one at a time. */
void para_provider_one_thread(void)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static _Thread_local bool done;
    if (done)
        return;
    pthread_mutex_lock(&lock);
    openblas_set_num_threads(1);
    pthread_mutex_unlock(&lock);
    done = true;
}

static CBLAS_TRANSPOSE transpose_of(const struct para_gemm_operand *x)
{
    return x->col == 1 ? CblasNoTrans : CblasTrans;
}

/* From one line to the next of a matrix (rows, cols): at least a line's length, as BLAS wants it even of one line. */
static int64_t line_step(const struct para_gemm_operand *x, int64_t rows, int64_t cols)
{
    int64_t step = x->col == 1 ? x->row : x->col, length = x->col == 1 ? cols : rows;
    return step > length ? step : length;
}

/* Products beyond the range of BLAS's int are our own. */
static void multiply_by_openblas(const struct para_gemm *g, void *scratch)
{
    int64_t lda = line_step(&g->a, g->m, g->k), ldb = line_step(&g->b, g->k, g->n);
    if (g->m > INT_MAX || g->n > INT_MAX || g->k > INT_MAX || lda > INT_MAX || ldb > INT_MAX || g->c_row > INT_MAX) {
        para_gemm(g, scratch);
        return;
    }
    if (g->m == 0 || g->n == 0)
        return;
    para_provider_one_thread();
    cblas_sgemm(CblasRowMajor, transpose_of(&g->a), transpose_of(&g->b), (int)g->m, (int)g->n, (int)g->k, 1.0f, g->a.at,
                (int)lda, g->b.at, (int)ldb, g->add ? 1.0f : 0.0f, g->c, (int)g->c_row);
}

const struct para_provider para_provider_own = {"own", para_gemm};

static const struct para_provider openblas = {"openblas", multiply_by_openblas};

static const struct para_provider *_Atomic chosen;

/* Built without threads it may lack the locks that calls from several threads need, and doesn't tell. */
static bool openblas_takes_threads(void)
{
    return openblas_get_parallel() != OPENBLAS_SEQUENTIAL;
}

int para_provider_use(const char *name, para_error *err)
{
    if (!name || !name[0])
        chosen = para_gemm_is_tuned() || !openblas_takes_threads() ? &para_provider_own : &openblas;
    else if (strcmp(name, para_provider_own.name) == 0)
        chosen = &para_provider_own;
    else if (strcmp(name, openblas.name) != 0)
        return para_fail(err, PARA_ENAME, "PARA_GEMM is \"%s\", expected \"own\" or \"openblas\"", name);
    else if (!openblas_takes_threads())
        return para_fail(err, PARA_EDEVICE,
                         "PARA_GEMM is \"openblas\", but this OpenBLAS was built without threads, and several workers "
                         "can't call it; Debian's libopenblas0-pthread can be called");
    else
        chosen = &openblas;
    return 0;
}

int para_provider_get(const struct para_provider **out, para_error *err)
{
    if (!chosen)
        PARA_TRY(para_provider_use(getenv("PARA_GEMM"), err));
    *out = chosen;
    return 0;
}
