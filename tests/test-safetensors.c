/* Safetensors files: what is written is read back, and no file, however it lies, is believed or brings us down. */
#include "tests/support.h"

#include <paragraph/data.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static int set_up(void **state)
{
    return make_scratch(state, "x.safetensors");
}

static void write_bytes(const char *path, const void *data, size_t bytes)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, bytes, f), bytes);
    assert_int_equal(fclose(f), 0);
}

static unsigned char *read_bytes(const char *path, size_t *bytes)
{
    struct stat about;
    assert_int_equal(stat(path, &about), 0);
    *bytes = (size_t)about.st_size;
    unsigned char *data = must_alloc(*bytes + 1);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fread(data, 1, *bytes, f), *bytes);
    fclose(f);
    return data;
}

/* A file of a header, whose length is said to be `length`, and `data_bytes` zeros. */
static void write_raw(const char *path, uint64_t length, const char *header, size_t data_bytes)
{
    size_t header_bytes = strlen(header), bytes = 8 + header_bytes + data_bytes;
    unsigned char *all = must_alloc(bytes);
    for (int i = 0; i < 8; i++)
        all[i] = (unsigned char)(length >> 8 * i);
    memcpy(all + 8, header, header_bytes);
    memset(all + 8 + header_bytes, 0, data_bytes);
    write_bytes(path, all, bytes);
    free(all);
}

static void assert_says(const para_error *err, const char *text)
{
    if (!strstr(err->message, text))
        fail_msg("the message \"%s\" doesn't say \"%s\"", err->message, text);
}

/* Opening fails, naming the file and saying `text`. */
static void assert_refused(const char *path, int code, const char *text)
{
    para_error err = {0};
    para_safetensors *f = NULL;
    int status = para_safetensors_open(&f, path, &err);
    if (status == 0)
        fail_msg("a file was opened that should fail with \"%s\"", text);
    assert_int_equal(status, code);
    assert_int_equal(err.code, code);
    assert_null(f);
    assert_says(&err, path);
    assert_says(&err, text);
}

static const float four[] = {1.5f, -2.0f, 3.25f, 1e-30f};
static const uint16_t halves[] = {0x3c00, 0x4000, 0x7c00};
static const int32_t one[] = {-7};

static int sample_entries(para_entry e[4])
{
    e[0] = (para_entry){"b.weight", PARA_F32, 2, {2, 2}, four, sizeof four};
    e[1] = (para_entry){"step", PARA_I32, 0, {0}, one, sizeof one};
    e[2] = (para_entry){"a \"quoted\" \xc3\xa9", PARA_BF16, 1, {3}, halves, sizeof halves};
    e[3] = (para_entry){"empty", PARA_F16, 3, {4, 0, 2}, "", 0};
    return 4;
}

static void reads_what_was_written(void **state)
{
    struct scratch *p = *state;
    para_error err = {0};
    para_entry written[4];
    int count = sample_entries(written);
    must(para_safetensors_write(p->path, written, count, &err), err);
    para_safetensors *f;
    must(para_safetensors_open(&f, p->path, &err), err);
    assert_int_equal(para_safetensors_count(f), count);
    for (int i = 0; i < count; i++) {
        int found = para_safetensors_find(f, written[i].name);
        assert_in_range(found, 0, count - 1);
        para_entry e = para_safetensors_entry(f, found);
        assert_string_equal(e.name, written[i].name);
        assert_int_equal(e.dtype, written[i].dtype);
        assert_int_equal(e.rank, written[i].rank);
        for (int d = 0; d < e.rank; d++)
            assert_int_equal(e.shape[d], written[i].shape[d]);
        assert_int_equal(e.bytes, written[i].bytes);
        assert_memory_equal(e.data, written[i].data, e.bytes);
    }
    assert_int_equal((uintptr_t)para_safetensors_entry(f, 0).data % 8, 0);
    assert_int_equal(para_safetensors_find(f, "b.weigh"), -1);
    assert_int_equal(para_safetensors_find(f, "__metadata__"), -1);
    para_safetensors_close(f);
}

