/* The metadata that tells what a model is. */
#ifndef PARA_IO_GGUF_DESCRIBE_H
#define PARA_IO_GGUF_DESCRIBE_H

#include "io/gguf-write.h"
#include "models/family.h"

/* Put a model whose matrices are of a type; `factors` is set if rope_freqs.weight, of half a head's width, belongs to
 * it. Returns 0, or PARA_ESUPPORT for what files of its architecture can't say. */
int para_gguf_describe(struct para_gguf_head *h, const para_model *model, para_dtype weights, bool *factors,
                       para_error *err);

#endif
