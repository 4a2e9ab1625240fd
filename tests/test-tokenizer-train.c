/* Training a tokenizer: which pair is merged, by hand; what is written is read again. tests/interop compares with
 * `tokenizers`. */
#include "tests/support.h"

#include <paragraph/tokenizer.h>

#include <stdlib.h>
#include <string.h>

struct place {
    char *folder, *text, *out;
};

static int set_up(void **state)
{
    static struct place p;
    p.folder = temp_dir();
    p.text = path_join(p.folder, "text");
    p.out = path_join(p.folder, "out");
    *state = &p;
    return 0;
}

static int tear_down(void **state)
{
    struct place *p = *state;
    temp_dir_remove(p->out);
    free(p->text);
    temp_dir_remove(p->folder);
    return 0;
}

static void write_text(const struct place *p, const char *text)
{
    FILE *f = fopen(p->text, "wb");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static int64_t train(const struct place *p, const char *text, int64_t vocab, int64_t least)
{
    para_error err = {0};
    para_tokenizer_training training = para_tokenizer_training_default();
    const char *const paths[] = {p->text};
    int64_t made;
    write_text(p, text);
    training.vocab = vocab;
    training.least = least;
    must(para_tokenizer_train(p->out, paths, 1, &training, &made, &err), err);
    return made;
}

static void assert_merges(const struct place *p, const char *expected)
{
    size_t bytes;
    char *path = path_join(p->out, "merges.txt"), *merges = read_whole(path, &bytes);
    assert_int_equal(bytes, strlen(expected));
    assert_memory_equal(merges, expected, bytes);
    free(merges);
    free(path);
}

/* In "ab ab abc bc": ab three times, bc twice, then "Ġ" before "ab" twice; "Ġab" before c once is too few. A space is
 * "Ġ", which has the greater id, so that of pairs as frequent those of letters come first. */
static void frequent_pairs_come_first(void **state)
{
    struct place *p = *state;
    assert_int_equal(train(p, "ab ab abc bc", 1000, 2), 257 + 2);
    assert_merges(p, "#version: 0.2\na b\n\xc4\xa0 ab\n");
    assert_int_equal(train(p, "ab ab abc bc", 258, 1), 258);
    assert_merges(p, "#version: 0.2\na b\n");
}

/* Of pairs as frequent that with the smallest ids comes first: "xy" and "ab" stand twice each. */
static void small_ids_come_first(void **state)
{
    struct place *p = *state;
    train(p, "xy\nab\nxy\nab\n", 258, 2);
    assert_merges(p, "#version: 0.2\na b\n");
}

/* A run of one letter is merged from the left: "aaaa" is two pairs, then one. */
static void runs_are_merged_from_the_left(void **state)
{
    struct place *p = *state;
    train(p, "aaaa", 1000, 1);
    assert_merges(p, "#version: 0.2\na a\naa aa\n");
}

static void what_is_written_is_read(void **state)
{
    struct place *p = *state;
    para_error err = {0};
    para_tokenizer *t;
    int32_t *ids;
    int64_t count;
    train(p, "ab ab abc bc", 1000, 2);
    must(para_tokenizer_open(&t, p->out, &err), err);
    assert_int_equal(para_tokenizer_vocab(t), 259);
    assert_int_equal(para_tokenizer_special(t, "<|endoftext|>"), 0);
    must(para_tokenizer_encode(t, "ab ab<|endoftext|>", 18, true, &ids, &count, &err), err);
    assert_int_equal(count, 3);
    assert_int_equal(ids[0], 257);
    assert_int_equal(ids[1], 258);
    assert_int_equal(ids[2], 0);
    para_tokens_free(ids);
    para_tokenizer_free(t);
}

static void bad_requests_are_refused(void **state)
{
    struct place *p = *state;
    para_error err = {0};
    para_tokenizer_training training = para_tokenizer_training_default();
    const char *const paths[] = {p->text}, *const missing[] = {p->out}, *const twice[] = {"x", "x"};
    int64_t made;
    train(p, "", 257, 2);
    assert_int_equal(para_tokenizer_train(p->out, missing, 1, &training, &made, &err), PARA_EIO);
    assert_int_equal(para_tokenizer_train(p->out, paths, 0, &training, &made, &err), PARA_EINVAL);
    training.vocab = 256;
    assert_int_equal(para_tokenizer_train(p->out, paths, 1, &training, &made, &err), PARA_EINVAL);
    assert_non_null(strstr(err.message, "a vocabulary of 256, expected at least 257"));
    training.vocab = 1000;
    training.specials = twice;
    training.special_count = 2;
    assert_int_equal(para_tokenizer_train(p->out, paths, 1, &training, &made, &err), PARA_EINVAL);
    assert_non_null(strstr(err.message, "a special token is \"x\", expected texts, each once"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(frequent_pairs_come_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(small_ids_come_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(runs_are_merged_from_the_left, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_written_is_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad_requests_are_refused, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
