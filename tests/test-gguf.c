/* GGUF files: what stands in one is found, elements of each type are what the format says, and no file, however it
 * lies, is believed or brings us down. */
#include "tests/support.h"
#include "tests/words.h"

#include "io/gguf.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int set_up(void **state)
{
    return make_scratch(state, "x.gguf");
}

static struct para_gguf *open_words(const struct scratch *p, const char *words)
{
    static struct bytes b;
    b.count = 0;
    para_error err = {0};
    struct para_gguf *f;
    put_words(&b, words);
    write_bytes(p->path, &b, b.count);
    must(para_gguf_open(&f, p->path, &err), err);
    return f;
}

#define HEAD(tensors, keys) "GGUF 3/4 " #tensors "/8 " #keys "/8 "

/* Of each type a value, and lists of numbers and texts. */
static const char sample[] = HEAD(3, 15)                                                  //
    "'u8' 0/4 200/1 'i8' 1/4 200/1 'u16' 2/4 50000/2 'i16' 3/4 50000/2 "                  //
    "'u32' 4/4 3000000000/4 'i32' 5/4 3000000000/4 'f32' 6/4 0x3fc00000/4 'yes' 7/4 1/1 " //
    "'text' 8/4 'b a' 'u64' 10/4 0xffffffffffffffff/8 'i64' 11/4 0xffffffffffffffff/8 "   //
    "'f64' 12/4 0x3ff8000000000000/8 'ids' 9/4 5/4 2/8 7/4 0xffffffff/4 "                 //
    "'names' 9/4 8/4 3/8 'x' '' 'yz' 'none' 9/4 8/4 0/8 "                                 //
    "'b' 2/4 2/8 3/8 0/4 0/8 'a' 1/4 32/8 8/4 32/8 'scalar' 0/4 30/4 96/8 | "             //
    "0/4 0x3f800000/4 0x40000000/4 0x40400000/4 0x40800000/4 0x40a00000/4 | 0x3c00/2 1*32 | 0x3f80/2";

static const struct para_gguf_value *value_of(const struct para_gguf *f, const char *key, enum para_gguf_want want)
{
    para_error err = {0};
    const struct para_gguf_value *v;
    must(para_gguf_need(&v, f, key, want, &err), err);
    assert_int_equal(v->count, 1);
    return v;
}

static int64_t whole_of(const struct para_gguf *f, const char *key)
{
    return para_gguf_whole(value_of(f, key, PARA_GGUF_WHOLE), 0);
}

static void values_are_found(void **state)
{
    struct para_gguf *f = open_words(*state, sample);
    para_error err = {0};
    const struct para_gguf_value *v;
    assert_int_equal(para_gguf_value_count(f), 15);
    assert_string_equal(para_gguf_value(f, 8)->key, "text");
    assert_int_equal(whole_of(f, "u8"), 200);
    assert_int_equal(whole_of(f, "i8"), -56);
    assert_int_equal(whole_of(f, "u16"), 50000);
    assert_int_equal(whole_of(f, "i16"), 50000 - 65536);
    assert_int_equal(whole_of(f, "u32"), 3000000000);
    assert_int_equal(whole_of(f, "i32"), 3000000000 - 4294967296);
    assert_int_equal(whole_of(f, "u64"), INT64_MAX);
    assert_int_equal(whole_of(f, "i64"), -1);
    assert_true(para_gguf_real(value_of(f, "f32", PARA_GGUF_REAL), 0) == 1.5);
    assert_true(para_gguf_real(value_of(f, "f64", PARA_GGUF_REAL), 0) == 1.5);
    assert_true(para_gguf_real(value_of(f, "i8", PARA_GGUF_REAL), 0) == -56);
    assert_true(para_gguf_flag(value_of(f, "yes", PARA_GGUF_FLAG), 0));
    assert_true(para_gguf_text_is(para_gguf_text(value_of(f, "text", PARA_GGUF_STRING), 0), "b a"));
    must(para_gguf_need_list(&v, f, "ids", PARA_GGUF_WHOLE, &err), err);
    assert_int_equal(v->count, 2);
    assert_int_equal(para_gguf_whole(v, 0), 7);
    assert_int_equal(para_gguf_whole(v, 1), -1);
    must(para_gguf_need_list(&v, f, "names", PARA_GGUF_STRING, &err), err);
    assert_int_equal(v->count, 3);
    assert_true(para_gguf_text_is(para_gguf_text(v, 0), "x"));
    assert_true(para_gguf_text_is(para_gguf_text(v, 1), ""));
    assert_true(para_gguf_text_is(para_gguf_text(v, 2), "yz"));
    must(para_gguf_need_list(&v, f, "none", PARA_GGUF_STRING, &err), err);
    assert_int_equal(v->count, 0);
    para_gguf_close(f);
}

