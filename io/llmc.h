/* The model files of llm.c (Karpathy, 2024): GPT-2 behind a header of 256 whole numbers, float32 or bfloat16, layer
 * upon layer of one parameter after another. Matrices are (out, in), and tensors are called here as in GGUF files. */
#ifndef PARA_IO_LLMC_H
#define PARA_IO_LLMC_H

#include "io/safetensors.h"
#include "io/values.h"

/* Whether a path is that of such a file: it isn't a folder and begins as one, or its name ends in ".bin". */
bool para_llmc_is(const char *path);

/* Open a file: its model, which the caller frees, and its tensors, to be closed in any case. Header and size are held
 * against each other. */
int para_llmc_open(para_model **out, struct para_weights *w, const char *path, para_error *err);

/* Write values, which are those of a GGUF file, all of one type, PARA_F32 or PARA_BF16; `fetch` fills a buffer with
 * value i. PARA_ESUPPORT for models that such a file can't be. */
int para_llmc_write(const char *path, const para_model *model, const struct para_values *values, para_dtype dtype,
                    para_entry_fetch fetch, void *user, para_error *err);

#endif
