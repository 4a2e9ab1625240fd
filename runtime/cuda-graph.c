/* Captured work: kernels that follow each other on a stream, launched as one. */
#include "runtime/cuda.h"

#include "base/fail.h"

#include <cuda_runtime_api.h>

int para_cuda_capture_stream(struct CUstream_st **out, int gpu, para_error *err)
{
    int before = 0;
    cudaGetDevice(&before);
    cudaError_t status = cudaSetDevice(gpu);
    if (status == cudaSuccess)
        status = cudaStreamCreateWithFlags(out, cudaStreamNonBlocking);
    cudaSetDevice(before);
    return status == cudaSuccess
               ? 0
               : para_fail(err, PARA_EDEVICE, "cuda:%d: a stream: %s", gpu, cudaGetErrorString(status));
}

void para_cuda_capture_stream_free(struct CUstream_st *stream)
{
    if (stream)
        cudaStreamDestroy(stream);
}

static bool succeeded(cudaError_t status, const char **why)
{
    *why = cudaGetErrorString(status);
    return status == cudaSuccess;
}

/* Other threads may do meanwhile what a capture must not. */
bool para_cuda_capture_begin(struct CUstream_st *stream, const char **why)
{
    return succeeded(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), why);
}

bool para_cuda_capture_end(struct CUstream_st *stream, struct para_cuda_graph **out, const char **why)
{
    cudaGraph_t graph = NULL;
    cudaGraphExec_t made = NULL;
    cudaError_t status = cudaStreamEndCapture(stream, &graph);
    if (status == cudaSuccess)
        status = cudaGraphInstantiate(&made, graph, 0);
    if (graph)
        cudaGraphDestroy(graph);
    if (status != cudaSuccess)
        cudaGetLastError(); /* which would else be taken for that of what comes next */
    *out = (struct para_cuda_graph *)made;
    return succeeded(status, why);
}

bool para_cuda_graph_launch(struct para_cuda_graph *g, struct CUstream_st *stream, const char **why)
{
    return succeeded(cudaGraphLaunch((cudaGraphExec_t)g, stream), why);
}

void para_cuda_graph_free(struct para_cuda_graph *g)
{
    if (g)
        cudaGraphExecDestroy((cudaGraphExec_t)g);
}
