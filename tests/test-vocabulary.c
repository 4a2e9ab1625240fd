/* vocab.json and merges.txt: what doesn't fit is refused by name, and entries that no merge makes are special. The
 * small vocabulary that is committed is changed in one place each time. */
#include "tests/support.h"

#include <paragraph/tokenizer.h>

#include <stdlib.h>
#include <string.h>

struct place {
    char *small;                   /* the folder of the small vocabulary */
    char *folder, *vocab, *merges; /* a temporary one */
};

static int set_up(void **state)
{
    static struct place p;
    p.small = test_file("golden/tokenizer-small");
    p.folder = temp_dir();
    p.vocab = path_join(p.folder, "vocab.json");
    p.merges = path_join(p.folder, "merges.txt");
    *state = &p;
    return 0;
}

static int tear_down(void **state)
{
    struct place *p = *state;
    free(p->vocab);
    free(p->merges);
    free(p->small);
    temp_dir_remove(p->folder);
    return 0;
}

static void write_text(const char *path, const char *text, size_t bytes)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, bytes, f), bytes);
    assert_int_equal(fclose(f), 0);
}

/* Copy a file of the small vocabulary into the temporary folder, `old` in it replaced by `new`. */
static void copy_changed(const struct place *p, const char *name, const char *old, const char *new)
{
    size_t bytes;
    char *from = path_join(p->small, name), *to = path_join(p->folder, name), *text = read_whole(from, &bytes);
    char *at = strstr(text, old);
    assert_non_null(at);
    size_t before = (size_t)(at - text), room = bytes + strlen(new);
    char *changed = must_alloc(room + 1);
    int length = snprintf(changed, room + 1, "%.*s%s%s", (int)before, text, new, at + strlen(old));
    write_text(to, changed, (size_t)length);
    free(changed);
    free(text);
    free(from);
    free(to);
}

static void assert_refused(const struct place *p, int code, const char *file, const char *expected)
{
    para_error err = {0};
    para_tokenizer *t = NULL;
    assert_int_equal(para_tokenizer_open(&t, p->folder, &err), code);
    assert_null(t);
    assert_int_equal(err.code, code);
    if (strncmp(err.message, file, strlen(file)) != 0 || !strstr(err.message, expected))
        fail_msg("the message \"%s\" doesn't say \"%s\" of %s", err.message, expected, file);
}

/* Change a vocab.json, or a merges.txt, and expect the message. */
static void assert_refused_vocab(const struct place *p, const char *old, const char *new, const char *expected)
{
    copy_changed(p, "merges.txt", "#version: 0.2", "#version: 0.2");
    copy_changed(p, "vocab.json", old, new);
    assert_refused(p, PARA_EFORMAT, p->vocab, expected);
}

static void assert_refused_merges(const struct place *p, const char *old, const char *new, const char *expected)
{
    copy_changed(p, "vocab.json", "{", "{");
    copy_changed(p, "merges.txt", old, new);
    assert_refused(p, PARA_EFORMAT, p->merges, expected);
}

static void bad_vocabularies_are_refused(void **state)
{
    const struct place *p = *state;
    assert_refused(p, PARA_EIO, p->vocab, "can't open");
    assert_refused_vocab(p, "{", "{{", ":1:");
    assert_refused_vocab(p, "{", "[] {", "file expected near '{'");
    assert_refused_vocab(p, "\"!\": 2", "\"!\": 3", "both have id 3");
    assert_refused_vocab(p, "\"!\": 2", "\"!\": 600", "entry \"!\" has id 600; expected 0 to 599, each once, for 600");
    assert_refused_vocab(p, "\"!\": 2", "\"!\": -1", "entry \"!\" has id -1");
    assert_refused_vocab(p, "\"!\": 2", "\"!\": 2.0", "entry \"!\" has no whole number, expected an id");
    assert_refused_vocab(p, "\"!\": 2", "\"!\": null", "entry \"!\" has no whole number");
    assert_refused_vocab(p, "\"!\": 2", "\"!\": 99999999999999999999", "integer");
    assert_refused_vocab(p, "\"!\": 2", "\"!!!!!\": 2", "no entry \"!\", which is byte 33; expected all 256");
    assert_refused_vocab(p, "\"<|pad|>\": 1", "\"\": 1", "the entry with id 1 is empty");
    assert_refused_vocab(p, "\"<|pad|>\": 1", "\"!\": 1", "duplicate object key");
}

static void bad_merges_are_refused(void **state)
{
    const struct place *p = *state;
    copy_changed(p, "vocab.json", "{", "{");
    assert_refused(p, PARA_EIO, p->merges, "can't open");
    static const char expected[] = "expected two tokens with one space between";
    assert_refused_merges(p, "\na a\n", "\n\n", expected);
    assert_refused_merges(p, "\na a\n", "\na a \n", ":8: found \"a a \", expected two tokens");
    assert_refused_merges(p, "\na a\n", "\n a a\n", expected);
    assert_refused_merges(p, "\na a\n", "\na  a\n", expected);
    assert_refused_merges(p, "\na a\n", "\nasdf\n", ":8: found \"asdf\"");
    assert_refused_merges(p, "\na a\n", "\nqzx a\n", ":8: \"qzx\" is no entry of vocab.json");
    assert_refused_merges(p, "\na a\n", "\na qzx\n", ":8: \"qzx\" is no entry of vocab.json");
    assert_refused_merges(p, "\na a\n", "\nq z\n", ":8: \"q\" and \"z\" make \"qz\", no entry of vocab.json");
    assert_refused_merges(p, "\na b\n", "\na a\n", ":39: the pair \"a a\" stands in line 8 already");
    copy_changed(p, "vocab.json", "{", "{");
    write_text(p->merges, "a a\na\0 b\n", 9);
    assert_refused(p, PARA_EFORMAT, p->merges, ":2: found a zero byte");
    write_text(p->merges, "< \xe4\xb8\xad\n", 6);
    copy_changed(p, "vocab.json", "\"<|pad|>\": 1,", "\"\\u4e2d\": 1, \"<\\u4e2d\": 600,");
    assert_refused(p, PARA_EFORMAT, p->vocab, "is made by a merge, but not all its characters stand for bytes");
}

