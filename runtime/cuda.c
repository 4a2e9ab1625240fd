/* What CUDA tells of GPUs, and where kernels enqueue their work. */
#include "runtime/cuda.h"

#include "base/fail.h"

#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <starpu.h>
#include <starpu_cuda.h>

enum { WORKSPACE_BYTES = 32 << 20 };

const bool para_cuda_built = true;

int para_cuda_count(const char **why)
{
    static char text[96];
    int count = 0, runtime = 0, driver = 0;
    cudaError_t status = cudaGetDeviceCount(&count);
    cudaRuntimeGetVersion(&runtime);
    cudaDriverGetVersion(&driver);
    int major = runtime / 1000, minor = runtime % 1000 / 10;
    if (status == cudaErrorInsufficientDriver)
        snprintf(text, sizeof text, "the NVIDIA driver is missing, or older than CUDA %d.%d", major, minor);
    else if (status != cudaSuccess)
        snprintf(text, sizeof text, "CUDA: %s", cudaGetErrorString(status));
    else
        snprintf(text, sizeof text, "%d.%d, driver for %d.%d", major, minor, driver / 1000, driver % 1000 / 10);
    *why = text;
    return status == cudaSuccess ? count : 0;
}

int para_cuda_describe(para_gpu *out, int gpu, para_error *err)
{
    struct cudaDeviceProp p;
    cudaError_t status = cudaGetDeviceProperties(&p, gpu);
    if (status != cudaSuccess)
        return para_fail(err, PARA_EDEVICE, "GPU %d: %s", gpu, cudaGetErrorString(status));
    para_gpu found = {.memory_bytes = (int64_t)p.totalGlobalMem,
                      .multiprocessors = p.multiProcessorCount,
                      .capability = {p.major, p.minor}};
    snprintf(found.name, sizeof found.name, "%s", p.name);
    *out = found;
    return 0;
}

static int failed(int gpu, const char *what, cudaError_t status, para_error *err)
{
    return para_fail(err, PARA_EDEVICE, "cuda:%d: %s: %s", gpu, what, cudaGetErrorString(status));
}

int para_cuda_new(void **out, int gpu, size_t bytes, para_error *err)
{
    int before = 0;
    char what[48];
    snprintf(what, sizeof what, "%zu bytes", bytes);
    cudaGetDevice(&before);
    cudaError_t status = cudaSetDevice(gpu);
    if (status == cudaSuccess)
        status = cudaMalloc(out, bytes);
    cudaSetDevice(before);
    return status == cudaSuccess ? 0 : failed(gpu, what, status, err);
}

int para_cuda_free_bytes(size_t *out, int gpu, para_error *err)
{
    int before = 0;
    size_t all;
    cudaGetDevice(&before);
    cudaError_t status = cudaSetDevice(gpu);
    if (status == cudaSuccess)
        status = cudaMemGetInfo(out, &all);
    cudaSetDevice(before);
    return status == cudaSuccess ? 0 : failed(gpu, "its free memory", status, err);
}

static int copied(cudaError_t status, size_t bytes, para_error *err)
{
    return status == cudaSuccess
               ? 0
               : para_fail(err, PARA_EDEVICE, "CUDA: copying %zu bytes: %s", bytes, cudaGetErrorString(status));
}

int para_cuda_copy(void *to, const void *from, size_t bytes, para_error *err)
{
    return copied(cudaMemcpy(to, from, bytes, cudaMemcpyDefault), bytes, err);
}

/* On the memory's own GPU, which need not be the calling thread's. */
int para_cuda_clear(void *memory, size_t bytes, para_error *err)
{
    struct cudaPointerAttributes where;
    int before = 0;
    cudaGetDevice(&before);
    cudaError_t status = cudaPointerGetAttributes(&where, memory);
    if (status == cudaSuccess)
        status = cudaSetDevice(where.device);
    if (status == cudaSuccess)
        status = cudaMemset(memory, 0, bytes);
    if (status == cudaSuccess)
        status = cudaStreamSynchronize(NULL);
    cudaSetDevice(before);
    return copied(status, bytes, err);
}

void para_cuda_free(void *memory)
{
    cudaFree(memory);
}

int para_cuda_mapped_new(void **out, size_t bytes, para_error *err)
{
    cudaError_t status = cudaHostAlloc(out, bytes, cudaHostAllocMapped | cudaHostAllocPortable);
    return status == cudaSuccess
               ? 0
               : para_fail(err, PARA_EDEVICE, "CUDA: %zu bytes of main memory: %s", bytes, cudaGetErrorString(status));
}

void para_cuda_mapped_free(void *memory)
{
    cudaFreeHost(memory);
}

int para_cuda_open(struct para_cuda *out, int gpu, para_error *err)
{
    struct para_cuda c = {.workspace_bytes = WORKSPACE_BYTES};
    int before = 0;
    PARA_TRY(para_cuda_new(&c.workspace, gpu, c.workspace_bytes, err));
    cudaGetDevice(&before);
    cudaSetDevice(gpu);
    cublasStatus_t status = cublasLtCreate(&c.blas);
    cudaSetDevice(before);
    if (status != CUBLAS_STATUS_SUCCESS) {
        para_cuda_free(c.workspace);
        return para_fail(err, PARA_EDEVICE, "cuda:%d: cuBLASLt doesn't start: %s", gpu,
                         cublasLtGetStatusString(status));
    }
    *out = c;
    return 0;
}

void para_cuda_close(struct para_cuda *c)
{
    if (c->blas)
        cublasLtDestroy(c->blas);
    para_cuda_free(c->workspace);
}

struct CUstream_st *para_cuda_stream(void)
{
    return starpu_cuda_get_local_stream();
}
