/* Tokenizers of folders in GGUF files and back: ids stay what they were, and what scores can't say is refused.
 * tests/interop has llama.cpp read them. */
#include "tests/support.h"

#include "io/file.h"
#include "io/gguf-model.h"
#include "io/gguf-tokens.h"
#include "io/tokenizer-files.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MARK "\xe2\x96\x81"

struct place {
    char *folder, *back, *gguf;
    char said[400]; /* the last warning */
};

static void keep_line(void *user, int level, const char *line)
{
    struct place *p = user;
    if (level == PARA_LOG_WARNING)
        snprintf(p->said, sizeof p->said, "%s", line);
}

static int set_up(void **state)
{
    static struct place p;
    p = (struct place){.folder = temp_dir(), .back = temp_dir()};
    p.gguf = path_join(p.folder, "x.gguf");
    para_log_set(keep_line, &p);
    *state = &p;
    return 0;
}

static int tear_down(void **state)
{
    struct place *p = *state;
    para_log_set(NULL, NULL);
    free(p->gguf);
    temp_dir_remove(p->folder);
    temp_dir_remove(p->back);
    return 0;
}

/* --- a tokenizer as SentencePiece makes them --- */

/* Letters, then what is merged, best first. */
static const char *const pieces[] = {MARK, "a", "b", "c", "d", "e", "f", "g", "h", "i", "l", "n", "o", "r", "s", "t",
                                     "u", "y", "<", ">", "\xc3\xa9",
                                     /* merged */
                                     MARK MARK, "he", MARK "t", MARK "the", "in", MARK "a", "an", MARK "an", "and",
                                     MARK "and", "er", "re", "ing", "ou", "st", MARK "s", MARK "st", "es", "ee", "see",
                                     MARK MARK MARK MARK, "aa", "aaa", "ab", "ba", "aba", "t\xc3\xa9", MARK "ab"};
enum { PIECES = sizeof pieces / sizeof pieces[0], OTHERS = 3 + 256, VOCAB = OTHERS + PIECES + 1 };

/* All pairs of tokens that make a token, by tokens; those of one by their ids. */
static json_t *merges_of(const json_t *vocab)
{
    json_t *merges = json_array();
    for (int i = 0; i < PIECES; i++)
        for (int left = 0; left < VOCAB; left++) {
            const char *key;
            json_t *id;
            json_object_foreach((json_t *)(uintptr_t)vocab, key, id)
            {
                size_t n = strlen(key);
                if (json_integer_value(id) == left && strncmp(pieces[i], key, n) == 0 && pieces[i][n] &&
                    json_object_get(vocab, pieces[i] + n))
                    json_array_append_new(merges, json_pack("[s, s]", key, pieces[i] + n));
            }
        }
    return merges;
}

static json_t *added(int id, const char *text, bool special)
{
    return json_pack("{s:i, s:s, s:b, s:b, s:b, s:b, s:b}", "id", id, "content", text, "single_word", 0, "lstrip", 0,
                     "rstrip", 0, "normalized", 0, "special", special);
}

static const char prefixed[] = "{'type': 'Sequence', 'normalizers': [{'type': 'Prepend', 'prepend': '" MARK
                               "'}, {'type': 'Replace', 'pattern': {'String': ' '}, 'content': '" MARK "'}]}",
                  plain[] = "{'type': 'Replace', 'pattern': {'String': ' '}, 'content': '" MARK "'}",
                  decoder[] = "{'type': 'Sequence', 'decoders': [{'type': 'Replace', 'pattern': {'String': '" MARK
                              "'}, 'content': ' '}, {'type': 'ByteFallback'}, {'type': 'Fuse'}]}",
                  begins[] = "{'type': 'TemplateProcessing', 'single': [{'SpecialToken': {'id': '<s>', 'type_id': 0}}, "
                             "{'Sequence': {'id': 'A', 'type_id': 0}}], 'pair': [{'SpecialToken': {'id': '<s>', "
                             "'type_id': 0}}, {'Sequence': {'id': 'A', 'type_id': 0}}, {'SpecialToken': {'id': '<s>', "
                             "'type_id': 1}}, {'Sequence': {'id': 'B', 'type_id': 1}}], 'special_tokens': {'<s>': "
                             "{'id': '<s>', 'ids': [1], 'tokens': ['<s>']}}}";

/* JSON with ' for ". */
static json_t *parse(const char *text)
{
    char *copy = must_alloc(strlen(text) + 1);
    strcpy(copy, text);
    for (char *at = copy; *at; at++)
        *at = *at == '\'' ? '"' : *at;
    json_t *value = json_loads(copy, JSON_DECODE_ANY, NULL);
    assert_non_null(value);
    free(copy);
    return value;
}