/* transformers loads a file only if its metadata names the format. */
static void header_is_what_others_expect(void **state)
{
    struct scratch *p = *state;
    para_error err = {0};
    para_entry written[4];
    must(para_safetensors_write(p->path, written, sample_entries(written), &err), err);
    size_t bytes;
    unsigned char *all = read_bytes(p->path, &bytes);
    static const char start[] =
        "{\"__metadata__\":{\"format\":\"pt\"},\"b.weight\":{\"dtype\":\"F32\",\"shape\":[2,2],"
        "\"data_offsets\":[0,16]},\"step\":{\"dtype\":\"I32\",\"shape\":[],\"data_offsets\":[16,20]}";
    assert_memory_equal(all + 8, start, sizeof start - 1);
    assert_int_equal((all[0] | all[1] << 8) % 8, 0);
    assert_memory_equal(all + 8 + (all[0] | all[1] << 8), four, sizeof four);
    free(all);
}

static void no_tensors_is_a_file(void **state)
{
    struct scratch *p = *state;
    para_error err = {0};
    para_safetensors *f;
    must(para_safetensors_write(p->path, NULL, 0, &err), err);
    must(para_safetensors_open(&f, p->path, &err), err);
    assert_int_equal(para_safetensors_count(f), 0);
    para_safetensors_close(f);
    para_safetensors_close(NULL);
}

#define T(name, dtype, shape, offsets)                                                                                 \
    "\"" name "\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static const struct {
    const char *header;
    size_t data_bytes;
    const char *says;
} lies[] = {
    {"", 0, "header"},
    {"[]", 0, "isn't a JSON object"},
    {"{\"a\":", 0, "header"},
    {"{} x", 0, "header"},
    {"{\"a\":3}", 0, "tensor \"a\" has dtype (none)"},
    {"{" T("a", "7", "[1]", "[0,4]") "}", 4, "tensor \"a\" has dtype (none)"},
    {"{" T("a", "\"F31\"", "[1]", "[0,4]") "}", 4, "tensor \"a\" has dtype F31"},
    {"{" T("a", "\"F32\"", "4", "[0,4]") "}", 4, "tensor \"a\": expected shape"},
    {"{" T("a", "\"F32\"", "[1,1,1,1,1,1,1,1,1]", "[0,4]") "}", 4, "at most 8 numbers"},
    {"{" T("a", "\"F32\"", "[-1]", "[0,4]") "}", 4, "tensor \"a\": dimension 0"},
    {"{" T("a", "\"F32\"", "[-1,-1]", "[0,4]") "}", 4, "tensor \"a\": dimension 0"},
    {"{" T("a", "\"F32\"", "[1,1.0]", "[0,4]") "}", 4, "tensor \"a\": dimension 1"},
    {"{" T("a", "\"F32\"", "[4294967296,4294967296]", "[0,0]") "}", 0, "shape (4294967296, 4294967296) is too large"},
    {"{" T("a", "\"F32\"", "[4611686018427387904]", "[0,0]") "}", 0, "too large"},
    {"{" T("a", "\"F32\"", "[99999999999999999999]", "[0,0]") "}", 0, "too big integer"},
    {"{" T("a", "\"F32\"", "[1]", "[0]") "}", 4, "tensor \"a\": expected data_offsets"},
    {"{" T("a", "\"F32\"", "[1]", "\"x\"") "}", 4, "tensor \"a\": expected data_offsets"},
    {"{" T("a", "\"F32\"", "[1]", "[0,4,8]") "}", 4, "tensor \"a\": expected data_offsets to be two whole numbers"},
    {"{" T("a", "\"F32\"", "[1]", "[0.0,4]") "}", 4, "tensor \"a\": expected data_offsets to be two whole numbers"},
    {"{" T("a", "\"F32\"", "[1]", "[0,4.0]") "}", 4, "tensor \"a\": expected data_offsets to be two whole numbers"},
    {"{" T("a", "\"F32\"", "[1]", "[-4,0]") "}", 4, "tensor \"a\" lies at bytes -4 to 0"},
    {"{" T("a", "\"F32\"", "[1]", "[4,0]") "}", 4, "tensor \"a\" lies at bytes 4 to 0"},
    {"{" T("a", "\"F32\"", "[2]", "[0,8]") "}", 4, "within the file's 4 bytes of data"},
    {"{" T("a", "\"F32\"", "[1]", "[9223372036854775803,9223372036854775807]") "}", 4, "within the file's 4 bytes"},
    {"{" T("a", "\"F32\"", "[2]", "[0,4]") "}", 4, "tensor \"a\" has 4 bytes of data, expected 8 for F32 (2)"},
    {"{" T("a", "\"F32\"", "[1]", "[0,8]") "}", 8, "tensor \"a\" has 8 bytes of data, expected 4 for F32 (1)"},
    {"{" T("a", "\"F32\"", "[1]", "[0,4]") "," T("a", "\"F32\"", "[1]", "[4,8]") "}", 8, "duplicate"},
    {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "duplicate"},
    {"{" T("a", "\"F32\"", "[2]", "[0,8]") "," T("b", "\"F32\"", "[1]", "[4,8]") "}", 8,
     "\"b\" begins at byte 4, inside of \"a\""},
    {"{" T("a", "\"F32\"", "[1]", "[0,4]") "," T("b", "\"F32\"", "[1]", "[0,4]") "}", 4, "inside of"},
    {"{" T("b", "\"F32\"", "[1]", "[8,12]") "," T("a", "\"F32\"", "[1]", "[0,4]") "}", 12,
     "bytes 4 to 8 before tensor \"b\""},
    {"{" T("a", "\"F32\"", "[1]", "[4,8]") "}", 8, "bytes 0 to 4 before tensor \"a\""},
    {"{" T("a", "\"F32\"", "[1]", "[0,4]") "}", 8, "the tensors end at byte 4 of the data, expected its end at 8"},
    {"{}", 1, "the tensors end at byte 0"},
};

