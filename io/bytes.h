/* Bytes that grow. */
#ifndef PARA_IO_BYTES_H
#define PARA_IO_BYTES_H

#include "base/fail.h"
#include "base/grow.h"

struct para_bytes {
    unsigned char *at;
    size_t count;
    int64_t room;
};

/* Append `count` bytes of `from`, which aren't among them. */
static inline int para_bytes_append(struct para_bytes *b, const void *from, size_t count, para_error *err)
{
    if (para_reserve(&b->at, (int64_t)(b->count + count) + 1, &b->room, 1) < 0)
        return para_fail_memory(err, "a text");
    if (count > 0)
        memcpy(b->at + b->count, from, count);
    b->count += count;
    return 0;
}

#endif