/* With an added token of a user, "<d>", which is the last id. */
static json_t *marks_json(const char *normalizer)
{
    static const char *const specials[] = {"<unk>", "<s>", "</s>"};
    json_t *vocab = json_object(), *list = json_array();
    for (int i = 0; i < 3; i++) {
        json_object_set_new(vocab, specials[i], json_integer(i));
        json_array_append_new(list, added(i, specials[i], true));
    }
    for (int b = 0; b < 256; b++) {
        char text[8];
        sprintf(text, "<0x%02X>", (unsigned)b);
        json_object_set_new(vocab, text, json_integer(3 + b));
    }
    for (int i = 0; i < PIECES; i++)
        json_object_set_new(vocab, pieces[i], json_integer(OTHERS + i));
    json_array_append_new(list, added(VOCAB - 1, "<d>", false));
    json_t *model = json_pack("{s:s, s:n, s:s, s:n, s:n, s:b, s:b, s:b, s:O, s:o}", "type", "BPE", "dropout",
                              "unk_token", "<unk>", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", 1,
                              "byte_fallback", 1, "ignore_merges", 0, "vocab", vocab, "merges", merges_of(vocab));
    json_decref(vocab);
    return json_pack("{s:o, s:o, s:n, s:o, s:o, s:o}", "added_tokens", list, "normalizer", parse(normalizer),
                     "pre_tokenizer", "post_processor", parse(begins), "decoder", parse(decoder), "model", model);
}

static void save(const char *folder, const char *name, json_t *value)
{
    para_error err = {0};
    char *path = path_join(folder, name);
    must(para_json_save(path, value, &err), err);
    json_decref(value);
    free(path);
}

static json_t *load(const char *folder, const char *name)
{
    para_error err = {0};
    json_t *value;
    char *path = path_join(folder, name);
    must(para_json_load(&value, path, &err), err);
    free(path);
    return value;
}

/* --- there and back --- */

static int write_gguf(const struct place *p, const char *folder, int64_t vocab, para_error *err)
{
    struct para_gguf_head head = {0};
    int status = para_gguf_put_tokenizer(&head, folder, vocab, err);
    if (status == 0)
        status = para_gguf_stream(p->gguf, &head, NULL, 0, NULL, NULL, err);
    para_gguf_head_free(&head);
    return status;
}

static void write_back(const struct place *p)
{
    para_error err = {0};
    struct para_gguf *f;
    must(para_gguf_open(&f, p->gguf, &err), err);
    must(para_gguf_save_tokenizer(f, p->back, &err), err);
    para_gguf_close(f);
}

static void assert_same_ids(const para_tokenizer *a, const para_tokenizer *b, const char *text, size_t bytes)
{
    para_error err = {0};
    for (int specials = 0; specials < 2; specials++) {
        int32_t *ids[2];
        int64_t count[2];
        must(para_tokenizer_encode(a, text, bytes, specials, &ids[0], &count[0], &err), err);
        must(para_tokenizer_encode(b, text, bytes, specials, &ids[1], &count[1], &err), err);
        assert_int_equal(count[0], count[1]);
        for (int64_t i = 0; i < count[0]; i++)
            if (ids[0][i] != ids[1][i])
                fail_msg("other ids for \"%.*s\"", (int)bytes, text);
        para_tokens_free(ids[0]);
        para_tokens_free(ids[1]);
    }
}

/* Ids of the lines of a file of nasty text, and of random pieces of it and of the tokenizers' own tokens. */
static void assert_same(const char *from, const char *to)
{
    para_error err = {0};
    para_tokenizer *a, *b;
    char *path = test_file("golden/tokenizer-nasty.txt");
    size_t bytes, count;
    char *text = read_whole(path, &bytes);
    uint64_t random = 1;
    must(para_tokenizer_open(&a, from, &err), err);
    must(para_tokenizer_open(&b, to, &err), err);
    for (char *at = text, *end; at < text + bytes; at = end + 1) {
        end = memchr(at, '\n', (size_t)(text + bytes - at));
        end = end ? end : text + bytes;
        assert_same_ids(a, b, at, (size_t)(end - at));
    }
    for (int i = 0; i < 2000; i++) {
        char mixed[400];
        size_t n = 0;
        for (int j = 0; j < 12; j++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            int64_t id = (int64_t)((random >> 33) % (uint64_t)para_tokenizer_vocab(a));
            const char *token = para_tokenizer_token(a, id, &count);
            const char *from_text = text + (random >> 20) % (bytes - 20);
            bool own = random >> 63;
            size_t more = own ? count : (random >> 50) % 20;
            if (n + more > sizeof mixed)
                break;
            memcpy(mixed + n, own ? token : from_text, more);
            n += more;
        }
        assert_same_ids(a, b, mixed, n);
    }
    assert_int_equal(para_tokenizer_before(a, &(int64_t){0}) != NULL, para_tokenizer_before(b, &(int64_t){0}) != NULL);
    para_tokenizer_free(a);
    para_tokenizer_free(b);
    free(text);
    free(path);
}

