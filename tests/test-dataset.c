/* Token data: files are read as they are, and windows are those that their numbers say. */
#include "tests/support.h"

#include <paragraph/data.h>

#include <stdlib.h>
#include <string.h>

struct place {
    char *folder, *text, *ids;
};

static int set_up(void **state)
{
    static struct place p;
    p.folder = temp_dir();
    p.text = path_join(p.folder, "a.txt");
    p.ids = path_join(p.folder, "b.tok16");
    *state = &p;
    return 0;
}

static int tear_down(void **state)
{
    struct place *p = *state;
    free(p->text);
    free(p->ids);
    temp_dir_remove(p->folder);
    return 0;
}

static void write_bytes(const char *path, const void *data, size_t bytes)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, bytes, f), bytes);
    assert_int_equal(fclose(f), 0);
}

static para_dataset *open_one(const char *path, int64_t vocab)
{
    para_error err = {0};
    para_dataset *d;
    must(para_dataset_open(&d, &path, 1, vocab, &err), err);
    return d;
}

/* A sequence of `tokens` ids 0, 1, 2, ..., so that a window's ids are its places. */
static para_dataset *open_counting(struct place *p, int tokens)
{
    unsigned char *bytes = must_alloc((size_t)tokens * 2 + 1);
    for (int i = 0; i < tokens; i++) {
        bytes[2 * i] = (unsigned char)(i & 255);
        bytes[2 * i + 1] = (unsigned char)(i >> 8);
    }
    write_bytes(p->ids, bytes, (size_t)tokens * 2);
    free(bytes);
    return open_one(p->ids, 65536);
}

static void assert_refused(const char *path, int64_t vocab, int code, const char *text)
{
    para_error err = {0};
    para_dataset *d = NULL;
    assert_int_equal(para_dataset_open(&d, &path, 1, vocab, &err), code);
    assert_null(d);
    if (!strstr(err.message, path) || !strstr(err.message, text))
        fail_msg("the message \"%s\" doesn't say \"%s\" of %s", err.message, text, path);
}

static void files_make_one_sequence(void **state)
{
    struct place *p = *state;
    write_bytes(p->text, "A\0\xff", 3);
    write_bytes(p->ids, "\x34\x12\xff\xff", 4);
    const char *paths[] = {p->text, p->ids, p->text};
    para_error err = {0};
    para_dataset *d;
    must(para_dataset_open(&d, paths, 3, 65536, &err), err);
    assert_int_equal(para_dataset_tokens(d), 8);
    int32_t tokens[7], targets[7];
    must(para_dataset_batch(d, 1, 7, 0, 0, true, tokens, targets, &err), err);
    static const int32_t expected[] = {'A', 0, 255, 0x1234, 0xffff, 'A', 0, 255};
    assert_memory_equal(tokens, expected, sizeof tokens);
    assert_memory_equal(targets, expected + 1, sizeof targets);
    para_dataset_free(d);
    para_dataset_free(NULL);
}

static void bad_files_are_refused(void **state)
{
    struct place *p = *state;
    assert_refused(p->text, 256, PARA_EIO, "can't open");
    assert_refused(p->folder, 256, PARA_EIO, "can't read");
    write_bytes(p->text, "ab\xc3", 3);
    assert_refused(p->text, 128, PARA_ERANGE, "token 2 is 195, expected less than the vocabulary's 128");
    write_bytes(p->ids, "\x50\xc4\x51\xc4", 4);
    assert_refused(p->ids, 50257, PARA_ERANGE, "token 1 is 50257");
    para_dataset_free(open_one(p->ids, 50258));
    write_bytes(p->ids, "\1\0\2", 3);
    assert_refused(p->ids, 50257, PARA_EFORMAT, "is odd");
    para_error err = {0};
    para_dataset *d = NULL;
    assert_int_equal(para_dataset_open(&d, NULL, 0, 256, &err), PARA_EINVAL);
}

/* Blocks are read 64 KiB at a time: nothing is lost or doubled at their ends. */
static void long_files_are_read_whole(void **state)
{
    struct place *p = *state;
    enum { TOKENS = 60000, LONG = 200001 };
    para_dataset *d = open_counting(p, TOKENS);
    assert_int_equal(para_dataset_tokens(d), TOKENS);
    int32_t *tokens = must_alloc(TOKENS * sizeof *tokens), *targets = must_alloc(TOKENS * sizeof *targets);
    para_error err = {0};
    must(para_dataset_batch(d, 1, TOKENS - 1, 0, 0, true, tokens, targets, &err), err);
    for (int i = 0; i < TOKENS - 1; i++) {
        assert_int_equal(tokens[i], i);
        assert_int_equal(targets[i], i + 1);
    }
    free(tokens);
    free(targets);
    para_dataset_free(d);
    char *text = must_alloc(LONG);
    memset(text, 'x', LONG);
    write_bytes(p->text, text, LONG);
    free(text);
    d = open_one(p->text, 256);
    assert_int_equal(para_dataset_tokens(d), LONG);
    para_dataset_free(d);
}

