/* Writing GGUF files, of version 3. */
#ifndef PARA_IO_GGUF_WRITE_H
#define PARA_IO_GGUF_WRITE_H

#include "io/gguf.h"
#include "io/safetensors.h"

/* Metadata being put together; zeros are none. Without memory nothing more is added, and writing fails. */
struct para_gguf_head {
    unsigned char *data;
    size_t bytes, room;
    int64_t count; /* of keys */
    bool failed;
};

void para_gguf_head_free(struct para_gguf_head *h);

void para_gguf_put_u32(struct para_gguf_head *h, const char *key, uint32_t value);
void para_gguf_put_f32(struct para_gguf_head *h, const char *key, double value);
void para_gguf_put_flag(struct para_gguf_head *h, const char *key, bool value);
void para_gguf_put_text(struct para_gguf_head *h, const char *key, const char *value);
void para_gguf_put_texts(struct para_gguf_head *h, const char *key, const char *const *values, int64_t count);
void para_gguf_put_i32s(struct para_gguf_head *h, const char *key, const int32_t *values, int64_t count);
void para_gguf_put_f32s(struct para_gguf_head *h, const char *key, const float *values, int64_t count);
/* A value as another file has it. */
void para_gguf_put_value(struct para_gguf_head *h, const struct para_gguf_value *value);

/* Write a file whole, as para_safetensors_stream() does; of the entries' types those are written that GGUF has. */
int para_gguf_stream(const char *path, const struct para_gguf_head *head, const para_entry *entries, int count,
                     para_entry_fetch fetch, void *user, para_error *err);

#endif
