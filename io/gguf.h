/* GGUF files as they are: metadata by key and tensors by name, mapped; what a key means is its reader's business.
 * Versions 2 and 3. https://github.com/ggml-org/ggml/blob/master/docs/gguf.md */
#ifndef PARA_IO_GGUF_H
#define PARA_IO_GGUF_H

#include "io/blocks.h"

/* An open file. All that it gives lives as long as it is open; it may be read by several threads. */
struct para_gguf;

/* --- metadata --- */

/* Types of values, by their numbers in files. */
enum para_gguf_type {
    PARA_GGUF_U8,
    PARA_GGUF_I8,
    PARA_GGUF_U16,
    PARA_GGUF_I16,
    PARA_GGUF_U32,
    PARA_GGUF_I32,
    PARA_GGUF_F32,
    PARA_GGUF_BOOL,
    PARA_GGUF_TEXT,
    PARA_GGUF_LIST,
    PARA_GGUF_U64,
    PARA_GGUF_I64,
    PARA_GGUF_F64,
    PARA_GGUF_TYPES
};

/* What a reader wants: of whole numbers any type of 8 to 64 bits, of reals either, or a whole number. */
enum para_gguf_want { PARA_GGUF_WHOLE, PARA_GGUF_REAL, PARA_GGUF_FLAG, PARA_GGUF_STRING };

/* A value, or the elements of a list. Lists of lists are refused. */
struct para_gguf_value {
    const char *key;
    enum para_gguf_type type; /* of the value, or of each element */
    bool list;
    int64_t count;             /* of elements; 1 of a value */
    const unsigned char *data; /* in the file; not aligned */
    const uint64_t *starts;    /* of texts: where each one's length stands behind `data` */
};

/* Bytes that no zero ends, any bytes at all. */
struct para_gguf_text {
    const char *data;
    size_t bytes;
};

/* --- tensors --- */

struct para_gguf_tensor {
    const char *name;
    const struct para_block_type *type;
    int rank;         /* at most 4 */
    int64_t shape[4]; /* outermost first: the reverse of the file's order */
    int64_t elements;
    const void *data; /* dense, of blocks along the last dimension; aligned as the file says, usually to 32 bytes */
    size_t bytes;
};

/* Open and check a file: every count, length, offset and type against each other and the file's size. Returns 0,
 * PARA_EIO, PARA_EFORMAT or PARA_ENOMEM; errors name the file, the key or the tensor, and what was expected. */
int para_gguf_open(struct para_gguf **out, const char *path, para_error *err);
void para_gguf_close(struct para_gguf *f); /* NULL is welcome */
const char *para_gguf_path(const struct para_gguf *f);

/* Values and tensors by number, in the file's order, and by key or name; NULL if there is none. */
int64_t para_gguf_value_count(const struct para_gguf *f);
const struct para_gguf_value *para_gguf_value(const struct para_gguf *f, int64_t i);
const struct para_gguf_value *para_gguf_find(const struct para_gguf *f, const char *key);
int64_t para_gguf_tensor_count(const struct para_gguf *f);
const struct para_gguf_tensor *para_gguf_tensor(const struct para_gguf *f, int64_t i);
const struct para_gguf_tensor *para_gguf_find_tensor(const struct para_gguf *f, const char *name);

/* Get a value, or a list, that must be there, of the type wanted: PARA_EFORMAT if not. */
int para_gguf_need(const struct para_gguf_value **out, const struct para_gguf *f, const char *key,
                   enum para_gguf_want want, para_error *err);
int para_gguf_need_list(const struct para_gguf_value **out, const struct para_gguf *f, const char *key,
                        enum para_gguf_want want, para_error *err);

/* Element i of a value or list that is of the type wanted. A whole number of more than 2^63 - 1 is that. */
int64_t para_gguf_whole(const struct para_gguf_value *v, int64_t i);
double para_gguf_real(const struct para_gguf_value *v, int64_t i);
bool para_gguf_flag(const struct para_gguf_value *v, int64_t i);
struct para_gguf_text para_gguf_text(const struct para_gguf_value *v, int64_t i);
/* Bytes of a value, or of all elements of a list, from its data on. */
size_t para_gguf_value_bytes(const struct para_gguf_value *v);
/* Whether a text is this. */
bool para_gguf_text_is(struct para_gguf_text text, const char *string);

#endif
