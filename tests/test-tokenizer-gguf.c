/* Tokenizers of GGUF files: merges by scores, tokens by their kinds, and what is refused, by name. tests/interop has
 * llama.cpp's own cases. */
#include "tests/support.h"

#include "io/gguf.h"

#include <paragraph/tokenizer.h>

#include <stdlib.h>
#include <string.h>

#define MARK "\xe2\x96\x81"

struct place {
    char *folder, *path;
    FILE *file;
};

static int set_up(void **state)
{
    static struct place p;
    p.folder = temp_dir();
    p.path = path_join(p.folder, "x.gguf");
    *state = &p;
    return 0;
}

static int tear_down(void **state)
{
    struct place *p = *state;
    free(p->path);
    temp_dir_remove(p->folder);
    return 0;
}

/* --- writing --- */

static void put_number(struct place *p, uint64_t number, int bytes)
{
    for (int i = 0; i < bytes; i++)
        putc((int)(number >> (8 * i) & 255), p->file);
}

static void put_text(struct place *p, const char *text)
{
    put_number(p, strlen(text), 8);
    fputs(text, p->file);
}

static void begin(struct place *p, int keys)
{
    p->file = fopen(p->path, "wb");
    assert_non_null(p->file);
    fputs("GGUF", p->file);
    put_number(p, 3, 4);
    put_number(p, 0, 8);
    put_number(p, (uint64_t)keys, 8);
}

static void key_text(struct place *p, const char *key, const char *value)
{
    put_text(p, key);
    put_number(p, PARA_GGUF_TEXT, 4);
    put_text(p, value);
}

static void key_whole(struct place *p, const char *key, unsigned value)
{
    put_text(p, key);
    put_number(p, PARA_GGUF_U32, 4);
    put_number(p, value, 4);
}

static void key_list(struct place *p, const char *key, enum para_gguf_type type, int count)
{
    put_text(p, key);
    put_number(p, PARA_GGUF_LIST, 4);
    put_number(p, (uint64_t)type, 4);
    put_number(p, (uint64_t)count, 8);
}

struct token {
    const char *text;
    float score;
    int kind;
};

static void put_tokens(struct place *p, const struct token *tokens, int count)
{
    key_list(p, "tokenizer.ggml.tokens", PARA_GGUF_TEXT, count);
    for (int i = 0; i < count; i++)
        put_text(p, tokens[i].text);
    key_list(p, "tokenizer.ggml.scores", PARA_GGUF_F32, count);
    for (int i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &tokens[i].score, sizeof bits);
        put_number(p, bits, 4);
    }
    key_list(p, "tokenizer.ggml.token_type", PARA_GGUF_I32, count);
    for (int i = 0; i < count; i++)
        put_number(p, (uint64_t)tokens[i].kind, 4);
}

/* --- what is made of it --- */

static para_tokenizer *open_file(struct place *p)
{
    para_error err = {0};
    para_tokenizer *t;
    assert_int_equal(fclose(p->file), 0);
    must(para_tokenizer_open(&t, p->path, &err), err);
    return t;
}

static void assert_ids(const para_tokenizer *t, const char *text, bool specials, const char *expected)
{
    para_error err = {0};
    char found[100] = "";
    int32_t *ids;
    int64_t count;
    must(para_tokenizer_encode(t, text, strlen(text), specials, &ids, &count, &err), err);
    assert_true(count < 20);
    for (int64_t i = 0; i < count; i++)
        sprintf(found + strlen(found), "%s%d", i ? " " : "", (int)ids[i]);
    assert_string_equal(found, expected);
    para_tokens_free(ids);
}

/* "aba" is made of ab and a, or of a and ba. "<x>" is a user's, "</s>" is control.
 */
static const struct token letters[] = {{"<unk>", 0, 2}, {"<s>", 0, 3}, {"</s>", 0, 3}, {"<0x0A>", 0, 6},
                                       {MARK, -9, 1},   {"a", -8, 1},  {"b", -8, 1},   {"ab", -1, 1},
                                       {"aba", -3, 1},  {"ba", -2, 1}, {"<x>", 0, 4},  {MARK "ab", -4, 1}};
enum { LETTERS = sizeof letters / sizeof letters[0] };