static void assert_says(const para_error *err, const char *text)
{
    if (!strstr(err->message, text))
        fail_msg("the message \"%s\" doesn't say \"%s\"", err->message, text);
}

static void what_is_wanted_must_be_there(void **state)
{
    static const struct {
        const char *key;
        enum para_gguf_want want;
        bool list;
        const char *says;
    } wants[] = {
        {"nothing", PARA_GGUF_WHOLE, false, "\"nothing\" is missing, expected a whole number"},
        {"nothing", PARA_GGUF_STRING, true, "\"nothing\" is missing, expected an array of strings"},
        {"f32", PARA_GGUF_WHOLE, false, "\"f32\" is float32, expected a whole number"},
        {"text", PARA_GGUF_REAL, false, "\"text\" is string, expected a number"},
        {"u8", PARA_GGUF_FLAG, false, "\"u8\" is uint8, expected a bool"},
        {"ids", PARA_GGUF_WHOLE, false, "\"ids\" is an array of int32, expected a whole number"},
        {"u8", PARA_GGUF_WHOLE, true, "\"u8\" is uint8, expected an array of whole numbers"},
    };
    struct para_gguf *f = open_words(*state, sample);
    for (size_t i = 0; i < sizeof wants / sizeof wants[0]; i++) {
        para_error err = {0};
        const struct para_gguf_value *v;
        int status = wants[i].list ? para_gguf_need_list(&v, f, wants[i].key, wants[i].want, &err)
                                   : para_gguf_need(&v, f, wants[i].key, wants[i].want, &err);
        assert_int_equal(status, PARA_EFORMAT);
        assert_says(&err, wants[i].says);
        assert_says(&err, para_gguf_path(f));
    }
    para_gguf_close(f);
}

static void tensors_are_found(void **state)
{
    struct para_gguf *f = open_words(*state, sample);
    float x[32];
    assert_int_equal(para_gguf_tensor_count(f), 3);
    assert_null(para_gguf_find_tensor(f, "c"));
    const struct para_gguf_tensor *t = para_gguf_find_tensor(f, "b");
    assert_ptr_equal(t, para_gguf_tensor(f, 0));
    assert_int_equal(t->rank, 2);
    assert_int_equal(t->shape[0], 3);
    assert_int_equal(t->shape[1], 2);
    assert_int_equal(t->bytes, 24);
    assert_int_equal((uintptr_t)t->data % 32, 0);
    para_blocks_widen(x, t->type, t->data, t->elements);
    for (int e = 0; e < 6; e++)
        assert_true(x[e] == (float)e);
    t = para_gguf_find_tensor(f, "a");
    assert_string_equal(t->type->name, "Q8_0");
    assert_int_equal(t->bytes, 34);
    para_blocks_widen(x, t->type, t->data, t->elements);
    assert_true(x[0] == 1 && x[31] == 1);
    t = para_gguf_find_tensor(f, "scalar");
    assert_int_equal(t->elements, 1);
    para_blocks_widen(x, t->type, t->data, t->elements);
    assert_true(x[0] == 1);
    para_gguf_close(f);
}

static void version_2_and_another_alignment_are_read(void **state)
{
    struct para_gguf *f =
        open_words(*state, "GGUF 2/4 2/8 1/8 'general.alignment' 4/4 8/4 "
                           "'a' 1/4 1/8 0/4 0/8 'b' 1/4 1/8 0/4 8/8 0*5 0x3f800000/4 0/4 0x40000000/4");
    float x;
    const struct para_gguf_tensor *t = para_gguf_find_tensor(f, "b");
    para_blocks_widen(&x, t->type, t->data, 1);
    assert_true(x == 2);
    para_gguf_close(f);
}

/* --- elements --- */

/* Blocks and what some of their elements are, worked out by hand from the layouts. Scales are 1 (0x3c00), 2 (0x4000)
 * and 1/2 (0x3800). */
