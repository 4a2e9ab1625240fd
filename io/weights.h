/* The weights of a Hugging Face folder, in one file or in several that an index names, or of a GGUF file. */
#ifndef PARA_IO_WEIGHTS_H
#define PARA_IO_WEIGHTS_H

#include "base/arena.h"
#include "base/strmap.h"
#include "io/file.h"
#include "io/gguf.h"

#include <paragraph/data.h>

#define PARA_WEIGHTS_FILE "model.safetensors"
#define PARA_WEIGHTS_INDEX "model.safetensors.index.json"
#define PARA_WEIGHTS_SHARDS "model-*-of-*.safetensors" /* a shell's pattern */

/* One tensor and the file that it is in. Its type may be no para_dtype; the entry's isn't one then. */
struct para_weight {
    para_entry entry;    /* by its name without what a wrapper put before all */
    const char *written; /* its name in the file */
    const char *path;
    const struct para_block_type *type; /* in a GGUF file */
    const char *other;                  /* a type of safetensors files that isn't read; else NULL */
};

/* Zeros hold nothing and may be closed. */
struct para_weights {
    char path[PARA_PATH_BYTES]; /* of the file, or of the index */
    const char *prefix;         /* that names in files may lack; NULL: none */
    struct para_weight *items;
    int count;
    struct para_strmap names;  /* name -> para_weight */
    struct para_strmap shards; /* name in the index -> shard */
    struct para_strmap absent; /* name -> shard that doesn't have it, though the index says so */
    struct shard *last;        /* all files, the last opened first */
    struct para_gguf *gguf;    /* the file, if it is one */
    struct para_map map;       /* of another single file */
    struct para_arena arena;   /* of names that no file has as they are */
};

/* Open FOLDER/model.safetensors or else all files of FOLDER/model.safetensors.index.json; `prefix` is borrowed. What
 * stands before every name, up to a point, is a wrapper's, as "_orig_mod.", "module." or "model.", and is left out, but
 * for the prefix. After a failure the caller closes, too. */
int para_weights_open(struct para_weights *w, const char *folder, const char *prefix, para_error *err);
/* Open one file. */
int para_weights_open_file(struct para_weights *w, const char *path, const char *prefix, para_error *err);
/* Take the tensors of a GGUF file, and the file, which is closed with them. */
int para_weights_take_gguf(struct para_weights *w, struct para_gguf *file, para_error *err);
/* Make room for so many tensors, and add one of a file that w->path names and w->map holds; the name is copied. */
int para_weights_reserve(struct para_weights *w, size_t count, para_error *err);
int para_weights_add(struct para_weights *w, const char *name, const para_entry *entry, para_error *err);
void para_weights_close(struct para_weights *w);

/* Find a tensor by name, or by the name without the prefix; NULL if there is none. */
const struct para_weight *para_weights_find(const struct para_weights *w, const char *name);
/* The file that the index says has a tensor which it lacks; NULL: it says no such thing. */
const char *para_weights_absent(const struct para_weights *w, const char *name);

/* Whether the elements are of this type as they lie in the file. */
bool para_weight_is(const struct para_weight *w, para_dtype dtype);
/* The name of the elements' type. */
const char *para_weight_type(const struct para_weight *w);
/* Whether values of type `dtype` can be had from a file's: those of weights from float32, float16 and bfloat16, and
 * from the types of GGUF files that PARA_BLOCKS_KNOWN lists. */
bool para_weight_converts(const struct para_weight *w, para_dtype dtype);
/* Write n values of a weight that converts as float32; infinities and NaNs stay what they are. */
void para_weight_convert(float *out, const struct para_weight *w, int64_t n);

#endif
