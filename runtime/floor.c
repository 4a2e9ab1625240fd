/* The floors: the rates that the machine reaches when it does nothing but products or traffic. */
#include "runtime/machine.h"
#include "runtime/store.h"

#include "base/fail.h"
#include "base/simd.h"

#include <cblas.h>
#include <pthread.h>
#include <starpu.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SIDE = 1536, ROUNDS = 5, LINE = 16 /* floats */, LINES = 8, AHEAD = 4096 };

static const size_t TRAFFIC_BYTES = (size_t)256 << 20;

/* One measurement: all workers begin together, and the round lasts until the last is done. */
struct trial {
    pthread_barrier_t barrier;
    void (*work)(float *a, float *b, float *c, size_t elements);
    int arrays;
    size_t elements; /* of each array */
    double best_s;
    atomic_bool failed;
};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void multiply(float *a, float *b, float *c, size_t elements)
{
    (void)elements;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, SIDE, SIDE, SIDE, 1.0f, a, SIDE, b, SIDE, 0.0f, c, SIDE);
}

/* The sum of all, LINES lines at a time, which are of so many streams side by side; asking for what each stream reads
 * some bytes ahead, if any. Streams and bytes are constant. */
static inline __attribute__((always_inline)) void read_streams(float *a, size_t elements, size_t streams, size_t ahead)
{
    float sum[LINES][LINE] = {{0}};
    size_t part = elements / streams, step = LINES / streams * LINE;
    for (size_t e = 0; e + step <= part; e += step)
#pragma GCC unroll 8
        for (size_t l = 0; l < LINES; l++) {
            const float *line = a + l % streams * part + e + l / streams * LINE;
            if (ahead)
                __builtin_prefetch((const char *)line + ahead, 0, 2);
#pragma omp simd
            for (size_t i = 0; i < LINE; i++)
                sum[l][i] += line[i];
        }
    for (size_t i = 1; i < (size_t)LINES * LINE; i++)
        sum[0][0] += sum[i / LINE][i % LINE];
    a[0] = sum[0][0];
}

PARA_SIMD static void read_all(float *a, float *b, float *c, size_t elements)
{
    (void)b, (void)c;
    read_streams(a, elements, 1, 0);
}

/* Better where the processor alone asks for too little. */
PARA_SIMD static void read_asking(float *a, float *b, float *c, size_t elements)
{
    (void)b, (void)c;
    read_streams(a, elements, 1, AHEAD);
}

/* Better where it asks for so much of each page. */
PARA_SIMD static void read_side_by_side(float *a, float *b, float *c, size_t elements)
{
    (void)b, (void)c;
    read_streams(a, elements, LINES, 0);
}

PARA_SIMD static void triad(float *a, float *b, float *c, size_t elements)
{
#pragma omp simd
    for (size_t e = 0; e < elements; e++)
        c[e] = a[e] + 0.5f * b[e];
}

static void run_trial(void *argument)
{
    struct trial *t = argument;
    size_t bytes = t->elements * sizeof(float);
    float *memory[3] = {NULL};
    for (int i = 0; i < t->arrays; i++) {
        memory[i] = para_store_allocate(bytes);
        if (memory[i])
            memset(memory[i], i, bytes);
        else
            t->failed = true;
    }
    for (int round = 0; round < ROUNDS + 1; round++) { /* the first warms up */
        int first = pthread_barrier_wait(&t->barrier);
        double begin = now_s();
        if (!t->failed)
            t->work(memory[0], memory[1], memory[2], t->elements);
        pthread_barrier_wait(&t->barrier);
        double took = now_s() - begin;
        if (first == PTHREAD_BARRIER_SERIAL_THREAD && round > 0 && (t->best_s == 0 || took < t->best_s))
            t->best_s = took;
        pthread_barrier_wait(&t->barrier);
    }
    for (int i = 0; i < 3; i++)
        free(memory[i]);
}

/* Best seconds of a round on all workers at once; negative on failure. */
static double measure(const para_machine *m, void (*work)(float *, float *, float *, size_t), int arrays,
                      size_t elements)
{
    struct trial t = {.work = work, .arrays = arrays, .elements = elements};
    if (pthread_barrier_init(&t.barrier, NULL, (unsigned)m->workers) != 0)
        return -1;
    starpu_execute_on_each_worker(run_trial, &t, STARPU_CPU);
    pthread_barrier_destroy(&t.barrier);
    return t.failed ? -1 : t.best_s;
}

int para_machine_floor(para_machine *m, para_floor *out, para_error *err)
{
    size_t floats = TRAFFIC_BYTES / sizeof(float);
    PARA_TRY(para_check_blas_room(m->workers, 3 * (size_t)SIDE * SIDE * sizeof(float), err));
    double multiply_s = measure(m, multiply, 3, (size_t)SIDE * SIDE);
    void (*const reads[])(float *, float *, float *, size_t) = {read_all, read_asking, read_side_by_side};
    double read_s = 0;
    for (size_t i = 0; i < sizeof reads / sizeof reads[0] && read_s >= 0; i++) {
        double took_s = measure(m, reads[i], 1, floats);
        read_s = took_s < 0 || read_s == 0 || took_s < read_s ? took_s : read_s;
    }
    double triad_s = measure(m, triad, 3, floats / 3);
    if (multiply_s <= 0 || read_s <= 0 || triad_s <= 0)
        return para_fail_memory(err, "measuring the floors");
    double workers = m->workers;
    out->sgemm_gflops = workers * 2.0 * SIDE * SIDE * SIDE / multiply_s * 1e-9;
    out->read_gbs = workers * (double)TRAFFIC_BYTES / read_s * 1e-9;
    out->triad_gbs = workers * (double)(floats / 3 * 3 * sizeof(float)) / triad_s * 1e-9;
    out->memory_gbs = out->read_gbs > out->triad_gbs ? out->read_gbs : out->triad_gbs;
    return 0;
}
