/* Rows of a batch that stand at positions of their own in caches, known at the run alone.
 *   position (B)   where row b's first token stands in its text; -1: the row is empty
 *   prefix (B)     or not: how many tokens before it has in a prefix, which rows share
 *   row (B)        or not: which row of the caches it reads and writes, another for each; without, row b has row b
 * Caches that `row` tells rows of have an axis of their own for them: a tile of it does what concerns its rows alone.
 */
#ifndef PARA_OPS_ROWS_H
#define PARA_OPS_ROWS_H

#include "graph/op.h"

struct para_rows {
    const int32_t *position, *prefix, *row; /* prefix, row: NULL: none */
};

/* What they are held to: a prefix's tokens, those kept after it, and which of the caches' rows are there; all of the
 * batch without `row`. */
struct para_rows_bounds {
    int64_t longest, kept;
    struct para_extent caches;
};

/* Which row of the caches' tile row b has; -1 if it is empty or another tile's. */
static inline int64_t para_rows_at(const struct para_rows *rows, const struct para_rows_bounds *bounds, int64_t b)
{
    int64_t at = rows->row ? rows->row[b] - bounds->caches.begin : b;
    return rows->position[b] < 0 || at < 0 || at >= bounds->caches.extent ? -1 : at;
}

/* Fail unless input i has one axis, the first of input `like`. */
int para_need_rows(const para_node *n, int i, int like, para_error *err);

/* Fail unless each row that isn't empty is within bounds; `position` is the tile that rows->position is of. */
int para_rows_check(const struct para_rows *rows, const struct para_rows_bounds *bounds, const para_tensor *position,
                    para_error *err);

/* What a GPU's kernel may find wrong. It notes the row's number times as many, and which. */
enum para_rows_fault { PARA_BAD_POSITION, PARA_BAD_PREFIX, PARA_BAD_ROW, PARA_ROW_TWICE, PARA_ROWS_FAULTS };

/* The same as para_rows_check() says, but for what the row's own prefix is. */
int para_rows_complain(const struct para_rows_bounds *bounds, bool prefixed, const para_tensor *position, int64_t at,
                       int32_t value, para_error *err);

#endif
