/* Texts with ids. */
#include "io/texts.h"

#include <stdlib.h>
#include <string.h>

int para_texts_init(struct para_texts *t, int64_t count, para_error *err)
{
    size_t capacity = 16;
    while (capacity < 2 * (size_t)count)
        capacity *= 2;
    *t = (struct para_texts){.count = count,
                             .of = calloc((size_t)count + 1, sizeof *t->of),
                             .slots = calloc(capacity, sizeof *t->slots),
                             .capacity = capacity};
    return t->of && t->slots ? 0 : para_fail_memory(err, "the tokens of a tokenizer");
}

void para_texts_free(struct para_texts *t)
{
    free(t->of);
    free(t->all.at);
    free(t->slots);
    *t = (struct para_texts){0};
}

/* The slot of a text, or the free one where it belongs. FNV-1a. */
static int32_t *find(const struct para_texts *t, const void *text, size_t bytes)
{
    const unsigned char *at = text;
    uint64_t h = 14695981039346656037u;
    for (size_t i = 0; i < bytes; i++)
        h = (h ^ at[i]) * 1099511628211u;
    for (size_t i = (size_t)(h ^ h >> 32) & (t->capacity - 1);; i = (i + 1) & (t->capacity - 1)) {
        int32_t *slot = &t->slots[i];
        if (*slot == 0)
            return slot;
        const struct para_text *has = &t->of[*slot - 1];
        if (has->count == bytes && memcmp(t->all.at + has->begin, text, bytes) == 0)
            return slot;
    }
}

int para_texts_put(struct para_texts *t, int64_t id, const void *text, size_t bytes, para_error *err)
{
    struct para_text new = {t->all.count, bytes};
    PARA_TRY(para_bytes_append(&t->all, text, bytes, err));
    PARA_TRY(para_bytes_append(&t->all, "", 1, err));
    *find(t, text, bytes) = (int32_t)id + 1;
    t->of[id] = new;
    return 0;
}

int32_t para_texts_find(const struct para_texts *t, const void *text, size_t bytes)
{
    return *find(t, text, bytes) - 1;
}
