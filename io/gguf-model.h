/* The model that a GGUF file's metadata describes. */
#ifndef PARA_IO_GGUF_MODEL_H
#define PARA_IO_GGUF_MODEL_H

#include "io/gguf.h"
#include "models/family.h"

/* Whether a path is that of a GGUF file: not a folder, and it begins as one, or its name ends in ".gguf". */
bool para_gguf_is(const char *path);

/* Make the model; the caller frees it. Returns 0, PARA_EFORMAT, PARA_ESUPPORT or PARA_ENOMEM. */
int para_gguf_model(para_model **out, const struct para_gguf *f, para_error *err);

/* Keys of ids that end texts: of a text, a turn, a message. */
#define PARA_GGUF_ENDS "tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"

/* As para_checkpoint_ends() for a GGUF file. */
int para_gguf_ends(const char *path, int32_t **ids, int64_t *count, para_error *err);

/* The key of an architecture's value, "llama.block_count". */
enum { PARA_GGUF_KEY = 120 };
char *para_gguf_key(char out[PARA_GGUF_KEY], const char *architecture, const char *key);

/* Get a whole number from least to 2^31 - 1, or a number, that must be there. What a float32 stands for is the shortest
 * decimal that it is nearest to: 1e-5 and not 9.99999975e-06. */
int para_gguf_size(int64_t *out, const struct para_gguf *f, const char *key, int64_t least, para_error *err);
int para_gguf_number(double *out, const struct para_gguf *f, const char *key, para_error *err);

#endif