/* Open the temporary folder's tokenizer. */
static para_tokenizer *open_changed(const struct place *p)
{
    para_error err = {0};
    para_tokenizer *t;
    must(para_tokenizer_open(&t, p->folder, &err), err);
    return t;
}

static void assert_ids(const para_tokenizer *t, const char *text, const int32_t *expected, int64_t expected_count)
{
    para_error err = {0};
    int32_t *ids;
    int64_t count;
    must(para_tokenizer_encode(t, text, strlen(text), true, &ids, &count, &err), err);
    assert_int_equal(count, expected_count);
    if (count > 0)
        assert_memory_equal(ids, expected, (size_t)count * sizeof *ids);
    else
        assert_null(ids);
    para_tokens_free(ids);
}

/* Lines may end as Windows ends them, and the version may be left out. "aaa" has the id that was that of <|pad|>, 1. */
static void other_line_ends_are_read(void **state)
{
    struct place *p = *state;
    static const char merges[] = "a a\r\naa a\r\n";
    copy_changed(p, "vocab.json", "\"<|pad|>\": 1,", "\"aaa\": 1,");
    write_text(p->merges, merges, strlen(merges));
    para_tokenizer *t = open_changed(p);
    assert_ids(t, "aaa", (const int32_t[]){1}, 1);
    assert_ids(t, "", NULL, 0);
    para_tokenizer_free(t);
}

/* Of special tokens at one place the longest counts, even if it comes in two blocks. "!" is 2 in the file. */
static void the_longest_special_token_counts(void **state)
{
    struct place *p = *state;
    copy_changed(p, "merges.txt", "#version: 0.2", "#version: 0.2");
    copy_changed(p, "vocab.json", "\"<|pad|>\": 1,", "\"<|endoftext|>!!\": 1,");
    para_tokenizer *t = open_changed(p);
    assert_int_equal(para_tokenizer_special(t, "<|endoftext|>!!"), 1);
    assert_int_equal(para_tokenizer_special(t, "<|endoftext|>"), 0);
    assert_int_equal(para_tokenizer_special(t, "<|endoftext|"), -1);
    assert_int_equal(para_tokenizer_special(t, "!"), -1);
    static const char text[] = "!<|endoftext|>!!<|endoftext|>!<|endoftext|>!!!";
    static const int32_t expected[] = {2, 1, 0, 2, 1, 2};
    assert_ids(t, text, expected, 6);
    para_encoder *e;
    para_error err = {0};
    must(para_encoder_new(&e, t, true, &err), err);
    for (size_t cut = 0; cut <= strlen(text); cut++) {
        const int32_t *ids;
        int32_t all[sizeof text];
        int64_t more, count = 0;
        for (int call = 0; call < 3; call++) {
            if (call == 2)
                must(para_encoder_finish(e, &ids, &more, &err), err);
            else
                must(para_encoder_feed(e, call ? text + cut : text, call ? strlen(text) - cut : cut, &ids, &more, &err),
                     err);
            for (int64_t i = 0; i < more; i++)
                all[count++] = ids[i];
        }
        assert_int_equal(count, 6);
        assert_memory_equal(all, expected, sizeof expected);
    }
    para_encoder_free(e);
    para_tokenizer_free(t);
}

/* Tokens that companions add have the ids behind those of vocab.json. */
static void companions_add_tokens(void **state)
{
    struct place *p = *state;
    static const char config[] =
        "{\"added_tokens_decoder\": {\"600\": {\"content\": \"<|user|>\", \"special\": true}}}";
    char *path = path_join(p->folder, "tokenizer_config.json"), *added = path_join(p->folder, "added_tokens.json");
    copy_changed(p, "merges.txt", "#version: 0.2", "#version: 0.2");
    copy_changed(p, "vocab.json", "{", "{");
    write_text(path, config, strlen(config));
    write_text(added, "{\"<|tool|>\": 600}", 17);
    para_tokenizer *t = open_changed(p);
    assert_ids(t, "!<|user|>!", (const int32_t[]){2, 600, 2}, 3);
    para_tokenizer_free(t);
    write_text(path, "{}", 2);
    t = open_changed(p);
    assert_ids(t, "!<|tool|>!", (const int32_t[]){2, 600, 2}, 3);
    para_tokenizer_free(t);
    write_text(added, "{\"!\": 600}", 10);
    assert_refused(p, PARA_EFORMAT, added, "entry \"!\" has another id in vocab.json");
    free(path);
    free(added);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(bad_vocabularies_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad_merges_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_line_ends_are_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_longest_special_token_counts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(companions_add_tokens, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
