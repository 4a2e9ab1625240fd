/* The tokens of a tokenizer: their bytes, and the merges that make them. */
#ifndef PARA_IO_VOCABULARY_H
#define PARA_IO_VOCABULARY_H

#include "io/bpe.h"

#define PARA_ADDED_TOKENS "added_tokens.json"

struct para_vocabulary {
    int64_t count;
    size_t *start; /* token i has the bytes start[i] to start[i + 1] - 1 of `bytes` */
    unsigned char *bytes;
    int32_t *specials; /* ids, in order */
    int64_t special_count;
    size_t special_bytes;   /* those of the longest special token; 0 without any */
    bool special_lead[256]; /* bytes that a special token begins with */
    struct para_bpe bpe;
};

/* Read vocab.json and merges.txt of a folder, and added_tokens.json if it is there. */
int para_vocabulary_load(struct para_vocabulary *out, const char *dir, para_error *err);
/* The 256 bytes, each its own id. */
int para_vocabulary_of_bytes(struct para_vocabulary *out, para_error *err);
void para_vocabulary_free(struct para_vocabulary *v);

#endif
