/* tokenizer.json: what each part does, with vocabularies of a few letters, and what is refused, by name. Ids are those
 * of `tokenizers`; tests/interop compares many more. */
#include "tests/support.h"

#include <paragraph/tokenizer.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int set_up(void **state)
{
    return make_scratch(state, "tokenizer.json");
}

/* A file of parts, with ' for ". */
static void write_json(const struct scratch *p, const char *parts, const char *model)
{
    FILE *f = fopen(p->path, "wb");
    assert_non_null(f);
    const char *const texts[] = {"{", parts, "'model': ", model, "}"};
    for (size_t t = 0; t < sizeof texts / sizeof texts[0]; t++)
        for (const char *at = texts[t]; *at; at++)
            putc(*at == '\'' ? '"' : *at, f);
    assert_int_equal(fclose(f), 0);
}

static para_tokenizer *open_json(const struct scratch *p, const char *parts, const char *model)
{
    para_error err = {0};
    para_tokenizer *t;
    write_json(p, parts, model);
    must(para_tokenizer_open(&t, p->folder, &err), err);
    return t;
}

/* Words of the letters a, b, c, A with a mark for spaces, as SentencePiece has them. */
#define MARK "\xe2\x96\x81"
#define LETTERS                                                                                                        \
    "{'type': 'BPE', 'unk_token': '<unk>', 'fuse_unk': true, 'vocab': {'<unk>': 0, '<s>': 1, '" MARK                   \
    "': 2, 'a': 3, 'b': 4, 'c': 5, 'ab': 6, '" MARK "ab': 7, 'A\xcc\x8a': 8, '<0x0A>': 9}, 'merges': ['a b', ['" MARK  \
    "', 'ab']]}"
#define LLAMA                                                                                                          \
    "'normalizer': {'type': 'Sequence', 'normalizers': [{'type': 'Prepend', 'prepend': '" MARK                         \
    "'}, {'type': 'Replace', 'pattern': {'String': ' '}, 'content': '" MARK "'}]},"
#define SPACES                                                                                                         \
    "'decoder': {'type': 'Sequence', 'decoders': [{'type': 'Replace', 'pattern': {'String': '" MARK                    \
    "'}, 'content': ' '}, {'type': 'ByteFallback'}, {'type': 'Fuse'}, {'type': 'Strip', 'content': ' ', 'start': 1, "  \
    "'stop': 0}]},"
#define START "'added_tokens': [{'id': 1, 'content': '<s>', 'special': true, 'normalized': false}],"

enum { MOST = 12 };

static void assert_ids(const para_tokenizer *t, const char *text, bool specials, const char *expected)
{
    para_error err = {0};
    char found[200] = "";
    int32_t *ids;
    int64_t count;
    must(para_tokenizer_encode(t, text, strlen(text), specials, &ids, &count, &err), err);
    assert_true(count <= MOST);
    for (int64_t i = 0; i < count; i++)
        sprintf(found + strlen(found), "%s%d", i ? " " : "", (int)ids[i]);
    assert_string_equal(found, expected);
    para_tokens_free(ids);
}

static void assert_text(const para_tokenizer *t, const int32_t *ids, int count, const char *expected)
{
    para_decoder *d;
    para_error err = {0};
    char all[100];
    const char *piece;
    size_t bytes, length = 0;
    must(para_decoder_new(&d, t, &err), err);
    for (int i = 0; i <= count; i++) {
        if (i < count)
            must(para_decoder_feed(d, ids[i], &piece, &bytes, &err), err);
        else
            para_decoder_finish(d, &piece, &bytes);
        memcpy(all + length, piece, bytes);
        length += bytes;
    }
    all[length] = '\0';
    assert_string_equal(all, expected);
    para_decoder_free(d);
}

static void spaces_are_marks(void **state)
{
    para_tokenizer *t = open_json(*state, START LLAMA SPACES, LETTERS);
    assert_int_equal(para_tokenizer_vocab(t), 10);
    assert_ids(t, "ab ab", false, "7 7");
    assert_ids(t, " abc", false, "2 7 5");
    assert_ids(t, "<s>ab", true, "1 7");
    assert_ids(t, "<s>ab", false, "2 0 6");
    assert_ids(t, "", false, "");
    assert_text(t, (const int32_t[]){7, 7}, 2, "ab ab");
    assert_text(t, (const int32_t[]){2, 2, 7, 9}, 4, "  ab\n");
    para_tokenizer_free(t);
}

