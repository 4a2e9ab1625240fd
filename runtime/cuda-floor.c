/* The floors of a GPU: the rates that it reaches when it does nothing but products or traffic. */
#include "runtime/cuda.h"

#include "base/fail.h"

#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <stdlib.h>

enum { SIDE = 8192, ROUNDS = 5 };

static const size_t TRAFFIC_BYTES = (size_t)1 << 30, LINK_BYTES = (size_t)256 << 20;

#define CUDA_TRY(call)                                                                                                 \
    do {                                                                                                               \
        cudaError_t status_ = (call);                                                                                  \
        if (status_ != cudaSuccess)                                                                                    \
            return para_fail(err, PARA_EDEVICE, "measuring a GPU: %s", cudaGetErrorString(status_));                   \
    } while (0)
#define BLAS_TRY(call)                                                                                                 \
    do {                                                                                                               \
        cublasStatus_t status_ = (call);                                                                               \
        if (status_ != CUBLAS_STATUS_SUCCESS)                                                                          \
            return para_fail(err, PARA_EDEVICE, "measuring a GPU: %s", cublasLtGetStatusString(status_));              \
    } while (0)

/* One measurement on the current device: `enqueue` is timed on a stream of its own. */
struct trial {
    int (*enqueue)(struct trial *t, para_error *err);
    cudaStream_t stream;
    cudaEvent_t begin, end;
    void *from, *to;
    size_t bytes;
    int from_gpu, to_gpu;
    /* of products */
    cublasLtHandle_t blas;
    cublasLtMatmulDesc_t product;
    cublasLtMatrixLayout_t layout;
    cublasLtMatmulAlgo_t algorithm;
    void *workspace;
    size_t workspace_bytes;
};

static int copy(struct trial *t, para_error *err)
{
    CUDA_TRY(cudaMemcpyAsync(t->to, t->from, t->bytes, cudaMemcpyDefault, t->stream));
    return 0;
}

static int copy_to_peer(struct trial *t, para_error *err)
{
    CUDA_TRY(cudaMemcpyPeerAsync(t->to, t->to_gpu, t->from, t->from_gpu, t->bytes, t->stream));
    return 0;
}

/* from (SIDE, SIDE) times itself */
static int multiply(struct trial *t, para_error *err)
{
    const float one = 1, zero = 0;
    BLAS_TRY(cublasLtMatmul(t->blas, t->product, &one, t->from, t->layout, t->from, t->layout, &zero, t->to, t->layout,
                            t->to, t->layout, &t->algorithm, t->workspace, t->workspace_bytes, t->stream));
    return 0;
}

/* The best of some rounds; the first warms up. */
static int measure(struct trial *t, double *seconds, para_error *err)
{
    float best = 0, ms;
    CUDA_TRY(cudaStreamCreateWithFlags(&t->stream, cudaStreamNonBlocking));
    CUDA_TRY(cudaEventCreate(&t->begin));
    CUDA_TRY(cudaEventCreate(&t->end));
    for (int round = 0; round <= ROUNDS; round++) {
        CUDA_TRY(cudaEventRecord(t->begin, t->stream));
        PARA_TRY(t->enqueue(t, err));
        CUDA_TRY(cudaEventRecord(t->end, t->stream));
        CUDA_TRY(cudaEventSynchronize(t->end));
        CUDA_TRY(cudaEventElapsedTime(&ms, t->begin, t->end));
        best = round == 1 || (round > 1 && ms < best) ? ms : best;
    }
    *seconds = best * 1e-3;
    return 0;
}

/* Leave nothing on the device; what was never made is NULL. */
static void end(struct trial *t)
{
    if (t->begin)
        cudaEventDestroy(t->begin);
    if (t->end)
        cudaEventDestroy(t->end);
    if (t->stream)
        cudaStreamDestroy(t->stream);
    if (t->layout)
        cublasLtMatrixLayoutDestroy(t->layout);
    if (t->product)
        cublasLtMatmulDescDestroy(t->product);
    if (t->blas)
        cublasLtDestroy(t->blas);
    cudaFree(t->workspace);
}

/* Fill with numbers below one in size: zeros would be multiplied faster than data. */
static int fill(void *device, size_t elements, bool bf16, para_error *err)
{
    size_t width = bf16 ? 2 : 4, bytes = elements * width;
    unsigned char *host = malloc(bytes);
    uint32_t state = 1;
    if (!host)
        return para_fail_memory(err, "measuring a GPU");
    for (size_t e = 0; e < elements; e++) {
        state = state * 1664525u + 1013904223u;
        float x = (float)(int32_t)state * 0x1p-31f;
        const unsigned char *bits = (const unsigned char *)&x + (4 - width); /* bfloat16 is the upper half */
        for (size_t b = 0; b < width; b++)
            host[e * width + b] = bits[b];
    }
    cudaError_t status = cudaMemcpy(device, host, bytes, cudaMemcpyDefault);
    free(host);
    CUDA_TRY(status);
    return 0;
}

