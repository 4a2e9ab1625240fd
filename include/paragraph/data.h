/** @file
 * Files: safetensors, token data, checkpoints. Not in builds configured --without-io. */
#ifndef PARAGRAPH_DATA_H
#define PARAGRAPH_DATA_H

#include <paragraph/models.h>
#include <paragraph/session.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A safetensors file, mapped read only; every offset, size, shape and type is checked when it is opened. */
typedef struct para_safetensors para_safetensors;

/** One tensor of a file; the strings and the data live as long as the file is open. */
typedef struct para_entry {
    const char *name; /**< as in the file */
    para_dtype dtype; /**< of the elements */
    int rank;         /**< number of dimensions */
    int64_t shape[8]; /**< extents, outermost first */
    const void *data; /**< little-endian, dense, last dimension fastest */
    size_t bytes;     /**< of `data` */
} para_entry;

/** Open and check a file. Errors name the file, the tensor, and what was expected. */
PARA_API int para_safetensors_open(para_safetensors **out, const char *path, para_error *err);
/** Unmap and free a file and its entries; NULL is welcome. */
PARA_API void para_safetensors_close(para_safetensors *f);
/** Return the number of tensors. */
PARA_API int para_safetensors_count(const para_safetensors *f);
/** Return tensor number `i`, 0 to the count - 1, in the order of their data. */
PARA_API para_entry para_safetensors_entry(const para_safetensors *f, int i);
/** Find a tensor by name: its number, or -1. */
PARA_API int para_safetensors_find(const para_safetensors *f, const char *name);
/** Write a file whole: to `path`.tmp, synced, then renamed. Entries are written in the order given. */
PARA_API int para_safetensors_write(const char *path, const para_entry *entries, int count, para_error *err);

/** A sequence of token ids. */
typedef struct para_dataset para_dataset;

/** Read files into one sequence: names ending in .tok16 as little-endian uint16 ids, others as text by bytes.
 * Ids must be below `vocab`. */
PARA_API int para_dataset_open(para_dataset **out, const char *const paths[], int count, int64_t vocab, para_error *err);
/** Free a sequence or a view; NULL is welcome. */
PARA_API void para_dataset_free(para_dataset *d);
/** Return the number of tokens. */
PARA_API int64_t para_dataset_tokens(const para_dataset *d);
/** Make a view of tokens begin to end - 1; it must be freed before `d`. */
PARA_API int para_dataset_part(para_dataset **out, const para_dataset *d, int64_t begin, int64_t end, para_error *err);
/** Fill `tokens` and `targets` (batch x seq each; targets are the tokens one later) with the windows of step
 * number `step`: random starts drawn from (seed, step, row), or, if `sequential`, windows from the start in
 * order, stride seq, wrapping. Returns PARA_ERANGE if the sequence is shorter than seq + 1. */
PARA_API int para_dataset_batch(const para_dataset *d, int64_t batch, int64_t seq, int64_t step, uint64_t seed, bool sequential,
                                int32_t *tokens, int32_t *targets, para_error *err);
/** Number of whole windows of seq + 1 tokens at stride seq: what an evaluation reads. */
PARA_API int64_t para_dataset_windows(const para_dataset *d, int64_t seq);

/** What a checkpoint says of the run beside the tensors. */
typedef struct para_trainer {
    int64_t step;       /**< steps done */
    uint64_t seed;      /**< of initial values, windows and dropout */
    double best_loss;   /**< best validation loss so far; negative: none */
} para_trainer;

/** Save a session's GPT-2 as a Hugging Face style folder, config.json and model.safetensors, and, with `trainer`,
 * optimizer.safetensors and trainer.json. Written to a temporary folder beside `dir`, synced, then put in place:
 * a crash at any instant leaves the old folder or the new one. Splits don't show in the files. */
PARA_API int para_checkpoint_save(const char *dir, const para_gpt2 *model, const para_graph *g, para_session *s,
                                  const para_trainer *trainer, para_error *err);
/** Check, before hours of work, that para_checkpoint_save() can write `dir`: that its parent takes a new folder and
 * that `dir`, if it exists, is a folder of files alone. Returns PARA_EINVAL or PARA_EIO, saying what is wrong. */
PARA_API int para_checkpoint_check(const char *dir, para_error *err);
/** Read config.json of a folder, and hold its sizes against the weights, if they are there. Errors name the field or
 * the tensor and what was expected. */
PARA_API int para_checkpoint_config(const char *dir, para_gpt2 *out, para_error *err);
/** Load a folder's parameters into a session and, if `trainer` isn't NULL, its optimizer states and trainer.json
 * (PARA_EIO if absent). Weights are in model.safetensors or in the files of model.safetensors.index.json, float32,
 * float16 or bfloat16, and become the graph's type as para_session_set_weight() has it; names may or may not begin with
 * "transformer.". A failure before the first tensor is read
 * leaves the session as it was. */
PARA_API int para_checkpoint_load(const char *dir, const para_graph *g, para_session *s, para_trainer *trainer, para_error *err);

#ifdef __cplusplus
}
#endif
#endif
