/* base/: the arena, the map of names, the random draws by their published answers, error messages, element types. */
#include "tests/support.h"

#include <math.h>
#include <stdalign.h>
#include <string.h>

#include "base/arena.h"
#include "base/checked.h"
#include "base/fail.h"
#include "base/grow.h"
#include "base/philox.h"
#include "base/sha256.h"
#include "base/simd.h"
#include "base/strmap.h"

/* Blocks of any size are zeroed, aligned and apart, also beyond the arena's own block. */
static void arena_blocks_are_apart(void **state)
{
    (void)state;
    static const size_t bytes[] = {1, 7, 64, 65536, 3, 200000, 16, 0, 33};
    enum { COUNT = sizeof bytes / sizeof bytes[0] };
    struct para_arena arena = {0};
    unsigned char *block[COUNT];
    for (int i = 0; i < COUNT; i++) {
        block[i] = para_arena_alloc(&arena, bytes[i]);
        assert_non_null(block[i]);
        assert_int_equal((uintptr_t)block[i] % alignof(max_align_t), 0);
        for (size_t b = 0; b < bytes[i]; b++)
            assert_int_equal(block[i][b], 0);
        memset(block[i], i + 1, bytes[i]);
    }
    for (int i = 0; i < COUNT; i++)
        for (size_t b = 0; b < bytes[i]; b++)
            assert_int_equal(block[i][b], i + 1);
    char *copy = para_arena_string(&arena, "wte");
    assert_string_equal(copy, "wte");
    assert_null(para_arena_alloc(&arena, (size_t)-1));
    para_arena_free(&arena);
    assert_null(arena.blocks);
    para_arena_free(&arena);
}

static void maps_find_what_was_set(void **state)
{
    (void)state;
    enum { KEYS = 5000 };
    static char key[KEYS][8];
    struct para_strmap map = {0};
    assert_null(para_strmap_get(&map, "0"));
    for (int i = 0; i < KEYS; i++) {
        snprintf(key[i], sizeof key[i], "%d", i);
        assert_int_equal(para_strmap_set(&map, key[i], key[i]), 0);
    }
    assert_int_equal(para_strmap_set(&map, "17", key[4]), 0);
    assert_int_equal(map.count, KEYS);
    for (int i = 0; i < KEYS; i++)
        assert_ptr_equal(para_strmap_get(&map, key[i]), key[i == 17 ? 4 : i]);
    assert_null(para_strmap_get(&map, "5000"));
    assert_null(para_strmap_get(&map, ""));
    para_strmap_free(&map);
    assert_null(para_strmap_get(&map, "17"));
}

