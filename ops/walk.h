/* Walking two tensors of which one has some or all of the other's axes: broadcasting, reductions, permutes.
 *
 *     struct para_walk w;
 *     para_walk_begin(&w, full, part);
 *     for (int64_t row = 0; row < w.rows; row++, full_data += w.length, para_walk_step(&w))
 *         ... full_data[e] goes with part_data[w.offset + e * w.step], 0 <= e < w.length
 *
 * Neighbouring dimensions that lie alike in both are taken as one, so equal shapes are a single row of step 1,
 * a scalar beside anything a single row of step 0, and a bias rows of step 1. */
#ifndef PARA_OPS_WALK_H
#define PARA_OPS_WALK_H

#include "graph/op.h"

struct para_walk {
    int rank;                      /* after merging, at least 1 */
    int64_t extent[PARA_MAX_RANK]; /* of full */
    int64_t stride[PARA_MAX_RANK]; /* of part, in elements; 0 where part lacks the axis */
    int64_t index[PARA_MAX_RANK];
    int64_t rows, length; /* of full: rows * length elements */
    int64_t step;         /* of part within a row */
    int64_t offset;       /* of part where the row begins */
};

void para_walk_begin(struct para_walk *w, const struct para_shape *full, const struct para_shape *part);

/* Go to the next row; after the last one, back to the first. */
static inline void para_walk_step(struct para_walk *w)
{
    for (int d = w->rank - 2; d >= 0; d--) {
        w->offset += w->stride[d];
        if (++w->index[d] < w->extent[d])
            return;
        w->offset -= w->stride[d] * w->extent[d];
        w->index[d] = 0;
    }
}

/* Element e of full goes with this element of part: the plain way, for references. */
int64_t para_part_offset(const struct para_shape *full, const struct para_shape *part, int64_t e);

#endif