static void lies_are_refused(void **state)
{
    struct scratch *p = *state;
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        write_raw(p->path, strlen(lies[i].header), lies[i].header, lies[i].data_bytes);
        assert_refused(p->path, PARA_EFORMAT, lies[i].says);
    }
}

static void lengths_are_refused(void **state)
{
    struct scratch *p = *state;
    write_bytes(p->path, "", 0);
    assert_refused(p->path, PARA_EFORMAT, "has 0 bytes");
    write_bytes(p->path, "\2\0\0\0\0\0\0", 7);
    assert_refused(p->path, PARA_EFORMAT, "has 7 bytes");
    write_raw(p->path, 3, "{}", 0);
    assert_refused(p->path, PARA_EFORMAT, "says that it has 3 bytes, expected at most 2");
    write_raw(p->path, UINT64_MAX, "{}", 64);
    assert_refused(p->path, PARA_EFORMAT, "says that it has 18446744073709551615 bytes");
    write_raw(p->path, UINT64_MAX - 7, "{}", 64);
    assert_refused(p->path, PARA_EFORMAT, "expected at most 66");
    write_raw(p->path, 100000001, "{}", 0);
    assert_int_equal(truncate(p->path, 200000000), 0);
    assert_refused(p->path, PARA_EFORMAT, "says that it has 100000001 bytes, expected at most 100000000");
    assert_refused(p->folder, PARA_EIO, "regular file");
    remove(p->path);
    assert_refused(p->path, PARA_EIO, "can't open");
}

/* Types that the library lacks don't stop the others from being read, but their place is checked. */
static void other_types_are_left_out(void **state)
{
    struct scratch *p = *state;
    static const char header[] = "{" T("mask", "\"BOOL\"", "[4]", "[0,4]") "," T("w", "\"F32\"", "[1]", "[4,8]") "}";
    write_raw(p->path, strlen(header), header, 8);
    para_error err = {0};
    para_safetensors *f;
    must(para_safetensors_open(&f, p->path, &err), err);
    assert_int_equal(para_safetensors_count(f), 1);
    assert_int_equal(para_safetensors_find(f, "w"), 0);
    assert_int_equal(para_safetensors_find(f, "mask"), -1);
    para_safetensors_close(f);
    static const char lie[] = "{" T("mask", "\"I64\"", "[4]", "[0,4]") "}";
    write_raw(p->path, strlen(lie), lie, 4);
    assert_refused(p->path, PARA_EFORMAT, "tensor \"mask\" has 4 bytes of data, expected 32");
}

static unsigned sum_of(const para_safetensors *f)
{
    unsigned sum = 0;
    for (int i = 0; i < para_safetensors_count(f); i++) {
        para_entry e = para_safetensors_entry(f, i);
        for (size_t k = 0; k < e.bytes; k++)
            sum += ((const unsigned char *)e.data)[k];
    }
    return sum;
}

