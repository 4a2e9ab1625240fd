/* Parts of tiles: copies and initial values piece by piece are those of the whole. */
#include "tests/random-graph.h"

#include <stdlib.h>
#include <string.h>

#include "base/dtype.h"
#include "runtime/store.h"

/* Let the tile be of a type in blocks, which lie along its last dimension, or along the last two. */
static void put_in_blocks(struct para_shape *s, struct dice *dice)
{
    struct para_extent *last = &s->dim[s->rank - 1];
    bool two = roll(dice, 2);
    int64_t multiple = two ? 1 : PARA_BLOCK;
    s->dtype = roll(dice, 2) ? PARA_Q8_0 : PARA_Q4_0;
    if (two) {
        *last = (struct para_extent){last->axis, 48, 0, 48};
        last--;
        multiple = 2;
    }
    last->extent *= multiple;
    last->begin *= multiple;
    last->whole *= multiple;
}

/* A tile of up to four dimensions, somewhere in a whole. */
static struct para_shape random_tile(struct dice *dice)
{
    struct para_shape s = {.rank = roll(dice, 5), .dtype = roll(dice, 3) ? PARA_F32 : PARA_BF16};
    for (int d = 0; d < s.rank; d++) {
        s.dim[d].extent = 1 + roll(dice, 6);
        s.dim[d].begin = roll(dice, 4);
        s.dim[d].whole = s.dim[d].begin + s.dim[d].extent + roll(dice, 3);
    }
    if (s.rank > 1 && roll(dice, 3) == 0)
        put_in_blocks(&s, dice);
    return s;
}

static void pieces_make_the_tile(void **state)
{
    (void)state;
    for (int number = 0; number < 2000; number++) {
        struct dice dice = {.seed = 500 + (uint64_t)number};
        struct para_shape s = random_tile(&dice);
        int64_t elements = para_shape_elements(&s), most = (1 + roll(&dice, 9)) * para_dtype_block(s.dtype);
        size_t bytes = para_shape_bytes(&s), all = para_shape_whole_bytes(&s);
        unsigned char *whole = must_alloc(all), *again = must_alloc(all), *tile = must_alloc(bytes),
                      *pieces = must_alloc(bytes);
        for (size_t i = 0; i < all; i++)
            whole[i] = (unsigned char)(1 + roll(&dice, 255));
        memset(again, 0, all);
        para_tile_take(&s, 0, elements, tile, whole);
        for (int64_t first = 0; first < elements; first += most) {
            int64_t count = elements - first < most ? elements - first : most;
            para_tile_take(&s, first, count, pieces + para_dtype_span(s.dtype, first), whole);
            para_tile_put(&s, first, count, tile + para_dtype_span(s.dtype, first), again);
        }
        assert_memory_equal(pieces, tile, bytes);
        para_tile_take(&s, 0, elements, pieces, again);
        assert_memory_equal(pieces, tile, bytes);
        size_t written = 0;
        for (size_t i = 0; i < all; i++)
            written += again[i] != 0;
        assert_int_equal(written, bytes);
        free(whole);
        free(again);
        free(tile);
        free(pieces);
    }
}

static void pieces_begin_as_the_tile(void **state)
{
    (void)state;
    static const para_init inits[] = {{PARA_INIT_NORMAL, 1, 2}, {PARA_INIT_UNIFORM, 0, 1}, {PARA_INIT_FILL, 3, 0}};
    for (int number = 0; number < 300; number++) {
        struct dice dice = {.seed = 900 + (uint64_t)number};
        para_tensor t = {.shape = random_tile(&dice), .init = inits[number % 3], .origin = number};
        para_dtype dtype = t.shape.dtype;
        int64_t elements = para_shape_elements(&t.shape), most = (1 + roll(&dice, 9)) * para_dtype_block(dtype);
        size_t bytes = para_shape_bytes(&t.shape);
        unsigned char *tile = must_alloc(bytes), *pieces = must_alloc(bytes);
        para_fill_initial(&t, 7, 0, elements, tile);
        for (int64_t first = 0; first < elements; first += most)
            para_fill_initial(&t, 7, first, elements - first < most ? elements - first : most,
                              pieces + para_dtype_span(dtype, first));
        assert_memory_equal(pieces, tile, bytes);
        free(tile);
        free(pieces);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(pieces_make_the_tile),
                                       cmocka_unit_test(pieces_begin_as_the_tile)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