static void unknown_characters_are_one_or_many(void **state)
{
    para_tokenizer *t = open_json(*state, "", LETTERS);
    assert_ids(t, "axyzbxc", false, "3 0 4 0 5");
    assert_ids(t, "xy", false, "0");
    para_tokenizer_free(t);
    t = open_json(*state, "", "{'unk_token': 'u', 'vocab': {'u': 0, 'a': 1}, 'merges': []}");
    assert_ids(t, "axya", false, "1 0 0 1");
    para_tokenizer_free(t);
    t = open_json(*state, "", "{'vocab': {'a': 0}, 'merges': []}");
    assert_ids(t, "axya", false, "0 0");
    para_tokenizer_free(t);
}

static void bytes_stand_for_characters(void **state)
{
    para_tokenizer *t = open_json(*state, "",
                                  "{'byte_fallback': true, 'vocab': {'<0xC3>': 0, '<0xA9>': 1, 'a': 2}, "
                                  "'merges': []}");
    assert_ids(t,
               "a\xc3\xa9"
               "a",
               false, "2 0 1 2");
    assert_ids(t, "\xc3\xa8", false, "");
    assert_ids(t, "\xa9", false, "1");
    para_tokenizer_free(t);
}

static void text_is_normalized(void **state)
{
    para_tokenizer *t = open_json(*state, "'normalizer': {'type': 'NFD'},",
                                  "{'vocab': {'A': 0, '\xcc\x8a': 1, 'A\xcc\x8a': 2, "
                                  "'x': 3}, 'merges': ['A \xcc\x8a']}");
    assert_ids(t, "x\xc3\x85x", false, "3 2 3");
    assert_ids(t,
               "x\xc3"
               "Ax",
               false, "3 0 3");
    para_tokenizer_free(t);
}

/* The steps of one tokenizer follow one another. */
static void words_are_cut_in_steps(void **state)
{
    para_tokenizer *t = open_json(
        *state,
        "'pre_tokenizer': {'type': 'Sequence', 'pretokenizers': [{'type': 'Split', 'pattern': {'Regex': '\\\\s'}, "
        "'behavior': 'Removed'}, {'type': 'Split', 'pattern': {'String': 'b'}, 'behavior': 'MergedWithNext'}]},",
        "{'vocab': {'a': 0, 'b': 1, 'ab': 2, 'ba': 3, 'aa': 4}, 'merges': ['a b', 'b a', 'a a']}");
    assert_ids(t, "aab ab", false, "4 1 0 1");
    assert_ids(t, "ba a", false, "3 0");
    para_tokenizer_free(t);
}

static void added_tokens_take_spaces(void **state)
{
    static const char model[] = "{'vocab': {'a': 0, ' ': 1, 'm': 2}, 'merges': []}";
    para_tokenizer *t = open_json(*state, "'added_tokens': [{'id': 3, 'content': 'm', 'lstrip': true}],",
                                  "{'vocab': {'a': 0, ' ': 1, 'x': 2}, 'merges': []}");
    assert_ids(t, "a  m a", false, "0 3 1 0");
    para_tokenizer_free(t);
    t = open_json(*state, "'added_tokens': [{'id': 2, 'content': 'm', 'rstrip': true}],", model);
    assert_ids(t, "a  m  a", false, "0 1 1 2 0");
    para_tokenizer_free(t);
    t = open_json(*state, "'added_tokens': [{'id': 3, 'content': 'ma', 'single_word': true}],", model);
    assert_ids(t, "ma ama ma", false, "3 1 0 2 0 1 3");
    para_tokenizer_free(t);
}

static void templates_stand_around_texts(void **state)
{
    para_tokenizer *t = open_json(
        *state,
        START
        "'post_processor': {'type': 'TemplateProcessing', 'single': [{'SpecialToken': {'id': '<s>'}}, {'Sequence': "
        "{'id': 'A'}}, {'SpecialToken': {'id': 'E'}}], 'special_tokens': {'<s>': {'ids': [1]}, 'E': {'ids': [5, "
        "6]}}},",
        LETTERS);
    int64_t count, length;
    assert_int_equal(para_tokenizer_before(t, &count)[0], 1);
    assert_int_equal(count, 1);
    assert_int_equal(para_tokenizer_after(t, &count)[1], 6);
    assert_int_equal(count, 2);
    for (int again = 0; again < 2; again++) {
        para_error err = {0};
        int32_t *ids;
        const char *text = again ? "<s>a" : "a";
        must(para_tokenizer_prompt(t, text, strlen(text), &ids, &length, &err), err);
        assert_int_equal(length, 2);
        assert_int_equal(ids[0], 1);
        assert_int_equal(ids[1], 3);
        para_tokens_free(ids);
    }
    para_tokenizer_free(t);
}

