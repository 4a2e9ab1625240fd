/* The safetensors format, as reader and writer share it: eight bytes, the header's length; the header, a JSON
 * object from names to {"dtype", "shape", "data_offsets": [begin, end]}, offsets counted from the end of the
 * header; the data, without holes. https://github.com/huggingface/safetensors#format */
#ifndef PARA_IO_SAFETENSORS_H
#define PARA_IO_SAFETENSORS_H

#include "io/stream.h"

enum {
    PARA_SAFETENSORS_PREFIX = 8,            /* bytes of the length */
    PARA_SAFETENSORS_HEADER_MAX = 100000000 /* bytes; the reference implementation's limit */
};

/* Bytes of rank extents of elements of some size: false where a number is negative or the product overflows. */
bool para_safetensors_bytes(const int64_t *shape, int rank, size_t element_bytes, size_t *out);

/* "(768, 2304)"; "()" for a scalar. Returns buffer. */
enum { PARA_SHAPE_LIST = 192 };
char *para_shape_list(const int64_t *shape, int rank, char buffer[PARA_SHAPE_LIST]);

/* The tensors of a file that are no entries, for no para_dtype is their type, which has this name in files; the entry's
 * dtype isn't set. */
struct para_other {
    para_entry entry;
    const char *type;
};
int para_safetensors_other_count(const para_safetensors *f);
const struct para_other *para_safetensors_other(const para_safetensors *f, int i);

/* Take the pages of a tensor out of memory until they are read again. */
void para_safetensors_forget(const para_entry *e);

/* As para_safetensors_write(), one tensor in memory at a time: `fetch` gives the entries' data. */
int para_safetensors_stream(const char *path, const para_entry *entries, int count, para_entry_fetch fetch, void *user,
                            para_error *err);

#endif
