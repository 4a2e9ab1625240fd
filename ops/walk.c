/* Walking two tensors of which one has some or all of the other's axes. */
#include "ops/walk.h"

void para_walk_begin(struct para_walk *w, const struct para_shape *full, const struct para_shape *part)
{
    *w = (struct para_walk){.rank = 0, .rows = 1};
    for (int d = 0; d < full->rank; d++) {
        int64_t extent = full->dim[d].extent, stride = para_shape_stride(part, full->dim[d].axis);
        if (extent == 1)
            continue;
        int last = w->rank - 1;
        if (last >= 0 && w->stride[last] == stride * extent) {
            w->extent[last] *= extent;
            w->stride[last] = stride;
            continue;
        }
        w->extent[w->rank] = extent;
        w->stride[w->rank++] = stride;
    }
    if (w->rank == 0) {
        w->extent[0] = w->stride[0] = 1;
        w->rank = 1;
    }
    for (int d = 0; d < w->rank - 1; d++)
        w->rows *= w->extent[d];
    w->length = w->extent[w->rank - 1];
    w->step = w->stride[w->rank - 1];
}

int64_t para_part_offset(const struct para_shape *full, const struct para_shape *part, int64_t e)
{
    int64_t offset = 0;
    for (int d = full->rank - 1; d >= 0; d--) {
        offset += e % full->dim[d].extent * para_shape_stride(part, full->dim[d].axis);
        e /= full->dim[d].extent;
    }
    return offset;
}
