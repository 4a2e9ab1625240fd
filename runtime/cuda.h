/* What the runtime asks of CUDA. In a build without it, runtime/cuda-none.c answers. */
#ifndef PARA_RUNTIME_CUDA_H
#define PARA_RUNTIME_CUDA_H

#include <paragraph/session.h>

#include "graph/op.h"

/* Whether this is a build with CUDA. */
extern const bool para_cuda_built;
/* The GPUs that CUDA sees, 0 where it can't be used; *why then says why not, else it is what CUDA says of itself. The
 * string is static. */
int para_cuda_count(const char **why);
int para_cuda_describe(para_gpu *out, int gpu, para_error *err);
int para_cuda_floor(para_gpu_floor *out, int gpu, para_error *err);
int para_cuda_link(double *gbs, int from, int to, para_error *err);

/* What kernels get on a GPU, but for the stream: its library handle and a workspace. */
int para_cuda_open(struct para_cuda *out, int gpu, para_error *err);
void para_cuda_close(struct para_cuda *c);
/* The stream of the StarPU worker that calls. */
struct CUstream_st *para_cuda_stream(void);

/* The bytes of a GPU's memory that nobody has yet. */
int para_cuda_free_bytes(size_t *out, int gpu, para_error *err);
/* Copy between any two memories, and make zeros in a GPU's; done when they return. */
int para_cuda_copy(void *to, const void *from, size_t bytes, para_error *err);
int para_cuda_clear(void *memory, size_t bytes, para_error *err);

/* Small values that are copied together between a GPU's memory and main memory that it sees, in words of 4 bytes. */
enum { PARA_CUDA_PIECES = 8 };
struct para_cuda_piece {
    unsigned *to;
    const unsigned *from; /* NULL: zeros */
    const unsigned *flag; /* main memory: where it is 0 nothing is copied. NULL: always */
    size_t words;
};
struct para_cuda_mail {
    int count;
    struct para_cuda_piece of[PARA_CUDA_PIECES];
};
/* Enqueue the copies. */
int para_cuda_send(const struct para_cuda_mail *mail, struct CUstream_st *stream, para_error *err);

/* Work that was enqueued on a stream between begin and end, kept to be launched as one. *why says why it can't be, a
 * static string; then nothing of it has run. */
struct para_cuda_graph;
int para_cuda_capture_stream(struct CUstream_st **out, int gpu, para_error *err);
void para_cuda_capture_stream_free(struct CUstream_st *stream);
bool para_cuda_capture_begin(struct CUstream_st *stream, const char **why);
bool para_cuda_capture_end(struct CUstream_st *stream, struct para_cuda_graph **out, const char **why);
bool para_cuda_graph_launch(struct para_cuda_graph *g, struct CUstream_st *stream, const char **why);
void para_cuda_graph_free(struct para_cuda_graph *g);

/* Memory of a GPU, aligned to 256 bytes. */
int para_cuda_new(void **out, int gpu, size_t bytes, para_error *err);
void para_cuda_free(void *memory);
/* Main memory that GPUs write into as they run. */
int para_cuda_mapped_new(void **out, size_t bytes, para_error *err);
void para_cuda_mapped_free(void *memory);

/* Marks that a GPU's stream passes, each of which then has a time. */
struct para_cuda_marks;
int para_cuda_marks_new(struct para_cuda_marks **out, int gpu, int count, para_error *err);
void para_cuda_marks_free(struct para_cuda_marks *m);
/* Note the moment from which times count; nothing runs on the GPU meanwhile. */
int para_cuda_marks_begin(struct para_cuda_marks *m, para_error *err);
/* Set a mark, from the worker of the GPU. */
void para_cuda_mark(struct para_cuda_marks *m, int mark, struct CUstream_st *stream);
/* Nanoseconds from that moment until a mark was passed, which must be past. */
double para_cuda_marked_ns(const struct para_cuda_marks *m, int mark);

#endif
