/* The kernels of kernels/skinny-rows.c for one instruction set, by kernels/vectors.h: sums of ROWS rows and sixteen
 * columns in registers. */
#include "kernels/vectors.h"

#include "kernels/lanes-tile.h"

#if V == 16
#define ROWS 8
#else
#define ROWS 4
#endif

/* All but g is constant. */
TARGET static inline ALWAYS_INLINE void NAME(add_runs)(struct group *g, para_dtype dtype, int rows, int depth)
{
    const float *restrict x = g->x;
    const char *restrict w = g->w;
    float *restrict y = g->y;
    const int64_t ldx = g->ldx, ld = g->ld, ldy = g->ldy, runs = g->columns / (PARA_LANES * para_planes(dtype));
    const int lines = g->lines;
    struct para_ahead ahead = g->ahead;
    for (int64_t r = 0; r < runs; r++, w += PARA_LINE) {
        para_ahead_ask(&ahead, lines, false);
        UNROLL
        for (int p = 0; p < para_planes(dtype); p++, y += PARA_LANES) {
            NAME(vec) sum[ROWS][PARTS], row[PARTS];
            UNROLL
            for (int i = 0; i < rows; i++)
                NAME(load_plane)(sum[i], PARA_F32, 0, y + i * ldy);
            UNROLL
            for (int j = 0; j < depth; j++) {
                NAME(load_plane)(row, dtype, p, w + j * ld);
                UNROLL
                for (int i = 0; i < rows; i++) {
                    UNROLL
                    for (int part = 0; part < PARTS; part++)
                        sum[i][part] += x[i * ldx + j] * row[part];
                }
            }
            UNROLL
            for (int i = 0; i < rows; i++)
                NAME(store_lanes)(sum[i], y + i * ldy);
        }
    }
    g->ahead = ahead;
}

TARGET static inline ALWAYS_INLINE void NAME(add_some)(struct group *g, para_dtype dtype, int rows, int depth)
{
#if ROWS > 4
    if (rows == 8)
        NAME(add_runs)(g, dtype, 8, depth);
#endif
    if (rows == 4)
        NAME(add_runs)(g, dtype, 4, depth);
    if (rows == 2)
        NAME(add_runs)(g, dtype, 2, depth);
    if (rows == 1)
        NAME(add_runs)(g, dtype, 1, depth);
}

TARGET static void NAME(add_f32)(struct group *g, int rows, int depth)
{
    if (depth == DEPTH)
        NAME(add_some)(g, PARA_F32, rows, DEPTH);
    else
        NAME(add_some)(g, PARA_F32, rows, 1);
}

TARGET static void NAME(add_bf16)(struct group *g, int rows, int depth)
{
    if (depth == DEPTH)
        NAME(add_some)(g, PARA_BF16, rows, DEPTH);
    else
        NAME(add_some)(g, PARA_BF16, rows, 1);
}

TARGET static void NAME(add_i8)(struct group *g, int rows, int depth)
{
    if (depth == DEPTH)
        NAME(add_some)(g, PARA_I8, rows, DEPTH);
    else
        NAME(add_some)(g, PARA_I8, rows, 1);
}

static void NAME(add)(struct group *g, para_dtype dtype, int rows, int depth)
{
    (dtype == PARA_F32 ? NAME(add_f32) : dtype == PARA_BF16 ? NAME(add_bf16) : NAME(add_i8))(g, rows, depth);
}

static const struct kernels NAME(kernels) = {ROWS, NAME(add)};

#undef ROWS