static const char template[] = "{{ bos_token }}{% for m in messages %}[{{ m.role }}] \"{{ m.content }}\"\n{% endfor %}";

/* Ids, what stands before a text, the ids that end one, and the chat template; the merges too, one by one. */
static void marks_go_there_and_back(void **state)
{
    const char *const normalizers[] = {prefixed, plain};
    for (int i = 0; i < 2; i++) {
        struct place *p = *state;
        para_error err = {0};
        char *found;
        int32_t *ends;
        int64_t count;
        json_t *before = marks_json(normalizers[i]);
        save(p->folder, "tokenizer.json", json_incref(before));
        save(p->folder, "tokenizer_config.json", json_pack("{s:s}", "chat_template", template));
        save(p->folder, "config.json", json_pack("{s:[i, i]}", "eos_token_id", 2, VOCAB - 1));
        must(write_gguf(p, p->folder, VOCAB + 3, &err), err);
        write_back(p);
        assert_same(p->folder, p->gguf);
        assert_same(p->folder, p->back);
        must(para_chat_template(&found, p->gguf, &err), err);
        assert_string_equal(found, template);
        free(found);
        must(para_chat_template(&found, p->back, &err), err);
        assert_string_equal(found, template);
        free(found);
        must(para_gguf_ends(p->gguf, &ends, &count, &err), err);
        assert_int_equal(count, 2);
        assert_int_equal(ends[1], VOCAB - 1);
        free(ends);
        json_t *after = load(p->back, "tokenizer.json"), *config = load(p->back, "tokenizer_config.json"),
               *generation = load(p->back, "generation_config.json");
        for (int part = 0; part < 3; part++) {
            static const char *const parts[] = {"normalizer", "pre_tokenizer", "post_processor"};
            assert_true(json_equal(json_object_get(before, parts[part]), json_object_get(after, parts[part])));
        }
        assert_true(json_equal(json_object_get(json_object_get(before, "model"), "merges"),
                               json_object_get(json_object_get(after, "model"), "merges")));
        assert_string_equal(json_string_value(json_object_get(config, "bos_token")), "<s>");
        assert_string_equal(json_string_value(json_object_get(config, "eos_token")), "</s>");
        assert_string_equal(json_string_value(json_object_get(config, "unk_token")), "<unk>");
        assert_int_equal(json_array_size(json_object_get(generation, "eos_token_id")), 2);
        assert_string_equal(p->said, "");
        json_decref(before);
        json_decref(after);
        json_decref(config);
        json_decref(generation);
    }
}

/* A tokenizer of bytes that says it begins texts with nothing does so in a file whose kind would. */
static void bytes_go_there_and_back(void **state)
{
    struct place *p = *state;
    para_error err = {0};
    struct para_gguf *f;
    const struct para_gguf_value *v;
    char *small = test_file("golden/tokenizer-small");
    must(write_gguf(p, small, 700, &err), err);
    write_back(p);
    assert_same(small, p->gguf);
    assert_same(small, p->back);
    static const char *const ways[][2] = {
        {"llama-bpe",
         "'pre_tokenizer': {'type': 'Sequence', 'pretokenizers': [{'type': 'Split', 'pattern': {'Regex': "
         "\"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,3}| "
         "?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+\"}, 'behavior': "
         "'Isolated', 'invert': false}, {'type': 'ByteLevel', 'add_prefix_space': false, 'use_regex': false}]}"},
        {"starcoder", "'pre_tokenizer': {'type': 'Sequence', 'pretokenizers': [{'type': 'Digits', "
                      "'individual_digits': true}, {'type': 'ByteLevel', 'add_prefix_space': false}]}"}};
    for (int i = 0; i < 2; i++) {
        /* a pattern's own ' stays: it stands between " */
        char *text = must_alloc(strlen(ways[i][1]) + 3), *out = text;
        bool quoted = false;
        *out++ = '{';
        for (const char *at = ways[i][1]; *at; at++) {
            quoted = *at == '"' ? !quoted : quoted;
            *out++ = *at == '\'' && !quoted ? '"' : *at;
        }
        strcpy(out, "}");
        json_t *way = json_loads(text, 0, NULL), *json = load(p->back, "tokenizer.json");
        assert_non_null(way);
        json_object_update(json, way);
        json_object_set_new(json_object_get(json, "model"), "ignore_merges", json_boolean(i == 0));
        save(p->folder, "tokenizer.json", json);
        must(write_gguf(p, p->folder, 606, &err), err);
        must(para_gguf_open(&f, p->gguf, &err), err);
        must(para_gguf_need(&v, f, "tokenizer.ggml.pre", PARA_GGUF_STRING, &err), err);
        assert_true(para_gguf_text_is(para_gguf_text(v, 0), ways[i][0]));
        para_gguf_close(f);
        assert_same(p->folder, p->gguf);
        write_back(p);
        assert_same(p->folder, p->back);
        json_decref(way);
        free(text);
    }
    free(small);
}

