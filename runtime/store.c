#include "runtime/store.h"

#include "base/fail.h"
#include "base/philox.h"
#include "base/quantize.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { ALIGNMENT = 64, HUGE_PAGE = 2 << 20 };

void *para_store_allocate(size_t bytes)
{
    size_t alignment = bytes >= HUGE_PAGE ? HUGE_PAGE : ALIGNMENT;
    void *data = aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
#ifdef MADV_HUGEPAGE
    if (data && bytes >= HUGE_PAGE)
        madvise(data, bytes / HUGE_PAGE * HUGE_PAGE,
                MADV_HUGEPAGE); /* advice alone: where it isn't taken, pages are small */
#endif
    return data;
}

int para_store_new(struct para_store *out, const struct para_buffers *b, const struct para_store *lender,
                   const int *shared, const void *const *lent, para_error *err)
{
    struct para_store s = {.count = b->count};
    s.data = calloc((size_t)b->count + 1, sizeof *s.data);
    s.borrowed = calloc((size_t)b->count + 1, sizeof *s.borrowed);
    s.lent = calloc((size_t)b->count + 1, sizeof *s.lent);
    if (!s.data || !s.borrowed || !s.lent) {
        para_store_free(&s);
        return para_fail_memory(err, "buffers");
    }
    for (int i = 0; i < b->count; i++) {
        s.borrowed[i] = shared && shared[i] >= 0;
        s.lent[i] = s.borrowed[i] ? lender->lent[shared[i]] : lent[i] != NULL;
        if (s.borrowed[i] || s.lent[i]) {
            s.data[i] = s.borrowed[i] ? lender->data[shared[i]] : (void *)(uintptr_t)lent[i];
            continue;
        }
        if (b->gpu[i] >= 0)
            continue;
        s.data[i] = para_store_allocate(b->bytes[i]);
        if (!s.data[i]) {
            para_store_free(&s);
            return para_fail(err, PARA_ENOMEM, "out of memory: a buffer of %.3f GiB", (double)b->bytes[i] / (1 << 30));
        }
        if (b->keep[i])
            memset(s.data[i], 0, b->bytes[i]);
    }
    *out = s;
    return 0;
}

void para_store_free(struct para_store *s)
{
    for (int i = 0; i < s->count && s->data; i++)
        if (s->borrowed && s->lent && !s->borrowed[i] && !s->lent[i])
            free(s->data[i]);
    free(s->data);
    free(s->borrowed);
    free(s->lent);
    *s = (struct para_store){0};
}

size_t para_shape_whole_bytes(const struct para_shape *s)
{
    int64_t elements = 1;
    for (int d = 0; d < s->rank; d++)
        elements *= s->dim[d].whole;
    return para_dtype_span(s->dtype, elements);
}

/* A walk over a part of a tile, by stretches that lie together in the whole: along the last dimension. */
struct walk {
    const struct para_shape *s;
    int64_t at[PARA_MAX_RANK]; /* of the stretch's begin, within the tile */
    int64_t done, left;        /* elements of the part before the stretch, and from it on */
};

static struct walk walk_begin(const struct para_shape *s, int64_t first, int64_t count)
{
    struct walk w = {.s = s, .left = count};
    for (int d = s->rank - 1; d >= 0; d--) {
        w.at[d] = first % s->dim[d].extent;
        first /= s->dim[d].extent;
    }
    return w;
}

static int64_t stretch(const struct walk *w)
{
    int last = w->s->rank - 1;
    int64_t length = last < 0 ? 1 : w->s->dim[last].extent - w->at[last];
    return length < w->left ? length : w->left;
}

/* Where the stretch begins in the whole, in elements. */
static int64_t place_of(const struct walk *w)
{
    int64_t index = 0;
    for (int d = 0; d < w->s->rank; d++)
        index = index * w->s->dim[d].whole + w->s->dim[d].begin + w->at[d];
    return index;
}

static bool next_stretch(struct walk *w)
{
    int64_t length = stretch(w);
    if (w->s->rank > 0)
        w->at[w->s->rank - 1] = 0;
    for (int d = w->s->rank - 2; d >= 0; d--) {
        if (++w->at[d] < w->s->dim[d].extent)
            break;
        w->at[d] = 0;
    }
    w->done += length;
    w->left -= length;
    return w->left > 0;
}

/* The same walk by blocks of the shape's type. */
static struct walk walk_blocks(const struct para_shape *s, struct para_shape *blocks, int64_t first, int64_t count)
{
    int64_t block = para_dtype_block(s->dtype);
    para_shape_in_blocks(s, blocks);
    return walk_begin(blocks, first / block, count / block);
}

