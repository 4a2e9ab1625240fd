/* The kernels of kernels/skinny-transposed.c for one instruction set, by kernels/vectors.h: dot products in sixteen
 * lanes each, of as many rows by columns as there are registers for. */
#include "kernels/vectors.h"

#include "kernels/lanes-tile.h"

#if V == 16
#define ROWS 4
#define COLS 4
#else
#define ROWS 2
#define COLS 2
#endif

/* *sum = the lanes of v added up, neighbours at a distance of 8, 4, 2, 1. */
TARGET static inline ALWAYS_INLINE void NAME(add_lanes)(const NAME(vec) v[PARTS], float *sum)
{
    float lane[PARA_LANES];
    memcpy(lane, v, sizeof lane);
    for (int half = PARA_LANES / 2; half > 2; half /= 2)
        for (int l = 0; l < half; l++)
            lane[l] += lane[l + half];
    *sum = lane[0] + lane[2] + (lane[1] + lane[3]);
}

/* dot (rows, columns) = x (rows, elements) w (columns, elements)^T, the group's columns from `first` on. All but g is
 * constant. */
TARGET static inline ALWAYS_INLINE void NAME(dot_runs)(struct group *g, para_dtype dtype, int rows, int first,
                                                       int columns)
{
    const float *restrict x = g->x;
    const char *restrict w[GROUP];
    const int64_t ldx = g->ldx, runs = g->elements / (PARA_LANES * para_planes(dtype));
    const int lines = g->lines;
    struct para_ahead ahead = g->ahead;
    NAME(vec) sum[TOGETHER][GROUP][PARTS];
    UNROLL
    for (int c = 0; c < columns; c++) {
        w[c] = g->w[first + c];
        UNROLL
        for (int i = 0; i < rows; i++) {
            UNROLL
            for (int part = 0; part < PARTS; part++)
                sum[i][c][part] = (NAME(vec)){0};
        }
    }
    for (int64_t r = 0; r < runs; r++) {
        para_ahead_ask(&ahead, lines, true);
        UNROLL
        for (int p = 0; p < para_planes(dtype); p++, x += PARA_LANES) {
            NAME(vec) of_w[GROUP][PARTS];
            UNROLL
            for (int c = 0; c < columns; c++)
                NAME(load_plane)(of_w[c], dtype, p, w[c] + r * PARA_LINE);
            UNROLL
            for (int i = 0; i < rows; i++) {
                NAME(vec) of_x[PARTS];
                NAME(load_plane)(of_x, PARA_F32, 0, x + i * ldx);
                UNROLL
                for (int c = 0; c < columns; c++) {
                    UNROLL
                    for (int part = 0; part < PARTS; part++)
                        sum[i][c][part] += of_x[part] * of_w[c][part];
                }
            }
        }
    }
    g->ahead = ahead;
    UNROLL
    for (int i = 0; i < rows; i++) {
        UNROLL
        for (int c = 0; c < columns; c++)
            NAME(add_lanes)(sum[i][c], &g->dot[i][first + c]);
    }
}

/* One row has all columns at once. */
TARGET static inline ALWAYS_INLINE void NAME(dot_some)(struct group *g, para_dtype dtype, int rows)
{
    if (rows == 1)
        NAME(dot_runs)(g, dtype, 1, 0, GROUP);
    for (int first = 0; rows == 2 && first < GROUP; first += COLS)
        NAME(dot_runs)(g, dtype, 2, first, COLS);
#if ROWS > 2
    if (rows == 4)
        NAME(dot_runs)(g, dtype, 4, 0, COLS);
#endif
}

TARGET static void NAME(dot_f32)(struct group *g, int rows)
{
    NAME(dot_some)(g, PARA_F32, rows);
}

TARGET static void NAME(dot_bf16)(struct group *g, int rows)
{
    NAME(dot_some)(g, PARA_BF16, rows);
}

TARGET static void NAME(dot_i8)(struct group *g, int rows)
{
    NAME(dot_some)(g, PARA_I8, rows);
}

static void NAME(dot)(struct group *g, para_dtype dtype, int rows)
{
    (dtype == PARA_F32 ? NAME(dot_f32) : dtype == PARA_BF16 ? NAME(dot_bf16) : NAME(dot_i8))(g, rows);
}

static const struct kernels NAME(kernels) = {ROWS, GROUP / COLS, NAME(dot)};

#undef ROWS
#undef COLS