/* --- what can't be said --- */

static void assert_refused(struct place *p, json_t *json, int code, const char *expected)
{
    para_error err = {0};
    save(p->folder, "tokenizer.json", json);
    assert_int_equal(write_gguf(p, p->folder, VOCAB, &err), code);
    if (!strstr(err.message, expected))
        fail_msg("the message \"%s\" doesn't say \"%s\"", err.message, expected);
}

static void what_scores_cannot_say_is_refused(void **state)
{
    struct place *p = *state;
    json_t *json = marks_json(prefixed), *merges = json_object_get(json_object_get(json, "model"), "merges");
    size_t last = json_array_size(merges) - 1;
    json_array_remove(merges, last);
    assert_refused(p, json, PARA_ESUPPORT, "no merge makes \"" MARK "ab\" of its first ");
    json = marks_json(prefixed);
    merges = json_object_get(json_object_get(json, "model"), "merges");
    json_t *one = json_incref(json_array_get(merges, last));
    json_array_remove(merges, last);
    json_array_insert_new(merges, 0, one);
    assert_refused(p, json, PARA_ESUPPORT, "makes \"" MARK "ab\", as one did before others");
    json = marks_json(prefixed);
    json_object_set_new(json_object_get(json, "model"), "byte_fallback", json_false());
    assert_refused(p, json, PARA_ESUPPORT, "no token <0x00>, expected one for each byte");
    json = marks_json(prefixed);
    json_object_set_new(json_object_get(json, "model"), "ignore_merges", json_true());
    assert_refused(p, json, PARA_ESUPPORT, "model.ignore_merges");
    json = marks_json("{'type': 'NFKC'}");
    assert_refused(p, json, PARA_ESUPPORT, "expected byte-level BPE with the pattern");
    json = marks_json(prefixed);
    save(p->folder, "tokenizer.json", json);
    para_error err = {0};
    assert_int_equal(write_gguf(p, p->folder, VOCAB - 1, &err), PARA_EFORMAT);
    assert_non_null(strstr(err.message, "expected at most the model's vocabulary"));
}

/* Written all the same, and told. */
static void what_a_file_leaves_out_is_told(void **state)
{
    struct place *p = *state;
    para_error err = {0};
    json_t *json = marks_json("null");
    json_object_set_new(
        json, "pre_tokenizer",
        parse("{'type': 'Metaspace', 'replacement': '" MARK "', 'prepend_scheme': 'first', 'split': false}"));
    save(p->folder, "tokenizer.json", json);
    must(write_gguf(p, p->folder, VOCAB, &err), err);
    assert_non_null(strstr(p->said, "begins with a space, or stands behind an added token"));
    json = marks_json(prefixed);
    json_object_set_new(json_array_get(json_object_get(json, "added_tokens"), 2), "rstrip", json_true());
    save(p->folder, "tokenizer.json", json);
    must(write_gguf(p, p->folder, VOCAB, &err), err);
    assert_non_null(strstr(p->said, "added token \"</s>\" looks at what stands beside it"));
}

/* Another file's tokenizer that is of no kind known here stays behind; one without any says nothing. */
static void what_is_unknown_stays_behind(void **state)
{
    struct place *p = *state;
    para_error err = {0};
    static const char *const kinds[] = {"t5", "none"}, *const expected[] = {"its tokenizer stays behind: ", ""};
    for (int i = 0; i < 2; i++) {
        struct para_gguf_head head = {0};
        p->said[0] = '\0';
        para_gguf_put_text(&head, "tokenizer.ggml.model", kinds[i]);
        must(para_gguf_stream(p->gguf, &head, NULL, 0, NULL, NULL, &err), err);
        para_gguf_head_free(&head);
        write_back(p);
        assert_int_equal(strncmp(p->said, expected[i], i ? 1 : strlen(expected[i])), 0);
        assert_false(para_tokenizer_exists(p->back));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(marks_go_there_and_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bytes_go_there_and_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_scores_cannot_say_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_a_file_leaves_out_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_unknown_stays_behind, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