static const struct {
    uint32_t type;
    const char *block;
    struct {
        int e;
        float x;
    } has[8];
    int count;
} blocks[] = {
    {0, "0xc0490fdb/4", {{0, -3.14159274f}}, 1},
    {1, "0xc248/2", {{0, -3.140625f}}, 1},
    {30, "0xc049/2", {{0, -3.140625f}}, 1},
    {8, "0x4000/2 0x80/1 0x7f/1 0*29 0xff/1", {{0, -256}, {1, 254}, {2, 0}, {31, -2}}, 4},
    /* element 0 in the lower half of byte 0, element 16 in the upper */
    {2, "0x3800/2 0xf0/1 0x88*14 0x19/1", {{0, -4}, {16, 3.5f}, {1, 0}, {15, 0.5f}, {31, -3.5f}}, 5},
    {3, "0x3800/2 0x4000/2 0xf0/1 0*14 0x19/1", {{0, 2}, {16, 9.5f}, {1, 2}, {15, 6.5f}, {31, 2.5f}}, 5},
    /* bits 0 and 31 of the fifth bits: elements 0 and 31 are 16 higher */
    {6, "0x4000/2 0x80000001/4 0x21/1 0*14 0xf3/1", {{0, 2}, {16, -28}, {1, -32}, {15, -26}, {31, 30}}, 5},
    {7, "0x4000/2 0x3c00/2 0x80000001/4 0x21/1 0*14 0xf3/1", {{0, 35}, {16, 5}, {1, 1}, {15, 7}, {31, 63}}, 5},
    /* Runs 0, 3, 4 and 7 have scales 1, 63, 32 + 2, 48 + 15 and least values 3, 0, 16 + 9, 48: of run 4 the scale is
     * the lower half of byte 8 under the upper bits of byte 0, the least value its upper half under those of byte 4. */
    {12,
     "0x4000/2 0x3c00/2 0x81/1 0/1 0/1 0xff/1 0x43/1 0/1 0/1 0xc0/1 0x92/1 0/1 0/1 0x0f/1 "
     "0x05/1 0*31 0x70/1 0*31 0x21/1 0*31 0*31 0xf4/1",
     {{0, 7}, {1, -3}, {96, 882}, {97, 0}, {128, 43}, {129, -25}, {160, 0}, {255, 1842}},
     8},
    /* The same with bit 0 of the first of the fifth bits, bit 4 too, and bit 7 of the last. */
    {13,
     "0x4000/2 0x3c00/2 0x81/1 0/1 0/1 0xff/1 0x43/1 0/1 0/1 0xc0/1 0x92/1 0/1 0/1 0x0f/1 0x11/1 0*30 0x80/1 "
     "0x05/1 0*31 0x70/1 0*31 0x21/1 0*31 0*31 0xf4/1",
     {{0, 39}, {1, -3}, {96, 882}, {97, 0}, {128, 1131}, {129, -25}, {160, 0}, {255, 3858}},
     8},
    /* Elements 0, 32, 64, 96 have their upper bits in byte 128: 0, 1, 2, 3; 128 has them in byte 160. Scales are those
     * of runs of 16: 1, 2, ... but of run 6, -1. */
    {14,
     "0x21/1 0*31 0x43/1 0*31 0x65/1 0*63 0xe4/1 0*31 0x03/1 0*31 "
     "1/1 2/1 3/1 4/1 5/1 6/1 0xff/1 8/1 9/1 10/1 11/1 12/1 13/1 14/1 15/1 16/1 0x4000/2",
     {{0, -62}, {1, -64}, {32, -78}, {64, 20}, {96, -40}, {112, -512}, {128, 378}, {255, -1024}},
     8},
};

static void elements_are_what_the_format_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) {
        static struct bytes b;
        b.count = 0;
        float x[256];
        const struct para_block_type *type = para_block_type(blocks[i].type);
        put_words(&b, blocks[i].block);
        assert_int_equal(b.count, type->bytes);
        para_blocks_widen(x, type, b.data, type->elements);
        for (int k = 0; k < blocks[i].count; k++)
            if (x[blocks[i].has[k].e] != blocks[i].has[k].x)
                fail_msg("element %d of %s is %g, expected %g", blocks[i].has[k].e, type->name,
                         (double)x[blocks[i].has[k].e], (double)blocks[i].has[k].x);
    }
}

