/* A build without CUDA: there are no GPUs, and nothing asks for one. */
#include "runtime/cuda.h"

#include "base/fail.h"

const bool para_cuda_built = false;

int para_cuda_count(const char **why)
{
    *why = "this Paragraph is built without CUDA (configure --with-cuda)";
    return 0;
}

static int absent(int gpu, para_error *err)
{
    return para_fail(err, PARA_EDEVICE, "no GPU number %d: built without CUDA", gpu);
}

int para_cuda_describe(para_gpu *out, int gpu, para_error *err)
{
    (void)out;
    return absent(gpu, err);
}

int para_cuda_floor(para_gpu_floor *out, int gpu, para_error *err)
{
    (void)out;
    return absent(gpu, err);
}

int para_cuda_link(double *gbs, int from, int to, para_error *err)
{
    (void)gbs;
    (void)to;
    return absent(from, err);
}

int para_cuda_open(struct para_cuda *out, int gpu, para_error *err)
{
    (void)out;
    return absent(gpu, err);
}

void para_cuda_close(struct para_cuda *c)
{
    (void)c;
}

struct CUstream_st *para_cuda_stream(void)
{
    return NULL;
}

int para_cuda_new(void **out, int gpu, size_t bytes, para_error *err)
{
    (void)out;
    (void)bytes;
    return absent(gpu, err);
}

void para_cuda_free(void *memory)
{
    (void)memory;
}

int para_cuda_mapped_new(void **out, size_t bytes, para_error *err)
{
    (void)out;
    (void)bytes;
    return absent(0, err);
}

void para_cuda_mapped_free(void *memory)
{
    (void)memory;
}

int para_cuda_marks_new(struct para_cuda_marks **out, int gpu, int count, para_error *err)
{
    (void)out;
    (void)count;
    return absent(gpu, err);
}

void para_cuda_marks_free(struct para_cuda_marks *m)
{
    (void)m;
}

int para_cuda_marks_begin(struct para_cuda_marks *m, para_error *err)
{
    (void)m;
    return absent(0, err);
}

void para_cuda_mark(struct para_cuda_marks *m, int mark, struct CUstream_st *stream)
{
    (void)m;
    (void)mark;
    (void)stream;
}

double para_cuda_marked_ns(const struct para_cuda_marks *m, int mark)
{
    (void)m;
    (void)mark;
    return 0;
}

int para_cuda_free_bytes(size_t *out, int gpu, para_error *err)
{
    (void)out;
    return absent(gpu, err);
}

int para_cuda_send(const struct para_cuda_mail *mail, struct CUstream_st *stream, para_error *err)
{
    (void)mail;
    (void)stream;
    return absent(0, err);
}

int para_cuda_copy(void *to, const void *from, size_t bytes, para_error *err)
{
    (void)to;
    (void)from;
    (void)bytes;
    return absent(0, err);
}

int para_cuda_clear(void *memory, size_t bytes, para_error *err)
{
    (void)memory;
    (void)bytes;
    return absent(0, err);
}

int para_cuda_capture_stream(struct CUstream_st **out, int gpu, para_error *err)
{
    (void)out;
    return absent(gpu, err);
}

void para_cuda_capture_stream_free(struct CUstream_st *stream)
{
    (void)stream;
}

bool para_cuda_capture_begin(struct CUstream_st *stream, const char **why)
{
    (void)stream;
    (void)why;
    return false;
}

bool para_cuda_capture_end(struct CUstream_st *stream, struct para_cuda_graph **out, const char **why)
{
    (void)stream;
    (void)out;
    (void)why;
    return false;
}

bool para_cuda_graph_launch(struct para_cuda_graph *g, struct CUstream_st *stream, const char **why)
{
    (void)g;
    (void)stream;
    (void)why;
    return false;
}

void para_cuda_graph_free(struct para_cuda_graph *g)
{
    (void)g;
}