static int prepare_product(struct trial *t, bool bf16, para_error *err)
{
    cublasLtMatmulPreference_t preference;
    cublasLtMatmulHeuristicResult_t found;
    int count = 0;
    t->workspace_bytes = (size_t)32 << 20;
    CUDA_TRY(cudaMalloc(&t->workspace, t->workspace_bytes));
    PARA_TRY(fill(t->from, (size_t)SIDE * SIDE, bf16, err));
    BLAS_TRY(cublasLtCreate(&t->blas));
    BLAS_TRY(cublasLtMatmulDescCreate(&t->product, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    BLAS_TRY(cublasLtMatrixLayoutCreate(&t->layout, bf16 ? CUDA_R_16BF : CUDA_R_32F, SIDE, SIDE, SIDE));
    BLAS_TRY(cublasLtMatmulPreferenceCreate(&preference));
    cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &t->workspace_bytes,
                                         sizeof t->workspace_bytes);
    cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(t->blas, t->product, t->layout, t->layout, t->layout,
                                                           t->layout, preference, 1, &found, &count);
    cublasLtMatmulPreferenceDestroy(preference);
    BLAS_TRY(status);
    t->algorithm = found.algo;
    t->enqueue = multiply;
    return 0;
}

static int product_rate(double *gflops, void *a, void *b, bool bf16, para_error *err)
{
    struct trial t = {.from = a, .to = b};
    double seconds = 0;
    int status = prepare_product(&t, bf16, err);
    if (status == 0)
        status = measure(&t, &seconds, err);
    end(&t);
    *gflops = 2.0 * SIDE * SIDE * SIDE / seconds * 1e-9;
    return status;
}

static int copy_rate(double *gbs, void *from, void *to, size_t bytes, double factor, para_error *err)
{
    struct trial t = {.enqueue = copy, .from = from, .to = to, .bytes = bytes};
    double seconds = 0;
    int status = measure(&t, &seconds, err);
    end(&t);
    *gbs = factor * (double)bytes / seconds * 1e-9;
    return status;
}

static int measure_all(para_gpu_floor *f, void *a, void *b, void *host, para_error *err)
{
    PARA_TRY(product_rate(&f->f32_gflops, a, b, false, err));
    PARA_TRY(product_rate(&f->bf16_gflops, a, b, true, err));
    PARA_TRY(copy_rate(&f->memory_gbs, a, b, TRAFFIC_BYTES, 2, err)); /* read, and written */
    PARA_TRY(copy_rate(&f->from_main_gbs, host, a, LINK_BYTES, 1, err));
    return copy_rate(&f->to_main_gbs, a, host, LINK_BYTES, 1, err);
}

int para_cuda_floor(para_gpu_floor *out, int gpu, para_error *err)
{
    void *a = NULL, *b = NULL, *host = NULL;
    para_gpu_floor f = {0};
    int before = 0;
    cudaGetDevice(&before);
    CUDA_TRY(cudaSetDevice(gpu));
    int status = 0;
    if (cudaMalloc(&a, TRAFFIC_BYTES) != cudaSuccess || cudaMalloc(&b, TRAFFIC_BYTES) != cudaSuccess ||
        cudaMallocHost(&host, LINK_BYTES) != cudaSuccess)
        status = para_fail(err, PARA_ENOMEM, "measuring GPU %d takes %zu MiB of its memory", gpu, TRAFFIC_BYTES >> 19);
    if (status == 0)
        status = measure_all(&f, a, b, host, err);
    cudaFree(a);
    cudaFree(b);
    cudaFreeHost(host);
    cudaGetLastError();
    cudaSetDevice(before);
    if (status == 0)
        *out = f;
    return status;
}

int para_cuda_link(double *gbs, int from, int to, para_error *err)
{
    struct trial t = {.enqueue = copy_to_peer, .bytes = LINK_BYTES, .from_gpu = from, .to_gpu = to};
    double seconds = 0;
    int before = 0, direct = 0;
    cudaGetDevice(&before);
    cudaError_t made = cudaSetDevice(to);
    made = made == cudaSuccess ? cudaMalloc(&t.to, LINK_BYTES) : made;
    made = made == cudaSuccess ? cudaSetDevice(from) : made;
    made = made == cudaSuccess ? cudaMalloc(&t.from, LINK_BYTES) : made;
    if (made == cudaSuccess && cudaDeviceCanAccessPeer(&direct, from, to) == cudaSuccess && direct)
        cudaDeviceEnablePeerAccess(to, 0); /* it may be on already */
    cudaGetLastError();
    int status = made == cudaSuccess
                     ? measure(&t, &seconds, err)
                     : para_fail(err, made == cudaErrorMemoryAllocation ? PARA_ENOMEM : PARA_EDEVICE,
                                 "measuring the link from GPU %d to %d: %s", from, to, cudaGetErrorString(made));
    end(&t);
    cudaFree(t.from);
    cudaFree(t.to);
    cudaSetDevice(before);
    if (status == 0)
        *gbs = (double)LINK_BYTES / seconds * 1e-9;
    return status;
}
