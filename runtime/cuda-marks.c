/* Times on a GPU: events that its stream passes. */
#include "runtime/cuda.h"

#include "base/fail.h"

#include <cuda_runtime_api.h>
#include <stdlib.h>

struct para_cuda_marks {
    int gpu, count;
    cudaEvent_t begin;
    cudaEvent_t *passed; /* by mark, made when it is first set, on its worker's thread */
};

static int failed(int gpu, cudaError_t status, para_error *err)
{
    return para_fail(err, PARA_EDEVICE, "cuda:%d: marks of time: %s", gpu, cudaGetErrorString(status));
}

int para_cuda_marks_new(struct para_cuda_marks **out, int gpu, int count, para_error *err)
{
    struct para_cuda_marks *m = calloc(1, sizeof *m);
    int before = 0;
    if (!m || !(m->passed = calloc((size_t)count + 1, sizeof *m->passed))) {
        free(m);
        return para_fail_memory(err, "marks of time");
    }
    m->gpu = gpu;
    m->count = count;
    cudaGetDevice(&before);
    cudaSetDevice(gpu);
    cudaError_t status = cudaEventCreate(&m->begin);
    cudaSetDevice(before);
    if (status != cudaSuccess) {
        free(m->passed);
        free(m);
        return failed(gpu, status, err);
    }
    *out = m;
    return 0;
}

void para_cuda_marks_free(struct para_cuda_marks *m)
{
    if (!m)
        return;
    cudaEventDestroy(m->begin);
    for (int i = 0; i < m->count; i++)
        if (m->passed[i])
            cudaEventDestroy(m->passed[i]);
    free(m->passed);
    free(m);
}

int para_cuda_marks_begin(struct para_cuda_marks *m, para_error *err)
{
    int before = 0;
    cudaGetDevice(&before);
    cudaSetDevice(m->gpu);
    cudaError_t status = cudaEventRecord(m->begin, NULL);
    if (status == cudaSuccess)
        status = cudaEventSynchronize(m->begin);
    cudaSetDevice(before);
    return status == cudaSuccess ? 0 : failed(m->gpu, status, err);
}

void para_cuda_mark(struct para_cuda_marks *m, int mark, struct CUstream_st *stream)
{
    if (m->passed[mark] || cudaEventCreate(&m->passed[mark]) == cudaSuccess)
        cudaEventRecord(m->passed[mark], stream);
}

double para_cuda_marked_ns(const struct para_cuda_marks *m, int mark)
{
    float ms = 0;
    if (m->passed[mark])
        cudaEventElapsedTime(&ms, m->begin, m->passed[mark]);
    return 1e6 * ms;
}