/* A file cut off anywhere fails to open. With any byte of it changed, it fails or gives tensors inside of it. */
static void damage_is_survived(void **state)
{
    struct scratch *p = *state;
    para_error err = {0};
    para_entry written[4];
    must(para_safetensors_write(p->path, written, sample_entries(written), &err), err);
    size_t bytes;
    unsigned char *all = read_bytes(p->path, &bytes);
    para_safetensors *f = NULL;
    for (size_t n = 0; n < bytes; n++) {
        write_bytes(p->path, all, n);
        assert_int_equal(para_safetensors_open(&f, p->path, &err), PARA_EFORMAT);
    }
    int opened = 0, refused = 0;
    for (size_t i = 0; i < bytes; i++)
        for (int bit = 0; bit < 8; bit += 3) {
            all[i] ^= (unsigned char)(1 << bit);
            write_bytes(p->path, all, bytes);
            if (para_safetensors_open(&f, p->path, &err) == 0) {
                opened++;
                assert_true(sum_of(f) <= 255 * bytes);
                para_safetensors_close(f);
            } else
                refused++;
            all[i] ^= (unsigned char)(1 << bit);
        }
    assert_true(opened > 0 && refused > 0);
    free(all);
}

static void assert_not_written(const char *path, const para_entry *entries, int count, int code, const char *text)
{
    para_error err = {0};
    assert_int_equal(para_safetensors_write(path, entries, count, &err), code);
    assert_says(&err, path);
    assert_says(&err, text);
}

static void bad_entries_are_not_written(void **state)
{
    struct scratch *p = *state;
    para_entry e[2] = {{"a", PARA_F32, 1, {4}, four, sizeof four}, {"a", PARA_F32, 1, {4}, four, sizeof four}};
    assert_not_written(p->path, e, 2, PARA_EINVAL, "two tensors are called \"a\"");
    e[1].name = "__metadata__";
    assert_not_written(p->path, e, 2, PARA_EINVAL, "__metadata__");
    e[1].name = "\xff";
    assert_not_written(p->path, e, 2, PARA_EINVAL, "UTF-8");
    e[1] = (para_entry){"b", PARA_F32, 1, {3}, four, sizeof four};
    assert_not_written(p->path, e, 2, PARA_EINVAL, "\"b\" has 16 bytes, which isn't the size of f32 (3)");
    e[1].dtype = PARA_Q8_0;
    assert_not_written(p->path, e, 2, PARA_EINVAL, "\"b\" is q8_0, which the format lacks");
    e[1].rank = 9;
    assert_not_written(p->path, e, 2, PARA_EINVAL, "\"b\" has 9 dimensions");
    struct stat about;
    assert_int_not_equal(stat(p->path, &about), 0);
}

/* A write that fails, here at a limit on file sizes as on a full disk, leaves the old file and nothing beside it. */
static void failed_write_leaves_the_old_file(void **state)
{
    struct scratch *p = *state;
    para_error err = {0};
    para_entry old = {"a", PARA_F32, 1, {4}, four, sizeof four};
    must(para_safetensors_write(p->path, &old, 1, &err), err);
    float *many = must_alloc(1 << 16);
    memset(many, 0, 1 << 16);
    para_entry large = {"a", PARA_F32, 1, {1 << 14}, many, 1 << 16};
    struct rlimit before, limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = (struct rlimit){4096, before.rlim_max};
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    int status = para_safetensors_write(p->path, &large, 1, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, handler);
    free(many);
    assert_int_equal(status, PARA_EIO);
    assert_says(&err, "can't write");

    char *temporary = path_join(p->folder, "x.safetensors.paragraph-new");
    struct stat about;
    assert_int_not_equal(stat(temporary, &about), 0);
    free(temporary);
    para_safetensors *f;
    must(para_safetensors_open(&f, p->path, &err), err);
    assert_memory_equal(para_safetensors_entry(f, 0).data, four, sizeof four);
    para_safetensors_close(f);

    char *nowhere = path_join(p->path, "y.safetensors");
    assert_not_written(nowhere, &old, 1, PARA_EIO, "can't create");
    free(nowhere);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_what_was_written, set_up, leave_scratch),
        cmocka_unit_test_setup_teardown(header_is_what_others_expect, set_up, leave_scratch),
        cmocka_unit_test_setup_teardown(no_tensors_is_a_file, set_up, leave_scratch),
        cmocka_unit_test_setup_teardown(lies_are_refused, set_up, leave_scratch),
        cmocka_unit_test_setup_teardown(lengths_are_refused, set_up, leave_scratch),
        cmocka_unit_test_setup_teardown(other_types_are_left_out, set_up, leave_scratch),
        cmocka_unit_test_setup_teardown(damage_is_survived, set_up, leave_scratch),
        cmocka_unit_test_setup_teardown(bad_entries_are_not_written, set_up, leave_scratch),
        cmocka_unit_test_setup_teardown(failed_write_leaves_the_old_file, set_up, leave_scratch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
