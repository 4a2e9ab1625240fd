/* The kernels of kernels/skinny-rows.c for one instruction set, by kernels/vectors.h: sums of ROWS rows and WIDE times
 * sixteen columns in registers. */
#include "kernels/vectors.h"

#include "kernels/lanes-tile.h"

#if V == 16
#define ROWS 8
#define WIDE 2
#else
#define ROWS 4
#define WIDE 1
#endif

/* sum (rows, wide) += x (rows) by sixteens of a row of w: planes from p on of the run at w, or runs of one plane. All
 * but x and w is constant. */
TARGET static inline ALWAYS_INLINE void NAME(add_row)(para_dtype dtype, int rows, int wide, int p, const float *x,
                                                      const char *w, NAME(vec) sum[ROWS][WIDE][PARTS])
{
    NAME(vec) row[WIDE][PARTS];
    UNROLL
    for (int c = 0; c < wide; c++) {
        if (dtype == PARA_F32)
            NAME(load_plane)(row[c], dtype, 0, w + c * PARA_LINE);
        else
            NAME(load_plane)(row[c], dtype, p + c, w);
    }
    UNROLL
    for (int i = 0; i < rows; i++) {
        UNROLL
        for (int c = 0; c < wide; c++) {
            UNROLL
            for (int part = 0; part < PARTS; part++)
                sum[i][c][part] += x[i] * row[c][part];
        }
    }
}

/* The same of the group's rows, added to y (rows, 16 wide). All but g, w and y is constant. */
TARGET static inline ALWAYS_INLINE void NAME(add_rows)(const struct group *g, para_dtype dtype, int rows, int wide,
                                                       int p, const char *restrict w, float *restrict y)
{
    const float *restrict x = g->x;
    const int64_t ld = g->ld, ldy = g->ldy, depth = g->depth;
    NAME(vec) sum[ROWS][WIDE][PARTS];
    UNROLL
    for (int i = 0; i < rows; i++) {
        UNROLL
        for (int c = 0; c < wide; c++)
            NAME(load_plane)(sum[i][c], PARA_F32, 0, y + i * ldy + c * PARA_LANES);
    }
    int64_t j = 0;
    for (; j + DEPTH <= depth; j += DEPTH) {
        UNROLL
        for (int64_t e = 0; e < DEPTH; e++, w += ld, x += rows)
            NAME(add_row)(dtype, rows, wide, p, x, w, sum);
    }
    for (; j < depth; j++, w += ld, x += rows)
        NAME(add_row)(dtype, rows, wide, p, x, w, sum);
    UNROLL
    for (int i = 0; i < rows; i++) {
        UNROLL
        for (int c = 0; c < wide; c++)
            NAME(store_lanes)(sum[i][c], y + i * ldy + c * PARA_LANES);
    }
}

/* All but g is constant. */
TARGET static inline ALWAYS_INLINE void NAME(add_runs)(struct group *g, para_dtype dtype, int rows)
{
    const char *restrict w = g->w;
    float *restrict y = g->y;
    const int64_t runs = g->columns / (PARA_LANES * para_planes(dtype));
    const int wide = rows > 1 ? WIDE : 1, lines = g->lines;
    struct para_ahead ahead = g->ahead;
    int64_t r = 0;
    for (; dtype == PARA_F32 && wide > 1 && r + wide <= runs;
         r += wide, w += wide * PARA_LINE, y += wide * PARA_LANES) {
        para_ahead_ask(&ahead, wide * lines);
        NAME(add_rows)(g, dtype, rows, wide, 0, w, y);
    }
    for (; r < runs; r++, w += PARA_LINE) {
        const int planes = dtype == PARA_F32 ? 1 : wide;
        para_ahead_ask(&ahead, lines);
        UNROLL
        for (int p = 0; p < para_planes(dtype); p += planes, y += planes * PARA_LANES)
            NAME(add_rows)(g, dtype, rows, planes, p, w, y);
    }
    g->ahead = ahead;
}

TARGET static inline ALWAYS_INLINE void NAME(add_some)(struct group *g, para_dtype dtype, int rows)
{
#if ROWS > 4
    if (rows == 8)
        NAME(add_runs)(g, dtype, 8);
#endif
    if (rows == 4)
        NAME(add_runs)(g, dtype, 4);
    if (rows == 2)
        NAME(add_runs)(g, dtype, 2);
    if (rows == 1)
        NAME(add_runs)(g, dtype, 1);
}

TARGET static void NAME(add_f32)(struct group *g, int rows)
{
    NAME(add_some)(g, PARA_F32, rows);
}

TARGET static void NAME(add_bf16)(struct group *g, int rows)
{
    NAME(add_some)(g, PARA_BF16, rows);
}

TARGET static void NAME(add_i8)(struct group *g, int rows)
{
    NAME(add_some)(g, PARA_I8, rows);
}

static void NAME(add)(struct group *g, para_dtype dtype, int rows)
{
    (dtype == PARA_F32 ? NAME(add_f32) : dtype == PARA_BF16 ? NAME(add_bf16) : NAME(add_i8))(g, rows);
}

static const struct kernels NAME(kernels) = {ROWS, NAME(add)};

#undef ROWS
#undef WIDE
