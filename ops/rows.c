/* Rows of a batch that stand at positions of their own in caches. */
#include "ops/rows.h"

#include <string.h>

int para_need_rows(const para_node *n, int i, int like, para_error *err)
{
    const struct para_shape *s = &n->in[i]->shape, *of = &n->in[like]->shape;
    char text[PARA_SHAPE_TEXT], of_text[PARA_SHAPE_TEXT];
    if (s->rank != 1 || of->rank == 0 || strcmp(s->dim[0].axis, of->dim[0].axis) != 0)
        return para_fail(err, PARA_ESHAPE, "\"%s\" is %s, expected one number for each row of \"%s\", %s",
                         n->in[i]->name, para_shape_text(s, text), n->in[like]->name, para_shape_text(of, of_text));
    return 0;
}

static int bad_prefix(const struct para_rows_bounds *bounds, long long b, int32_t prefix, para_error *err)
{
    return para_fail(err, PARA_ERANGE, "the prefix of row %lld has %d tokens, expected 0 to %lld", b, prefix,
                     (long long)bounds->longest);
}

static int bad_position(const struct para_rows_bounds *bounds, long long b, int32_t position, int32_t prefix,
                        para_error *err)
{
    return para_fail(err, PARA_ERANGE, "the position of row %lld is %d, expected %d to %lld, or -1 for none", b,
                     position, prefix, (long long)(prefix + bounds->kept - 1));
}

static int bad_row(const struct para_rows_bounds *bounds, long long b, int32_t row, para_error *err)
{
    return para_fail(err, PARA_ERANGE, "row %lld has row %d of the caches, expected 0 to %lld", b, row,
                     (long long)bounds->caches.whole - 1);
}

static int row_twice(long long b, int32_t row, para_error *err)
{
    return para_fail(err, PARA_ERANGE, "row %lld has row %d of the caches, as one before it", b, row);
}

int para_rows_complain(const struct para_rows_bounds *bounds, bool prefixed, const para_tensor *position, int64_t at,
                       int32_t value, para_error *err)
{
    long long b = (long long)(position->shape.dim[0].begin + at / PARA_ROWS_FAULTS);
    switch (at % PARA_ROWS_FAULTS) {
    case PARA_BAD_PREFIX:
        return bad_prefix(bounds, b, value, err);
    case PARA_BAD_ROW:
        return bad_row(bounds, b, value, err);
    case PARA_ROW_TWICE:
        return row_twice(b, value, err);
    default:
        break;
    }
    if (!prefixed)
        return bad_position(bounds, b, value, 0, err);
    return para_fail(err, PARA_ERANGE,
                     "the position of row %lld is %d, expected its prefix's length and up to %lld more, or -1 for none",
                     b, value, (long long)bounds->kept - 1);
}

/* Whether a row before b, of those that aren't empty, has b's row of the caches. */
static bool is_taken(const struct para_rows *rows, int64_t b)
{
    for (int64_t other = 0; other < b; other++)
        if (rows->position[other] != -1 && rows->row[other] == rows->row[b])
            return true;
    return false;
}

int para_rows_check(const struct para_rows *rows, const struct para_rows_bounds *bounds, const para_tensor *position,
                    para_error *err)
{
    const struct para_extent *dim = &position->shape.dim[0];
    for (int64_t b = 0; b < dim->extent; b++) {
        long long number = (long long)(dim->begin + b);
        int32_t at = rows->position[b], prefix = rows->prefix ? rows->prefix[b] : 0;
        if (at == -1)
            continue;
        if (prefix < 0 || prefix > bounds->longest)
            return bad_prefix(bounds, number, prefix, err);
        if (at < prefix || at >= prefix + bounds->kept)
            return bad_position(bounds, number, at, prefix, err);
        if (rows->row && (rows->row[b] < 0 || rows->row[b] >= bounds->caches.whole))
            return bad_row(bounds, number, rows->row[b], err);
        if (rows->row && is_taken(rows, b))
            return row_twice(number, rows->row[b], err);
    }
    return 0;
}