static void assert_refused(const struct scratch *p, const char *parts, const char *model, int code,
                           const char *expected)
{
    para_error err = {0};
    para_tokenizer *t = NULL;
    write_json(p, parts, model);
    assert_int_equal(para_tokenizer_open(&t, p->folder, &err), code);
    assert_null(t);
    if (strncmp(err.message, p->path, strlen(p->path)) != 0 || !strstr(err.message, expected))
        fail_msg("the message \"%s\" doesn't say \"%s\"", err.message, expected);
}

static void what_is_unknown_is_named(void **state)
{
    const struct scratch *p = *state;
    static const struct {
        const char *parts, *expected;
    } cases[] = {
        {"'normalizer': {'type': 'Nmt'},", "normalizer type \"Nmt\" is not supported; supported are NFC, NFD"},
        {"'pre_tokenizer': {'type': 'BertPreTokenizer'},",
         "pre_tokenizer type \"BertPreTokenizer\" is not supported; supported are ByteLevel, Digits"},
        {"'pre_tokenizer': {'type': 'Sequence', 'pretokenizers': [{'type': 'X'}]},", "pre_tokenizer type \"X\""},
        {"'pre_tokenizer': {'type': 'Split', 'behavior': 'Isolated', 'pattern': {'Regex': '[a&&b]'}},",
         "pre_tokenizer Split: the pattern \"[a&&b]\" has an intersection of classes, which is not supported"},
        {"'pre_tokenizer': {'type': 'Split', 'behavior': 'Isolated', 'pattern': {'Regex': '('}},",
         "the pattern \"(\" is not taken by PCRE2 at byte 1"},
        {"'post_processor': {'type': 'BertProcessing'},", "post_processor type \"BertProcessing\" is not supported"},
        {"'decoder': {'type': 'CTC'},", "decoder type \"CTC\" is not supported; supported are ByteFallback"},
        {"'decoder': {'type': 'Strip', 'content': ' ', 'start': 1, 'stop': 0},", "its place before Fuse"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_refused(p, cases[i].parts, LETTERS, PARA_ESUPPORT, cases[i].expected);
    assert_refused(p, "", "{'type': 'Unigram', 'vocab': []}", PARA_ESUPPORT,
                   "model type \"Unigram\" is not supported; supported is BPE");
    assert_refused(p, "", "{'type': 'BPE', 'end_of_word_suffix': '</w>', 'vocab': {}, 'merges': []}", PARA_ESUPPORT,
                   "model end_of_word_suffix \"</w>\" is not supported");
}

static void what_does_not_fit_is_named(void **state)
{
    const struct scratch *p = *state;
    static const struct {
        const char *parts, *model, *expected;
    } cases[] = {
        {"", "{'type': 'BPE', 'merges': []}", "no model.vocab, expected an object"},
        {"", "{'type': 'BPE', 'vocab': {}, 'merges': []}", "an empty vocabulary"},
        {"", "{'type': 'BPE', 'vocab': {'a': 1}, 'merges': []}", "model.vocab: entry \"a\" has id 1; expected 0 to 0"},
        {"", "{'type': 'BPE', 'vocab': {'a': 0}}", "no model.merges, expected a list"},
        {"", "{'type': 'BPE', 'vocab': {'a': 0}, 'merges': ['a a']}",
         "model.merges[0]: \"a\" and \"a\" make \"aa\", no entry of model.vocab"},
        {"", "{'type': 'BPE', 'vocab': {'a': 0}, 'merges': ['a']}",
         "model.merges[0]: found \"a\", expected two tokens"},
        {"", "{'type': 'BPE', 'vocab': {'a': 0}, 'merges': [7]}", "model.merges[0]: expected \"left right\""},
        {"", "{'type': 'BPE', 'vocab': {'a': 0}, 'merges': [], 'unk_token': 'u'}",
         "model.unk_token \"u\" is no entry of model.vocab"},
        {"'added_tokens': [{'id': 5, 'content': 'x'}],", "{'type': 'BPE', 'vocab': {'a': 0}, 'merges': []}",
         "added_tokens[0]: \"x\" has id 5; expected 0 to 1"},
        {"'added_tokens': [{'id': 1, 'content': 'a'}],", "{'type': 'BPE', 'vocab': {'a': 0, 'b': 1}, 'merges': []}",
         "added_tokens[0]: \"a\" has id 1, and id 0 before"},
        {"'added_tokens': [{'content': 'x'}],", "{'type': 'BPE', 'vocab': {'a': 0}, 'merges': []}",
         "added_tokens[0]: expected \"id\""},
        {"'normalizer': {'type': 'Replace', 'pattern': {'String': ''}, 'content': 'x'},", LETTERS,
         "normalizer Replace: \"pattern\": expected {\"String\": a text}"},
        {"'pre_tokenizer': {'type': 'Metaspace', 'replacement': 'ab'},", LETTERS,
         "pre_tokenizer Metaspace: \"replacement\": expected a character"},
        {"'pre_tokenizer': {'type': 'Split', 'pattern': {'String': 'a'}, 'behavior': 'Lost'},", LETTERS,
         "pre_tokenizer Split: \"behavior\": expected Isolated"},
        {"'post_processor': {'type': 'TemplateProcessing', 'single': []},", LETTERS,
         "post_processor TemplateProcessing: \"single\": expected a list with"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_refused(p, cases[i].parts, cases[i].model, PARA_EFORMAT, cases[i].expected);
}

/* A pattern that tries more than any tokenizer's would is given up, and says so. */
static void patterns_that_never_end_are_given_up(void **state)
{
    para_tokenizer *t =
        open_json(*state,
                  "'pre_tokenizer': {'type': 'Split', 'pattern': {'Regex': '(a|a)*(a|aa)*[cd]'}, 'behavior': "
                  "'Isolated'},",
                  LETTERS);
    char text[41];
    para_error err = {0};
    int32_t *ids;
    int64_t count;
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_int_equal(para_tokenizer_encode(t, text, strlen(text), false, &ids, &count, &err), PARA_ERANGE);
    assert_non_null(strstr(err.message, "a text can't be cut by the tokenizer's pattern"));
    para_tokenizer_free(t);
}

/* Write a file beside tokenizer.json, with ' for "; NULL: take it away. */
static void write_beside(const struct scratch *p, const char *name, const char *text)
{
    char *path = path_join(p->folder, name);
    FILE *f = text ? fopen(path, "wb") : NULL;
    for (const char *at = text; f && *at; at++)
        putc(*at == '\'' ? '"' : *at, f);
    if (text)
        assert_true(f && fclose(f) == 0);
    else
        unlink(path);
    free(path);
}

static const char *const companions[] = {"tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"};

static void write_companions(const struct scratch *p, const char *const texts[3])
{
    for (int i = 0; i < 3; i++)
        write_beside(p, companions[i], texts[i]);
}

static char warned[1000];

static void keep_warning(void *user, int level, const char *line)
{
    (void)user;
    if (level == PARA_LOG_WARNING)
        snprintf(warned, sizeof warned, "%s", line);
}

#define SIX "{'type': 'BPE', 'vocab': {'a': 0, '<': 1, 'x': 2, '>': 3, ' ': 4, '<y>': 5}, 'merges': []}"
#define X_ADDED "'added_tokens': [{'id': 6, 'content': '<x>', 'special': false, 'normalized': true}],"
#define X_FLAGS "{'content': '<x>', 'lstrip': true, 'rstrip': false, 'normalized': false, 'special': true}"
#define X_DECODER "{'added_tokens_decoder': {'6': " X_FLAGS "}}"

/* The ids are those of transformers 5.24. */
static void companions_add_tokens(void **state)
{
    const struct scratch *p = *state;
    static const struct {
        const char *parts, *companions[3];
        bool specials;
        const char *ids;
    } cases[] = {
        {"", {NULL, NULL, NULL}, true, "0 4 1 2 3 4 1 3 4 0"},
        {"", {NULL, NULL, "{'<x>': 6}"}, false, "0 4 6 4 1 3 4 0"},
        {"", {NULL, "{'eos_token': '<x>'}", "{'<x>': 6}"}, true, "0 4 6 4 1 3 4 0"},
        {"", {NULL, "{'eos_token': '<x>'}", "{'<x>': 6}"}, false, "0 4 1 2 3 4 1 3 4 0"},
        {"", {X_DECODER, "{", "{'a': 7}"}, true, "0 6 4 1 3 4 0"},
        {X_ADDED, {X_DECODER, NULL, NULL}, true, "0 6 4 1 3 4 0"},
        {X_ADDED, {NULL, NULL, "{'<x>': 6}"}, false, "0 4 6 4 1 3 4 0"},
        {"", {"{'eos_token': '<y>'}", NULL, NULL}, true, "0 4 1 2 3 4 5 4 0"},
        {"", {"{'eos_token': '<y>'}", NULL, NULL}, false, "0 4 1 2 3 4 1 3 4 0"},
        {"", {"{}", "{'pad_token': {'content': '<y>'}}", NULL}, true, "0 4 1 2 3 4 5 4 0"},
        {"", {NULL, NULL, "{'<x>': 7, ' <': 6}"}, true, "0 6 2 3 6 3 4 0"},
    };
    para_log_set(keep_warning, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_companions(p, cases[i].companions);
        para_tokenizer *t = open_json(p, cases[i].parts, SIX);
        assert_ids(t, "a <x> <y> a", cases[i].specials, cases[i].ids);
        para_tokenizer_free(t);
    }
    assert_string_equal(warned, "");
    write_companions(p, (const char *const[]){"{'pad_token': '<pad>'}", NULL, NULL});
    para_tokenizer *t = open_json(p, "", SIX);
    assert_int_equal(para_tokenizer_vocab(t), 6);
    assert_non_null(strstr(warned, "the pad_token \"<pad>\" of its companions is no token of "));
    para_tokenizer_free(t);
    para_log_set(NULL, NULL);
}

static void assert_companions_refused(const struct scratch *p, const char *parts, const char *const texts[3],
                                      const char *expected)
{
    para_error err = {0};
    para_tokenizer *t;
    write_companions(p, texts);
    write_json(p, parts, SIX);
    assert_int_equal(para_tokenizer_open(&t, p->folder, &err), PARA_EFORMAT);
    if (!strstr(err.message, expected))
        fail_msg("the message \"%s\" doesn't say \"%s\"", err.message, expected);
}

static void companions_that_do_not_fit_are_named(void **state)
{
    const struct scratch *p = *state;
    static const struct {
        const char *parts, *companions[3], *expected;
    } cases[] = {
        {"",
         {NULL, NULL, "{'<x>': 8}"},
         "added_tokens.json: token \"<x>\" has id 8, expected 6, the next after those of"},
        {"", {NULL, NULL, "{'x': 6}"}, "added_tokens.json: token \"x\" has id 6, expected 2 as in "},
        {X_ADDED, {NULL, NULL, "{'<x>': 7}"}, "added_tokens.json: token \"<x>\" has id 7, expected 6 as in "},
        {"", {NULL, NULL, "{'x': '6'}"}, "added_tokens.json: entry \"x\" has no whole number, expected an id"},
        {"", {"{", NULL, NULL}, "tokenizer_config.json:1:"},
        {"", {"{'added_tokens_decoder': []}", NULL, NULL}, "added_tokens_decoder is no object"},
        {"",
         {"{'added_tokens_decoder': {'x': {'content': 'y'}}}", NULL, NULL},
         "tokenizer_config.json: added_tokens_decoder: \"x\": expected an id with {\"content\": TEXT, ...}"},
        {"", {"{'added_tokens_decoder': {'6': {'content': ''}}}", NULL, NULL}, "added_tokens_decoder: \"6\": expected"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_companions_refused(p, cases[i].parts, cases[i].companions, cases[i].expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(spaces_are_marks, set_up, leave_scratch),
        cmocka_unit_test_setup_teardown(unknown_characters_are_one_or_many, set_up, leave_scratch),
        cmocka_unit_test_setup_teardown(bytes_stand_for_characters, set_up, leave_scratch),
        cmocka_unit_test_setup_teardown(text_is_normalized, set_up, leave_scratch),
        cmocka_unit_test_setup_teardown(words_are_cut_in_steps, set_up, leave_scratch),
        cmocka_unit_test_setup_teardown(added_tokens_take_spaces, set_up, leave_scratch),
        cmocka_unit_test_setup_teardown(templates_stand_around_texts, set_up, leave_scratch),
        cmocka_unit_test_setup_teardown(what_is_unknown_is_named, set_up, leave_scratch),
        cmocka_unit_test_setup_teardown(what_does_not_fit_is_named, set_up, leave_scratch),
        cmocka_unit_test_setup_teardown(patterns_that_never_end_are_given_up, set_up, leave_scratch),
        cmocka_unit_test_setup_teardown(companions_add_tokens, set_up, leave_scratch),
        cmocka_unit_test_setup_teardown(companions_that_do_not_fit_are_named, set_up, leave_scratch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