static void types_are_found_by_elements(void **state)
{
    (void)state;
    assert_string_equal(para_block_type_of(PARA_Q4_0)->name, "Q4_0");
    assert_string_equal(para_block_type_of(PARA_BF16)->name, "BF16");
    assert_null(para_block_type_of(PARA_I8)); /* with scales, as no type of GGUF's */
    assert_null(para_block_type(4));
}

/* --- lies --- */

static const struct {
    const char *words, *says;
} lies[] = {
    {"", "isn't a GGUF file"},
    {"71/1 71/1 85/1", "isn't a GGUF file"},
    {"0x46554747/4", "ends at byte 4 within the header"},
    {"GGUF 1/4 0/8 0/8", "version 1, expected 2 or 3"},
    {"GGUF 0x03000000/4 0/8 0/8", "version 3, big-endian, expected 2 or 3"},
    {"GGUF 3/4 0/8 0/4", "ends at byte 20 within the header"},
    {HEAD(0, 1), "says that it has 1 keys, which the 0 bytes left can't hold"},
    {HEAD(0, 0xffffffffffffffff), "says that it has 18446744073709551615 keys"},
    {HEAD(1, 0), "says that it has 1 tensors, which the 0 bytes left can't hold"},
    {HEAD(0xffffffffffffffff, 0), "says that it has 18446744073709551615 tensors"},
    {HEAD(0, 1) "100/8 0*20", "a key: a text of 100 bytes, expected at most the 20 left"},
    {HEAD(0, 1) "0xffffffffffffffff/8 0*20", "a text of 18446744073709551615 bytes"},
    {HEAD(0, 1) "'' 4/4 1/4", "a key of 0 bytes, expected 1 to 65535"},
    {HEAD(0, 1) "2/8 97/1 0/1 4/4 1/4", "a key of 2 bytes, expected 1 to 65535 without zeros"},
    {HEAD(0, 2) "'a' 4/4 1/4 'a' 4/4 1/4", "key \"a\" stands there twice"},
    {HEAD(0, 1) "'a' 13/4 1/8", "key \"a\" is of type 13, expected 0 to 12"},
    {HEAD(0, 1) "'a' 7/4 2/1", "key \"a\" is a bool of 2, expected 0 or 1"},
    {HEAD(0, 1) "'a' 10/4 2/4", "ends at byte 41 within a"},
    {HEAD(0, 1) "'a' 8/4 9/8 0*8", "in a: a text of 9 bytes, expected at most the 8 left"},
    {HEAD(0, 1) "'a' 9/4 9/4 1/8 0*8", "key \"a\" is an array of arrays"},
    {HEAD(0, 1) "'a' 9/4 13/4 1/8 0*8", "key \"a\" is of type 13"},
    {HEAD(0, 1) "'a' 9/4 4/4 3/8 0*8", "key \"a\" is an array of 3 elements of type uint32, which the 8 bytes left"},
    {HEAD(0, 1) "'a' 9/4 12/4 0x2000000000000001/8 0*8", "an array of 2305843009213693953 elements of type float64"},
    {HEAD(0, 1) "'a' 9/4 8/4 2/8 0*8", "an array of 2 elements of type string"},
    {HEAD(0, 1) "'a' 9/4 8/4 2/8 'abcdefgh' 1/8", "a text of 1 bytes, expected at most the 0 left"},
    {HEAD(0, 1) "'general.alignment' 6/4 0/4", "\"general.alignment\" is float32, expected a whole number"},
    {HEAD(0, 1) "'general.alignment' 4/4 0/4", "\"general.alignment\" is 0, expected a power of two"},
    {HEAD(0, 1) "'general.alignment' 4/4 24/4", "\"general.alignment\" is 24, expected a power of two"},
    {HEAD(1, 0) "'' 1/4 1/8 0/4 0/8", "a tensor's name of 0 bytes"},
    {HEAD(1, 0) "'a' 5/4 1/8 1/8 1/8 1/8 1/8 0/4 0/8", "tensor \"a\" has 5 dimensions, expected at most 4"},
    {HEAD(1, 0) "'a' 1/4 1/8 4/4 0/8 | 0/4", "tensor \"a\" is of type 4, expected one of the format's"},
    {HEAD(1, 0) "'a' 1/4 33/8 8/4 0/8 | 0*64", "tensor \"a\" has rows of 33, expected a multiple of 32 of Q8_0"},
    {HEAD(1, 0) "'a' 0/4 8/4 0/8 | 0*64", "tensor \"a\" has rows of 1, expected a multiple of 32 of Q8_0"},
    {HEAD(1, 0) "'a' 1/4 0x8000000000000000/8 0/4 0/8 | 0/4", "are too many for any file"},
    {HEAD(1, 0) "'a' 2/4 0x100000000/8 0x100000000/8 0/4 0/8 | 0/4", "are too many for any file"},
    {HEAD(1, 0) "'a' 1/4 0x4000000000000000/8 0/4 0/8 | 0/4", "tensor \"a\" is too large for any file"},
    {HEAD(1, 0) "'a' 1/4 1/8 0/4 4/8 | 0/8", "tensor \"a\" begins at byte 4 of the data, expected a multiple of 32"},
    {HEAD(1, 0) "'a' 1/4 2/8 0/4 0/8 | 0/4", "tensor \"a\" has 8 bytes from byte 0 of the data on, which has 4"},
    {HEAD(1, 0) "'a' 1/4 1/8 0/4 32/8 | 0/4", "tensor \"a\" has 4 bytes from byte 32 of the data on, which has 4"},
    {HEAD(1, 0) "'a' 1/4 1/8 0/4 0xffffffffffffffe0/8 | 0/4", "from byte 18446744073709551584 of the data on"},
    {HEAD(1, 0) "'a' 1/4 1/8 0/4 0/8", "which has 0"},
    {HEAD(2, 0) "'a' 1/4 1/8 0/4 0/8 'a' 1/4 1/8 0/4 32/8 | 0*64", "tensor \"a\" stands there twice"},
    {HEAD(2, 0) "'a' 1/4 9/8 0/4 0/8 'b' 1/4 1/8 0/4 32/8 | 0*64", "tensor \"b\" begins inside of \"a\""},
    {HEAD(2, 0) "'a' 1/4 1/8 0/4 0/8 'b' 1/4 2/8 0/4 0/8 | 0*64", "begins inside of"},
};