static void scores_say_what_is_merged(void **state)
{
    struct place *p = *state;
    begin(p, 6);
    key_text(p, "tokenizer.ggml.model", "llama");
    put_tokens(p, letters, LETTERS);
    key_whole(p, "tokenizer.ggml.bos_token_id", 1);
    key_whole(p, "tokenizer.ggml.unknown_token_id", 0);
    para_tokenizer *t = open_file(p);
    int64_t count;
    size_t bytes;
    assert_int_equal(para_tokenizer_vocab(t), LETTERS);
    assert_int_equal(para_tokenizer_before(t, &count)[0], 1);
    assert_int_equal(count, 1);
    assert_ids(t, "ab b", false, "11 4 6");
    assert_ids(t, "ababa", false, "11 8");
    assert_ids(t, "\nc", false, "4 3 0");
    assert_ids(t, "b<x>b</s>", false, "4 6 10 4 6 0");
    assert_ids(t, "b</s>", true, "4 6 2");
    assert_memory_equal(para_tokenizer_token(t, 11, &bytes), " ab", 3);
    assert_memory_equal(para_tokenizer_token(t, 3, &bytes), "\n", 1);
    para_tokenizer_free(t);
}

/* Added tokens of Phi-3 take spaces behind them along, but for three; only the model's name says so. */
static void names_mean_spaces_taken_along(void **state)
{
    struct place *p = *state;
    static const struct token tokens[] = {{"<unk>", 0, 2}, {"<s>", 0, 3}, {"</s>", 0, 3},
                                          {"<x>", 0, 4},   {MARK, -9, 1}, {"a", -8, 1}};
    static const char *const names[] = {"A Phi-3 mini", "my_phi3", "phi-4"}, *const expected[] = {
                                                                                 "2 4 5 3 4 5 1 4 4 5",
                                                                                 "2 4 5 3 4 5 1 4 4 5",
                                                                                 "2 4 4 5 3 4 4 5 1 4 4 5"};
    for (int i = 0; i < 3; i++) {
        begin(p, 5);
        key_text(p, "tokenizer.ggml.model", "llama");
        put_tokens(p, tokens, 6);
        key_text(p, "general.name", names[i]);
        para_tokenizer *t = open_file(p);
        assert_ids(t, "</s> a<x> a<s> a", true, expected[i]);
        para_tokenizer_free(t);
    }
}

static void assert_refused(struct place *p, int code, const char *expected)
{
    para_error err = {0};
    para_tokenizer *t = NULL;
    assert_int_equal(fclose(p->file), 0);
    assert_int_equal(para_tokenizer_open(&t, p->path, &err), code);
    assert_null(t);
    if (strncmp(err.message, p->path, strlen(p->path)) != 0 || !strstr(err.message, expected))
        fail_msg("the message \"%s\" doesn't say \"%s\"", err.message, expected);
}

static void what_is_wrong_is_named(void **state)
{
    struct place *p = *state;
    static const struct token twice[] = {{"a", 0, 1}, {"a", 0, 1}}, empty[] = {{"a", 0, 1}, {"", 0, 1}};
    begin(p, 1);
    key_text(p, "tokenizer.ggml.model", "t5");
    assert_refused(p, PARA_ESUPPORT, "tokenizer.ggml.model \"t5\" is not supported; supported are gpt2, llama");
    begin(p, 5);
    key_text(p, "tokenizer.ggml.model", "gpt2");
    put_tokens(p, letters, LETTERS);
    key_text(p, "tokenizer.ggml.pre", "what");
    assert_refused(p, PARA_ESUPPORT, "tokenizer.ggml.pre \"what\" is not supported; supported are gpt-2, ");
    begin(p, 4);
    key_text(p, "tokenizer.ggml.model", "llama");
    put_tokens(p, twice, 2);
    assert_refused(p, PARA_EFORMAT, "token 1, \"a\", is there twice");
    begin(p, 4);
    key_text(p, "tokenizer.ggml.model", "llama");
    put_tokens(p, empty, 2);
    assert_refused(p, PARA_EFORMAT, "token 1, \"\", is empty, expected text");
    begin(p, 5);
    key_text(p, "tokenizer.ggml.model", "llama");
    put_tokens(p, letters, LETTERS);
    key_whole(p, "tokenizer.ggml.bos_token_id", LETTERS);
    assert_refused(p, PARA_EFORMAT, "tokenizer.ggml.bos_token_id is 12, expected a token, 0 to 11");
    begin(p, 2);
    key_text(p, "tokenizer.ggml.model", "llama");
    key_list(p, "tokenizer.ggml.tokens", PARA_GGUF_TEXT, 0);
    assert_refused(p, PARA_EFORMAT, "0 tokens, expected 1 to 2^31 - 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(scores_say_what_is_merged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(names_mean_spaces_taken_along, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_wrong_is_named, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
