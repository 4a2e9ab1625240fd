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

/* sum[i] = the lanes of v[i] added up, neighbours at a distance of 8, 4, 2, 1: each step adds the halves of two vectors
 * and leaves both sums side by side. At most V of them. */
TARGET static inline ALWAYS_INLINE void NAME(add_lanes)(int count, NAME(vec) v[][PARTS], float *sum)
{
    NAME(vec) w[V];
    UNROLL
    for (int i = 0; i < V; i++) {
        w[i] = (NAME(vec)){0};
        if (i >= count)
            continue;
        UNROLL
        for (int half = PARTS / 2; half > 0; half /= 2) {
            UNROLL
            for (int part = 0; part < half; part++)
                v[i][part] += v[i][part + half];
        }
        w[i] = v[i][0];
    }
    UNROLL
    for (int half = V / 2; half > 0; half /= 2) {
        UNROLL
        for (int i = 0; i < half; i++)
            w[i] = SHUFFLE(NAME(index), w[i], w[i + half], LOW) + SHUFFLE(NAME(index), w[i], w[i + half], HIGH);
    }
    memcpy(sum, w, (size_t)count * sizeof *sum);
}

/* dot (rows, columns) = x (rows, elements) w (columns, elements)^T, the group's columns from `first` on. All but g is
 * constant. */
TARGET static inline ALWAYS_INLINE void NAME(dot_runs)(struct group *g, para_dtype dtype, int rows, int first,
                                                       int columns)
{
    const float *restrict x = g->x;
    const char *restrict w[GROUP];
    const int64_t ldx = g->ldx, runs = g->elements / (PARA_LANES * para_planes(dtype));
    const int every = g->every;
    int until = g->until;
    struct para_ahead ahead = g->ahead;
    NAME(vec) sum[TOGETHER * GROUP][PARTS];
    float dot[TOGETHER * GROUP];
    UNROLL
    for (int c = 0; c < columns; c++) {
        w[c] = g->w[first + c];
        UNROLL
        for (int i = 0; i < rows; i++) {
            UNROLL
            for (int part = 0; part < PARTS; part++)
                sum[i * columns + c][part] = (NAME(vec)){0};
        }
    }
    for (int64_t r = 0; r < runs; r++) {
        if (--until == 0) {
            para_ahead_ask(&ahead, GROUP / PARA_STREAMS);
            until = every;
        }
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
                        sum[i * columns + c][part] += of_x[part] * of_w[c][part];
                }
            }
        }
    }
    g->ahead = ahead;
    g->until = until;
    NAME(add_lanes)(rows * columns, sum, dot);
    for (int i = 0; i < rows; i++)
        for (int c = 0; c < columns; c++)
            g->dot[i][first + c] = dot[i * columns + c];
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