static void tokens_are_read_from_any_place(void **state)
{
    para_dataset *d = open_counting(*state, 11);
    int32_t ids[4] = {-1, -1, -1, -1};
    para_error err = {0};
    must(para_dataset_read(d, 8, 3, ids, &err), err);
    assert_true(ids[0] == 8 && ids[1] == 9 && ids[2] == 10 && ids[3] == -1);
    must(para_dataset_read(d, 11, 0, ids, &err), err);
    assert_int_equal(para_dataset_read(d, 8, 4, ids, &err), PARA_ERANGE);
    assert_non_null(strstr(err.message, "4 tokens from number 8 on, of 11"));
    assert_int_equal(para_dataset_read(d, -1, 1, ids, NULL), PARA_ERANGE);
    assert_int_equal(para_dataset_read(d, 3, -1, ids, NULL), PARA_ERANGE);
    assert_int_equal(para_dataset_read(d, INT64_MAX, INT64_MAX, ids, NULL), PARA_ERANGE);
    assert_int_equal(ids[0], 8);
    para_dataset_free(d);
}

/* 11 tokens hold the windows 0-3, 3-6, 6-9 of seq 3 and its target; then the first comes again. */
static void sequential_windows_wrap(void **state)
{
    para_dataset *d = open_counting(*state, 11);
    assert_int_equal(para_dataset_windows(d, 3), 3);
    assert_int_equal(para_dataset_windows(d, 5), 2);
    assert_int_equal(para_dataset_windows(d, 10), 1);
    assert_int_equal(para_dataset_windows(d, 11), 0);
    static const int32_t starts[] = {0, 3, 6};
    int32_t tokens[6], targets[6];
    para_error err = {0};
    for (int64_t step = 0; step < 9; step++) {
        must(para_dataset_batch(d, 2, 3, step, 5, true, tokens, targets, &err), err);
        for (int64_t i = 0; i < 6; i++) {
            assert_int_equal(tokens[i], starts[(2 * step + i / 3) % 3] + i % 3);
            assert_int_equal(targets[i], tokens[i] + 1);
        }
    }
    must(para_dataset_batch(d, 2, 3, INT64_MAX, 5, true, tokens, targets, &err), err);
    assert_int_equal(tokens[0], starts[(int64_t)((2 * ((unsigned __int128)INT64_MAX)) % 3)]);
    para_dataset_free(d);
}

/* Random starts depend on seed, step and row alone, and reach every place, first and last too. */
static void random_windows_are_keyed(void **state)
{
    enum { TOKENS = 20, SEQ = 4, BATCH = 8, STEPS = 200 };
    para_dataset *d = open_counting(*state, TOKENS);
    int32_t a[BATCH * SEQ], b[BATCH * SEQ], wide[2 * BATCH * SEQ], targets[2 * BATCH * SEQ];
    int seen[TOKENS] = {0}, same_seed = 0, same_step = 0;
    para_error err = {0};
    for (int64_t step = 0; step < STEPS; step++) {
        must(para_dataset_batch(d, 2 * BATCH, SEQ, step, 1, false, wide, targets, &err), err);
        must(para_dataset_batch(d, BATCH, SEQ, step, 1, false, a, targets, &err), err);
        assert_memory_equal(a, wide, sizeof a);
        for (int row = 0; row < BATCH; row++) {
            seen[a[row * SEQ]]++;
            for (int i = 0; i < SEQ; i++) {
                assert_int_equal(a[row * SEQ + i], a[row * SEQ] + i);
                assert_int_equal(targets[row * SEQ + i], a[row * SEQ + i] + 1);
            }
        }
        must(para_dataset_batch(d, BATCH, SEQ, step, 2, false, b, targets, &err), err);
        same_seed += memcmp(a, b, sizeof a) == 0;
        must(para_dataset_batch(d, BATCH, SEQ, step + 1, 1, false, b, targets, &err), err);
        same_step += memcmp(a, b, sizeof a) == 0;
    }
    assert_int_equal(same_seed + same_step, 0);
    for (int start = 0; start < TOKENS; start++)
        assert_in_range(seen[start], start < TOKENS - SEQ ? 50 : 0, start < TOKENS - SEQ ? 150 : 0);
    para_dataset_free(d);
}

static void parts_are_views(void **state)
{
    para_dataset *d = open_counting(*state, 10), *part = NULL, *part_of_part = NULL;
    para_error err = {0};
    must(para_dataset_part(&part, d, 4, 10, &err), err);
    must(para_dataset_part(&part_of_part, part, 1, 4, &err), err);
    assert_int_equal(para_dataset_tokens(part), 6);
    int32_t tokens[5], targets[5];
    must(para_dataset_batch(part, 1, 5, 0, 0, false, tokens, targets, &err), err);
    assert_int_equal(tokens[0], 4);
    assert_int_equal(targets[4], 9);
    must(para_dataset_batch(part_of_part, 1, 2, 3, 0, true, tokens, targets, &err), err);
    assert_int_equal(tokens[0], 5);
    assert_int_equal(targets[1], 7);
    para_dataset *bad = NULL;
    assert_int_equal(para_dataset_part(&bad, part, 0, 7, &err), PARA_ERANGE);
    assert_int_equal(para_dataset_part(&bad, part, -1, 2, &err), PARA_ERANGE);
    assert_int_equal(para_dataset_part(&bad, part, 3, 2, &err), PARA_ERANGE);
    assert_null(bad);
    para_dataset_free(part_of_part);
    para_dataset_free(part);
    para_dataset_free(d);
}

