/* Small values between a GPU's memory and main memory that it sees, by a kernel of its own: between kernels of captured
 * work a copy takes several times as long. */
#include <cuda_runtime.h>

extern "C" {
#include "runtime/cuda.h"

#include "base/fail.h"
}

enum { THREADS = 256, MOST_BLOCKS = 64 };

static __global__ void copy(struct para_cuda_mail mail)
{
    const struct para_cuda_piece *p = &mail.of[blockIdx.y];
    __shared__ unsigned wanted;
    if (threadIdx.x == 0)
        wanted = p->flag ? *p->flag : 1; /* one of them asks: main memory answers each */
    __syncthreads();
    for (size_t i = blockIdx.x * THREADS + threadIdx.x; i < p->words && wanted; i += gridDim.x * THREADS)
        p->to[i] = p->from ? p->from[i] : 0;
}

int para_cuda_send(const struct para_cuda_mail *mail, struct CUstream_st *stream, para_error *err)
{
    size_t most = 0;
    for (int i = 0; i < mail->count; i++)
        most = mail->of[i].words > most ? mail->of[i].words : most;
    unsigned blocks = (unsigned)((most + THREADS - 1) / THREADS);
    if (most > 0)
        copy<<<dim3(blocks < MOST_BLOCKS ? blocks : MOST_BLOCKS, (unsigned)mail->count), THREADS, 0, stream>>>(*mail);
    cudaError_t status = cudaGetLastError();
    return status == cudaSuccess ? 0
                                 : para_fail(err, PARA_EDEVICE, "CUDA: small values: %s", cudaGetErrorString(status));
}
