/* The inner loops of attention: a block of queries with a block of keys, one version per instruction set. */
#ifndef PARA_KERNELS_ATTEND_KERNELS_H
#define PARA_KERNELS_ATTEND_KERNELS_H

#include <stdbool.h>
#include <stdint.h>

/* The most queries and keys of a block; rows of scores lie PARA_ATTEND_KEYS elements apart. Numbers of keys are
 * rounded up to PARA_ATTEND_PANEL in memory, widths and numbers of queries to PARA_ATTEND_MULTIPLE. */
enum { PARA_ATTEND_QUERIES = 64, PARA_ATTEND_KEYS = 128, PARA_ATTEND_PANEL = 32, PARA_ATTEND_MULTIPLE = 16 };
enum { PARA_ATTEND_SCORES = PARA_ATTEND_QUERIES * PARA_ATTEND_KEYS };

/* Row r sees the first see + r of the columns, at most all, and of the keys up to there, at most `keys`, the last
 * `window`. What a tile of rows computes reaches to the end of what its last row sees, rounded up to vectors; scores
 * behind that are not touched. */
struct para_attend_block {
    int64_t rows; /* a multiple of PARA_ATTEND_MULTIPLE */
    int64_t cols, see;
    int64_t keys, window;  /* from the first column on, however many are columns */
    int64_t width, padded; /* a head's, and rounded up to PARA_ATTEND_MULTIPLE: how far apart rows of copies lie */
    float scale;
};

/* One position: q and o (heads, readers, width), and keys or values (heads, width) of each other position. Rows of
 * scores, one per head and reader, lie PARA_ATTEND_KEYS elements apart. */
struct para_attend_heads {
    int64_t heads, readers, width;
};

/* Positions whose keys, or values, are taken together. */
enum { PARA_ATTEND_TOGETHER = 16 };

/* Buffers are aligned to 64 bytes. */
struct para_attend_kernels {
    /* to (rows, padded) = from (rows, width), rows from_ld apart; 0 behind the width */
    void (*copy)(int64_t rows, int64_t width, const float *from, int64_t from_ld, float *to);
    /* to (panels, width, columns of a panel) = from (rows, width); the last panel repeats the last row */
    void (*flip)(int64_t rows, int64_t width, const float *from, int64_t from_ld, float *to);
    /* scores (rows, cols) = a (rows, padded) b^T, b flipped */
    void (*scores)(const struct para_attend_block *s, const float *a, const float *b, float *scores);
    /* c (rows, padded) = or += p (rows, cols) b (cols, padded) */
    void (*product)(const struct para_attend_block *s, const float *p, const float *b, float *c, bool add);
    /* c (cols, padded) += p^T b, b (rows, padded) */
    void (*product_flipped)(const struct para_attend_block *s, const float *p, const float *b, float *c);
    /* scores to exp2(scale log2(e) score - top) in place, 0 where not seen; top (rows), the largest exponent, total
     * (rows), the sum, and o (rows, padded), which hold what earlier blocks gave, are brought to the new top. */
    void (*softmax)(const struct para_attend_block *s, float *scores, float *top, float *total, float *o);
    /* scores to p = exp(scale score - lse) in place, ds, which is do v^T, to scale p (ds - delta); both 0 where not
     * seen. */
    void (*slopes)(const struct para_attend_block *s, float *scores, float *ds, const float *lse, const float *delta);
    /* scores (heads, readers, PARA_ATTEND_TOGETHER) = q times the keys; q and keys at any address */
    void (*step_scores)(const struct para_attend_heads *s, const float *const keys[], const float *q, float *scores);
    /* o += p (heads, readers, PARA_ATTEND_TOGETHER) times the values */
    void (*step_product)(const struct para_attend_heads *s, const float *const values[], const float *p, float *o);
};

/* How many versions this machine can run, and version 0 to that - 1; the last is the fastest. */
int para_attend_versions(void);
const struct para_attend_kernels *para_attend_version(int version);

#endif