static void lies_are_refused(void **state)
{
    const struct scratch *p = *state;
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        static struct bytes b;
        b.count = 0;
        struct para_gguf *f = NULL;
        para_error err = {0};
        put_words(&b, lies[i].words);
        write_bytes(p->path, &b, b.count);
        int status = para_gguf_open(&f, p->path, &err);
        if (status == 0)
            fail_msg("a file was opened that should fail with \"%s\"", lies[i].says);
        assert_int_equal(status, PARA_EFORMAT);
        assert_null(f);
        assert_says(&err, p->path);
        assert_says(&err, lies[i].says);
    }
}

/* Of a whole file no beginning is one. */
static void every_beginning_is_refused(void **state)
{
    const struct scratch *p = *state;
    static struct bytes b;
    b.count = 0;
    put_words(&b, sample);
    for (size_t n = 0; n < b.count; n++) {
        struct para_gguf *f = NULL;
        write_bytes(p->path, &b, n);
        assert_int_equal(para_gguf_open(&f, p->path, NULL), PARA_EFORMAT);
    }
}

static void other_things_are_refused(void **state)
{
    const struct scratch *p = *state;
    struct para_gguf *f = NULL;
    para_error err = {0};
    assert_int_equal(para_gguf_open(&f, p->folder, &err), PARA_EIO);
    assert_says(&err, "isn't a regular file");
    assert_int_equal(para_gguf_open(&f, "/nonexistent/x.gguf", &err), PARA_EIO);
    para_gguf_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_found),
        cmocka_unit_test(what_is_wanted_must_be_there),
        cmocka_unit_test(tensors_are_found),
        cmocka_unit_test(version_2_and_another_alignment_are_read),
        cmocka_unit_test(elements_are_what_the_format_says),
        cmocka_unit_test(types_are_found_by_elements),
        cmocka_unit_test(lies_are_refused),
        cmocka_unit_test(every_beginning_is_refused),
        cmocka_unit_test(other_things_are_refused),
    };
    return cmocka_run_group_tests(tests, set_up, leave_scratch);
}