/* Known answers of Philox4x32-10 from its authors' library (Random123, kat_vectors): zeros, ones, digits of pi. */
static void philox_gives_its_known_answers(void **state)
{
    (void)state;
    static const struct {
        uint64_t key, high, low;
        uint32_t word[4];
    } known[] = {
        {0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {UINT64_MAX, UINT64_MAX, UINT64_MAX, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {0x299f31d0a4093822, 0x0370734413198a2e, 0x85a308d3243f6a88, {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        struct para_philox p = para_philox(known[i].key, known[i].high, known[i].low);
        assert_memory_equal(p.word, known[i].word, sizeof p.word);
    }
}

/* Draw number n of a stream is word n mod 4 of counter n / 4, and other keys and streams give other draws. */
/* FIPS 180-4's examples, and lengths around a block's end, as sha256sum gives them. */
static void digests_are_known(void **state)
{
    static const struct {
        size_t bytes; /* of 'a' */
        const char *digest;
    } known[] = {
        {0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {55, "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318"},
        {56, "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a"},
        {64, "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb"},
        {1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
    };
    (void)state;
    char digest[PARA_SHA256_TEXT];
    char *text = malloc(1000000);
    assert_non_null(text);
    memset(text, 'a', 1000000);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        para_sha256(text, known[i].bytes, digest);
        assert_string_equal(digest, known[i].digest);
    }
    free(text);
    para_sha256("abc", 3, digest);
    assert_string_equal(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void draws_are_numbered(void **state)
{
    (void)state;
    for (uint64_t n = 0; n < 64; n++) {
        assert_int_equal(para_draw(5, 9, n), para_philox(5, 9, n / 4).word[n % 4]);
        assert_int_not_equal(para_draw(5, 9, n), para_draw(6, 9, n));
        assert_int_not_equal(para_draw(5, 9, n), para_draw(5, 10, n));
    }
    assert_true(para_uniform(0) == 0.0f);
    assert_true(para_uniform(UINT32_MAX) < 1.0f);
}

/* 100,000 draws: mean, variance and the share beyond two deviations, each within five of its own deviations. */
static void normals_are_normal(void **state)
{
    (void)state;
    enum { DRAWS = 100000 };
    double sum = 0, squares = 0, beyond = 0, root = sqrt(DRAWS);
    for (uint64_t n = 0; n < DRAWS; n++) {
        double z = para_normal(3, 4, n);
        assert_true(isfinite(z));
        sum += z;
        squares += z * z;
        beyond += fabs(z) > 2.0;
    }
    assert_true(fabs(sum / DRAWS) < 5.0 / root);
    assert_true(fabs(squares / DRAWS - 1.0) < 5.0 * sqrt(2.0) / root);
    assert_true(fabs(beyond / DRAWS - 0.0455) < 5.0 * 0.2084 / root);
    const uint32_t extreme[] = {0, UINT32_MAX};
    assert_true(isfinite(para_box_muller(extreme).first) && isfinite(para_box_muller(extreme).second));
}

static int try_twice(int first, int second)
{
    PARA_TRY(first);
    PARA_TRY(second);
    return 0;
}

static void failures_carry_their_message(void **state)
{
    (void)state;
    para_error err = {0};
    assert_int_equal(para_fail(&err, PARA_ERANGE, "%s is %d, expected %d", "heads", 3, 4), PARA_ERANGE);
    assert_int_equal(err.code, PARA_ERANGE);
    assert_string_equal(err.message, "heads is 3, expected 4");
    assert_int_equal(para_fail(NULL, PARA_EIO, "nobody listens"), PARA_EIO);
    assert_int_equal(para_fail_memory(&err, "making a map"), PARA_ENOMEM);
    assert_string_equal(err.message, "out of memory: making a map");
    char text[1000];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = 0;
    assert_int_equal(para_fail(&err, PARA_EINVAL, "%s", text), PARA_EINVAL);
    assert_int_equal(strlen(err.message), sizeof err.message - 1);
    assert_int_equal(try_twice(PARA_EIO, PARA_EINVAL), PARA_EIO);
    assert_int_equal(try_twice(0, PARA_EINVAL), PARA_EINVAL);
    assert_int_equal(try_twice(1, 0), 0);
}

static void codes_and_types_have_names(void **state)
{
    (void)state;
    assert_string_equal(para_status_name(0), "PARA_OK");
    assert_string_equal(para_status_name(PARA_EAXIS), "PARA_EAXIS");
    assert_string_equal(para_status_name(PARA_ESUPPORT), "PARA_ESUPPORT");
    assert_string_equal(para_status_name(PARA_ESUPPORT - 1), "unknown status");
    assert_string_equal(para_status_name(1), "unknown status");
    static const struct {
        para_dtype dtype;
        const char *name;
        size_t bytes;
        int block;
    } types[] = {{PARA_F32, "f32", 4, 1}, {PARA_F16, "f16", 2, 1},     {PARA_BF16, "bf16", 2, 1},
                 {PARA_I32, "i32", 4, 1}, {PARA_Q8_0, "q8_0", 34, 32}, {PARA_Q4_0, "q4_0", 18, 32}};
    for (int i = 0; i < 6; i++) {
        assert_string_equal(para_dtype_name(types[i].dtype), types[i].name);
        assert_int_equal(para_dtype_bytes(types[i].dtype), types[i].bytes);
        assert_int_equal(para_dtype_block(types[i].dtype), types[i].block);
    }
}

struct heard {
    int lines, level;
    char line[64];
};

static void hear(void *user, int level, const char *line)
{
    struct heard *h = user;
    h->lines++;
    h->level = level;
    snprintf(h->line, sizeof h->line, "%s", line);
}

static void logs_go_to_the_callback_alone(void **state)
{
    (void)state;
    struct heard h = {0};
    para_log(PARA_LOG_INFO, "nobody listens");
    para_log_set(hear, &h);
    para_log(PARA_LOG_WARNING, "%d workers", 4);
    para_log_set(NULL, NULL);
    para_log(PARA_LOG_INFO, "nobody listens any more");
    assert_int_equal(h.lines, 1);
    assert_int_equal(h.level, PARA_LOG_WARNING);
    assert_string_equal(h.line, "4 workers");
}

static void products_report_overflow(void **state)
{
    (void)state;
    int64_t out = 5;
    assert_true(para_mul_i64(3, 4, &out) && out == 12);
    assert_true(para_mul_i64(0, INT64_MAX, &out) && out == 0);
    assert_true(para_mul_i64(INT64_MAX, 1, &out) && out == INT64_MAX);
    out = 5;
    assert_false(para_mul_i64(INT64_MAX / 2 + 1, 2, &out));
    assert_false(para_mul_i64(INT64_MAX, INT64_MAX, &out));
    assert_int_equal(out, 5);
}

static void arrays_grow_with_their_elements(void **state)
{
    (void)state;
    double *array = NULL;
    int capacity = 0;
    for (int i = 0; i < 100; i++) {
        assert_int_equal(para_grow(&array, i, &capacity, sizeof *array), 0);
        assert_true(capacity > i);
        array[i] = i;
    }
    for (int i = 0; i < 100; i++)
        assert_true(array[i] == i);
    double *before = array;
    capacity = INT_MAX;
    assert_int_equal(para_grow(&array, INT_MAX, &capacity, sizeof *array), -1);
    assert_ptr_equal(array, before);
    free(array);
}

/* As many as are wanted, at once, and more by twice as many; sizes that nothing has leave all as it was. */
static void arrays_have_the_room_that_is_wanted(void **state)
{
    (void)state;
    double *array = NULL;
    int64_t room = 0;
    assert_int_equal(para_reserve(&array, 100, &room, sizeof *array), 0);
    assert_int_equal(room, 100);
    array[99] = 3;
    assert_int_equal(para_reserve(&array, 100, &room, sizeof *array), 0);
    assert_int_equal(room, 100);
    assert_int_equal(para_reserve(&array, 101, &room, sizeof *array), 0);
    assert_int_equal(room, 200);
    double *before = array;
    assert_int_equal(para_reserve(&array, INT64_MAX, &room, sizeof *array), -1);
    assert_ptr_equal(array, before);
    assert_int_equal(room, 200);
    assert_true(array[99] == 3);
    free(array);
}

/* Within its bound where the result is finite, and NaN for NaN. */
static void exponentials_are_close(void **state)
{
    (void)state;
    for (double x = -87.3; x < 88.3; x += 0.01171875) {
        float y = para_expf((float)x);
        assert_true(fabs(y / exp((float)x) - 1.0) < 2e-7);
    }
    assert_true(para_expf(0.0f) == 1.0f);
    assert_true(para_expf(-INFINITY) == 0.0f);
    for (double x = -126; x < 127; x += 0.01171875) {
        float y = para_exp2f((float)x);
        assert_true(fabs(y / exp2((float)x) - 1.0) < 2e-7);
    }
    assert_true(para_exp2f(0.0f) == 1.0f);
    assert_true(para_exp2f(-INFINITY) == 0.0f);
    static const uint32_t nans[] = {0x7fc00000, 0x7fffffff, 0x7fc00001, 0x7f800001, 0xffc00000, 0xffffffff};
    for (size_t i = 0; i < sizeof nans / sizeof nans[0]; i++) {
        float x;
        memcpy(&x, &nans[i], sizeof x);
        assert_true(isnan(para_exp2f(x)) && isnan(para_expf(x)));
    }
}

/* However long what an error is about, its reason is told: the middle is cut, and no character in two. */
static void long_messages_keep_their_reason(void **state)
{
    (void)state;
    static char path[5000];
    for (size_t length = 380; length < sizeof path; length += length < 600 ? 1 : 500) {
        para_error err;
        for (size_t i = 0; i + 2 <= length; i += 2)
            memcpy(path + i, "\xc3\xa9", 3); /* e with an acute accent */
        assert_int_equal(para_fail(&err, PARA_EIO, "/%s: can't open: %s", path, "No such file or directory"), PARA_EIO);
        size_t told = strlen(err.message);
        assert_true(told < sizeof err.message);
        assert_memory_equal(err.message, "/\xc3\xa9", 3);
        assert_non_null(strstr(err.message, "\xc3\xa9: can't open: No such file or directory"));
        assert_int_equal(!strstr(err.message, "\xa9...\xc3"), strlen(path) + 40 < sizeof err.message - 1);
        assert_true(told > sizeof err.message - 8 || !strstr(err.message, "..."));
        para_fail(&err, PARA_EINVAL, "%s: %s", path, err.message); /* it may be put into itself */
        assert_non_null(strstr(err.message, ": can't open: No such file or directory"));
        memset(path, 0, sizeof path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_blocks_are_apart),
        cmocka_unit_test(maps_find_what_was_set),
        cmocka_unit_test(philox_gives_its_known_answers),
        cmocka_unit_test(digests_are_known),
        cmocka_unit_test(draws_are_numbered),
        cmocka_unit_test(normals_are_normal),
        cmocka_unit_test(failures_carry_their_message),
        cmocka_unit_test(codes_and_types_have_names),
        cmocka_unit_test(logs_go_to_the_callback_alone),
        cmocka_unit_test(products_report_overflow),
        cmocka_unit_test(arrays_grow_with_their_elements),
        cmocka_unit_test(arrays_have_the_room_that_is_wanted),
        cmocka_unit_test(long_messages_keep_their_reason),
        cmocka_unit_test(exponentials_are_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