void para_tile_put(const struct para_shape *s, int64_t first, int64_t count, const void *part, void *whole)
{
    size_t bytes = para_dtype_bytes(s->dtype);
    struct para_shape blocks;
    struct walk w = walk_blocks(s, &blocks, first, count);
    do
        memcpy((char *)whole + (size_t)place_of(&w) * bytes, (const char *)part + (size_t)w.done * bytes,
               (size_t)stretch(&w) * bytes);
    while (next_stretch(&w));
}

void para_tile_take(const struct para_shape *s, int64_t first, int64_t count, void *part, const void *whole)
{
    size_t bytes = para_dtype_bytes(s->dtype);
    struct para_shape blocks;
    struct walk w = walk_blocks(s, &blocks, first, count);
    do
        memcpy((char *)part + (size_t)w.done * bytes, (const char *)whole + (size_t)place_of(&w) * bytes,
               (size_t)stretch(&w) * bytes);
    while (next_stretch(&w));
}

/* All dimensions behind the first of more than one are whole. */
bool para_tile_together(const struct para_shape *s, size_t *offset)
{
    struct para_shape blocks;
    struct walk w = walk_blocks(s, &blocks, 0, 0);
    bool before = true, together = true;
    for (int d = 0; d < blocks.rank; d++) {
        together = together && (before || blocks.dim[d].extent == blocks.dim[d].whole);
        before = before && blocks.dim[d].extent == 1;
    }
    *offset = (size_t)place_of(&w) * para_dtype_bytes(s->dtype);
    return together;
}

/* Draws begin to begin + length - 1 of a stream; neighbours in pairs share one logarithm. */
static void fill_normal(float *x, int64_t length, uint64_t seed, uint64_t stream, int64_t begin, para_init init)
{
    for (int64_t e = 0; e < length;) {
        uint64_t index = (uint64_t)(begin + e);
        if (index % 4 == 0 && length - e >= 4) {
            struct para_philox p = para_philox(seed, stream, index / 4);
            for (int pair = 0; pair < 2; pair++) {
                struct para_normals z = para_box_muller(&p.word[2 * pair]);
                *x++ = (float)(init.mean + init.spread * z.first);
                *x++ = (float)(init.mean + init.spread * z.second);
            }
            e += 4;
        } else {
            *x++ = (float)(init.mean + init.spread * para_normal(seed, stream, index));
            e++;
        }
    }
}

static void fill_uniform(float *x, int64_t length, uint64_t seed, uint64_t stream, int64_t begin, para_init init)
{
    for (int64_t e = 0; e < length; e++) {
        double u = (para_draw(seed, stream, (uint64_t)(begin + e)) + 0.5) * 0x1p-32;
        x[e] = (float)(init.mean + init.spread * (2.0 * u - 1.0));
    }
}

static void fill_floats(float *x, int64_t length, uint64_t seed, uint64_t stream, int64_t begin, para_init init)
{
    if (init.kind == PARA_INIT_NORMAL)
        fill_normal(x, length, seed, stream, begin, init);
    else if (init.kind == PARA_INIT_UNIFORM)
        fill_uniform(x, length, seed, stream, begin, init);
    else
        for (int64_t e = 0; e < length; e++)
            x[e] = (float)init.mean;
}

/* A part in float32. */
static void draw(const para_tensor *t, uint64_t seed, int64_t first, int64_t count, float *x)
{
    struct walk w = walk_begin(&t->shape, first, count);
    do
        fill_floats(x + w.done, stretch(&w), seed, (uint64_t)t->origin, place_of(&w), t->init);
    while (next_stretch(&w));
}

static void convert(int64_t count, const float *x, para_dtype dtype, void *to)
{
    if (para_dtype_blocks(dtype))
        para_quantize(dtype, count, x, to);
    for (int64_t e = 0; e < count && dtype == PARA_BF16; e++)
        ((uint16_t *)to)[e] = para_bf16_of(x[e]);
    for (int64_t e = 0; e < count && dtype == PARA_I8; e++)
        ((int8_t *)to)[e] = para_i8_of(x[e]);
}

/* Elements of another type come of float32 values; int32, which alone may be larger than float32 is exact, of a fill.
 */
void para_fill_initial(const para_tensor *t, uint64_t seed, int64_t first, int64_t count, void *part)
{
    enum { PIECE = 8 * PARA_BLOCK };
    para_dtype dtype = t->shape.dtype;
    float x[PIECE];
    if (dtype == PARA_F32)
        draw(t, seed, first, count, part);
    for (int64_t e = 0; e < count && dtype == PARA_I32; e++)
        ((int32_t *)part)[e] = (int32_t)t->init.mean;
    if (dtype == PARA_F32 || dtype == PARA_I32)
        return;
    for (int64_t done = 0, some; done < count; done += some) {
        some = count - done < PIECE ? count - done : PIECE;
        draw(t, seed, first + done, some, x);
        convert(some, x, dtype, (char *)part + para_dtype_span(dtype, done));
    }
}
