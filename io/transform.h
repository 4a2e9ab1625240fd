/* What happens to a text before it is cut into words: normal forms, and what stands for spaces. */
#ifndef PARA_IO_TRANSFORM_H
#define PARA_IO_TRANSFORM_H

#include "io/bytes.h"

#include <paragraph/types.h>

enum para_transform_kind {
    PARA_NFC,
    PARA_NFD,
    PARA_NFKC,
    PARA_NFKD,
    PARA_PREPEND, /* put `to` before a text that has any bytes */
    PARA_PREFIX,  /* the same, unless it begins with `to` */
    PARA_REPLACE  /* put `to` for each `from` */
};

struct para_transform {
    enum para_transform_kind kind;
    bool first; /* a prefix of a text that nothing stands before, only */
    struct para_bytes from, to;
};

struct para_transforms {
    struct para_transform *of;
    int count, room;
};

/* Add a transform, with copies of `from` and `to`, NULL where it has none. */
int para_transforms_add(struct para_transforms *t, enum para_transform_kind kind, const char *from, const char *to,
                        para_error *err);
void para_transforms_free(struct para_transforms *t);
/* Whether all of a text must be there before its beginning can be transformed. */
bool para_transforms_need_all(const struct para_transforms *t);
/* How many bytes of a text that goes on can be transformed whatever follows. */
size_t para_transforms_settled(const struct para_transforms *t, const unsigned char *text, size_t n);

/* Where in a text the bytes stand that are transformed. */
struct para_whereabouts {
    bool begin; /* they are its first */
    bool first; /* and nothing stands before the text */
};

/* Transform n bytes in order; *out, one of buffer[2] if anything is done, has the result. */
int para_transforms_apply(const struct para_transforms *t, struct para_whereabouts where, const unsigned char *text,
                          size_t n, struct para_bytes buffer[2], const unsigned char **out, size_t *out_bytes,
                          para_error *err);

#endif
