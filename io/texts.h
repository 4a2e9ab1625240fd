/* Texts with ids: how a tokenizer's files spell its tokens, found by id and by text. */
#ifndef PARA_IO_TEXTS_H
#define PARA_IO_TEXTS_H

#include "io/bytes.h"

#include <paragraph/types.h>

/* A text, none if it has no bytes: bytes `begin` to `begin` + `count` - 1 of all. */
struct para_text {
    size_t begin, count;
};

struct para_texts {
    int64_t count; /* ids are 0 to that less one */
    struct para_text *of;
    struct para_bytes all; /* a zero byte after each */
    int32_t *slots;        /* 1 + an id, by open addressing; 0: free */
    size_t capacity;       /* a power of 2, at least twice the texts */
};

/* Make room for `count` texts, all of them none. */
int para_texts_init(struct para_texts *t, int64_t count, para_error *err);
void para_texts_free(struct para_texts *t);
/* Give an id that has none its text, of at least one byte, which no other has. */
int para_texts_put(struct para_texts *t, int64_t id, const void *text, size_t bytes, para_error *err);
/* The id of a text, or -1. */
int32_t para_texts_find(const struct para_texts *t, const void *text, size_t bytes);

static inline const char *para_texts_get(const struct para_texts *t, int64_t id)
{
    return (const char *)t->all.at + t->of[id].begin;
}

#endif
