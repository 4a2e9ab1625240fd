/* What GGUF files say of rotary embeddings: keys below "ARCHITECTURE.rope.", and of Llama 3's scaling the tensor
 * rope_freqs.weight alone, by which each pair's frequency is divided. */
#ifndef PARA_IO_GGUF_ROPE_H
#define PARA_IO_GGUF_ROPE_H

#include "io/gguf.h"

#include <paragraph/ops.h>

#define PARA_GGUF_FACTORS "rope_freqs.weight"

/* Read the options for heads of a width, of a model whose context is so long. */
int para_gguf_rope(para_rope_options *out, const struct para_gguf *f, const char *architecture, int64_t width,
                   int64_t context, para_error *err);

/* The factor by which Llama 3's scaling divides the frequency of pair i of a head of a width. */
double para_llama3_factor(const para_rope_options *o, int64_t width, int64_t i);

#endif