static void short_sequences_are_refused(void **state)
{
    para_dataset *d = open_counting(*state, 5);
    int32_t tokens[6] = {-1, -1, -1, -1, -1, -1}, targets[6];
    para_error err = {0};
    assert_int_equal(para_dataset_batch(d, 1, 5, 0, 0, false, tokens, targets, &err), PARA_ERANGE);
    assert_int_equal(para_dataset_batch(d, 1, 5, 0, 0, true, tokens, targets, &err), PARA_ERANGE);
    assert_string_equal(err.message, "token data: 5 tokens are too few for a window of 5 and its target");
    assert_int_equal(para_dataset_batch(d, 0, 4, 0, 0, true, tokens, targets, &err), PARA_EINVAL);
    assert_int_equal(para_dataset_batch(d, 1, 0, 0, 0, true, tokens, targets, &err), PARA_EINVAL);
    assert_int_equal(para_dataset_batch(d, 1, 4, -1, 0, true, tokens, targets, &err), PARA_EINVAL);
    assert_int_equal(tokens[0], -1);
    must(para_dataset_batch(d, 1, 4, 0, 0, false, tokens, targets, &err), err);
    assert_int_equal(tokens[0], 0);
    para_dataset_free(d);
    d = open_counting(*state, 0);
    assert_int_equal(para_dataset_tokens(d), 0);
    assert_int_equal(para_dataset_windows(d, 1), 0);
    assert_int_equal(para_dataset_batch(d, 1, 1, 0, 0, true, tokens, targets, &err), PARA_ERANGE);
    para_dataset_free(d);
}

static void a_real_text(void **state)
{
    (void)state;
    char *path = data_file("text/tinyshakespeare.txt");
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    long bytes = ftell(f);
    para_dataset *d = open_one(path, 256);
    assert_int_equal(para_dataset_tokens(d), bytes);
    char text[65] = {0};
    int32_t tokens[64], targets[64];
    para_error err = {0};
    must(para_dataset_batch(d, 1, 64, 100, 0, true, tokens, targets, &err), err);
    assert_int_equal(fseek(f, 6400, SEEK_SET), 0);
    assert_int_equal(fread(text, 1, 65, f), 65);
    for (int i = 0; i < 64; i++) {
        assert_int_equal(tokens[i], (unsigned char)text[i]);
        assert_int_equal(targets[i], (unsigned char)text[i + 1]);
    }
    fclose(f);
    para_dataset_free(d);
    free(path);
}

/* A tokenizer of more tokens than 16 bits can tell apart: "a" is token 70000. */
static void ids_may_be_large(void **state)
{
    struct place *p = *state;
    enum { TOKENS = 70000 };
    char *path = path_join(p->folder, "tokenizer.json");
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fputs("{\"model\": {\"type\": \"BPE\", \"merges\": [], \"vocab\": {", f);
    for (int i = 0; i < TOKENS; i++)
        fprintf(f, "\"t%d\": %d, ", i, i);
    fprintf(f, "\"a\": %d}}}", TOKENS);
    assert_int_equal(fclose(f), 0);
    para_error err = {0};
    para_tokenizer *t;
    para_dataset *d, *part;
    int32_t ids[3];
    must(para_tokenizer_open(&t, p->folder, &err), err);
    write_bytes(p->text, "aaaa", 4);
    const char *const paths[] = {p->text};
    must(para_dataset_encode(&d, paths, 1, t, TOKENS + 1, &err), err);
    must(para_dataset_part(&part, d, 1, 4, &err), err);
    assert_int_equal(para_dataset_tokens(part), 3);
    must(para_dataset_read(part, 0, 3, ids, &err), err);
    for (int i = 0; i < 3; i++)
        assert_int_equal(ids[i], TOKENS);
    para_dataset_free(part);
    para_dataset_free(d);
    para_tokenizer_free(t);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(files_make_one_sequence, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad_files_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(long_files_are_read_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(tokens_are_read_from_any_place, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sequential_windows_wrap, set_up, tear_down),
        cmocka_unit_test_setup_teardown(random_windows_are_keyed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(parts_are_views, set_up, tear_down),
        cmocka_unit_test_setup_teardown(short_sequences_are_refused, set_up, tear_down),
        cmocka_unit_test(a_real_text),
        cmocka_unit_test_setup_teardown(ids_may_be_large, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
