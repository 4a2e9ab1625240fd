/* The element types of GGUF files, most of them blocks of numbers of few bits with scales of their own.
 * Layouts: https://github.com/ggml-org/ggml, ggml-common.h. */
#ifndef PARA_IO_BLOCKS_H
#define PARA_IO_BLOCKS_H

#include <paragraph/types.h>

struct para_block_type {
    uint32_t number; /* in files */
    const char *name;
    int elements, bytes;                                   /* of a block */
    int dtype;                                             /* the para_dtype of these bytes, or -1 */
    void (*widen)(float *out, const unsigned char *block); /* a block as float32; NULL: not known here */
};

/* Find a type by its number in files, or the one that is a para_dtype; NULL if there is none. */
const struct para_block_type *para_block_type(uint32_t number);
const struct para_block_type *para_block_type_of(para_dtype dtype);

/* Write n elements, whole blocks of a type that has `widen`, as float32, bit for bit as PyPI's gguf does. */
void para_blocks_widen(float *out, const struct para_block_type *type, const void *blocks, int64_t n);

/* The names of the types that have `widen`, for messages. */
#define PARA_BLOCKS_KNOWN "F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K or Q6_K"

#endif
