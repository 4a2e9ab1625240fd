/* Tokenizers: ids are those of `tokenizers` and `tiktoken`, bytes come back as they went in. The small vocabulary is
 * committed; GPT-2's is looked for in $PARA_DATA. */
#include "tests/support.h"

#include "base/philox.h"
#include "base/utf8.h"

#include <paragraph/tokenizer.h>

#include <stdlib.h>
#include <string.h>

struct place {
    char *small;       /* the folder of the small vocabulary */
    para_tokenizer *t; /* of the small vocabulary */
    unsigned char *nasty, *invalid;
    size_t nasty_bytes, invalid_bytes;
};

static unsigned char *read_golden(const char *name, size_t *bytes)
{
    char *golden = test_file("golden"), *path = path_join(golden, name);
    unsigned char *data = read_whole(path, bytes);
    free(path);
    free(golden);
    return data;
}

static int set_up(void **state)
{
    static struct place p;
    para_error err = {0};
    p.small = test_file("golden/tokenizer-small");
    must(para_tokenizer_open(&p.t, p.small, &err), err);
    p.nasty = read_golden("tokenizer-nasty.txt", &p.nasty_bytes);
    p.invalid = read_golden("tokenizer-invalid.bin", &p.invalid_bytes);
    *state = &p;
    return 0;
}

static int tear_down(void **state)
{
    struct place *p = *state;
    para_tokenizer_free(p->t);
    free(p->nasty);
    free(p->invalid);
    free(p->small);
    return 0;
}

static int32_t *encode(const para_tokenizer *t, const void *text, size_t bytes, bool specials, int64_t *count)
{
    para_error err = {0};
    int32_t *ids;
    must(para_tokenizer_encode(t, text, bytes, specials, &ids, count, &err), err);
    return ids;
}

static void assert_same_ids(const char *what, const int32_t *ids, int64_t count, const int32_t *expected,
                            int64_t expected_count)
{
    for (int64_t i = 0; i < count && i < expected_count; i++)
        if (ids[i] != expected[i])
            fail_msg("%s: id %lld is %d, expected %d", what, (long long)i, (int)ids[i], (int)expected[i]);
    if (count != expected_count)
        fail_msg("%s: %lld ids, expected %lld", what, (long long)count, (long long)expected_count);
}

static void assert_golden(const para_tokenizer *t, const void *text, size_t text_bytes, bool specials, const char *name)
{
    size_t bytes;
    unsigned char *golden = read_golden(name, &bytes);
    int64_t count, expected_count = (int64_t)(bytes / 4);
    int32_t *ids = encode(t, text, text_bytes, specials, &count), *expected = must_alloc(bytes);
    for (size_t i = 0; i < bytes / 4; i++)
        expected[i] = golden[4 * i] | golden[4 * i + 1] << 8 | golden[4 * i + 2] << 16 | golden[4 * i + 3] << 24;
    assert_true(expected_count > 1000);
    assert_same_ids(name, ids, count, expected, expected_count);
    para_tokens_free(ids);
    free(expected);
    free(golden);
}

static void golden_ids(void **state)
{
    struct place *p = *state;
    assert_int_equal(para_tokenizer_vocab(p->t), 600);
    assert_golden(p->t, p->nasty, p->nasty_bytes, false, "tokenizer-small-plain.bin");
    assert_golden(p->t, p->nasty, p->nasty_bytes, true, "tokenizer-small-special.bin");
    assert_golden(p->t, p->invalid, p->invalid_bytes, false, "tokenizer-small-invalid.bin");
}

static para_tokenizer *open_gpt2(void)
{
    char *path = data_file("gpt2-tokenizer/merges.txt");
    *strrchr(path, '/') = '\0';
    para_error err = {0};
    para_tokenizer *t;
    must(para_tokenizer_open(&t, path, &err), err);
    free(path);
    return t;
}

static void golden_ids_of_gpt2(void **state)
{
    struct place *p = *state;
    para_tokenizer *t = open_gpt2();
    assert_int_equal(para_tokenizer_vocab(t), 50257);
    assert_int_equal(para_tokenizer_special(t, "<|endoftext|>"), 50256);
    assert_golden(t, p->nasty, p->nasty_bytes, false, "tokenizer-gpt2-plain.bin");
    assert_golden(t, p->nasty, p->nasty_bytes, true, "tokenizer-gpt2-special.bin");
    assert_golden(t, p->invalid, p->invalid_bytes, false, "tokenizer-gpt2-invalid.bin");
    para_tokenizer_free(t);
}

/* The golden file has the number of ids and their FNV-1a hash, a step an id. */
static void a_real_text(void **state)
{
    (void)state;
    char *path = data_file("text/tinyshakespeare.txt");
    para_tokenizer *t = open_gpt2();
    size_t bytes, golden_bytes;
    char *text = read_whole(path, &bytes), *golden = (char *)read_golden("tokenizer-shakespeare.txt", &golden_bytes);
    char digest[64];
    int64_t count;
    int32_t *ids = encode(t, text, bytes, false, &count);
    uint64_t hash = 14695981039346656037u;
    for (int64_t i = 0; i < count; i++)
        hash = (hash ^ (uint64_t)ids[i]) * 1099511628211u;
    snprintf(digest, sizeof digest, "%lld %016llx\n", (long long)count, (unsigned long long)hash);
    assert_string_equal(digest, golden);
    para_tokens_free(ids);
    para_tokenizer_free(t);
    free(text);
    free(golden);
    free(path);
}

/* Append the ids of one call to those before. */
static void append(int32_t *all, int64_t *count, const int32_t *ids, int64_t more)
{
    if (more > 0)
        memcpy(all + *count, ids, (size_t)more * sizeof *ids);
    *count += more;
}

/* The ids of a text fed in blocks of 1 to `most` bytes are those of the whole. */
static void assert_blocks(para_encoder *e, const unsigned char *text, size_t bytes, size_t most,
                          const int32_t *expected, int64_t expected_count)
{
    int32_t *all = must_alloc(bytes * sizeof *all);
    const int32_t *ids;
    int64_t count = 0, more;
    para_error err = {0};
    for (size_t at = 0; at < bytes;) {
        size_t block = 1 + para_draw(most, 0, at) % most;
        block = block < bytes - at ? block : bytes - at;
        must(para_encoder_feed(e, text + at, block, &ids, &more, &err), err);
        append(all, &count, ids, more);
        at += block;
    }
    must(para_encoder_finish(e, &ids, &more, &err), err);
    append(all, &count, ids, more);
    assert_same_ids("blocks", all, count, expected, expected_count);
    free(all);
}

static void blocks_give_the_ids_of_the_whole(void **state)
{
    struct place *p = *state;
    static const size_t most[] = {1, 2, 7, 40, 1000, 100000};
    para_error err = {0};
    for (int specials = 0; specials < 2; specials++) {
        para_encoder *e;
        must(para_encoder_new(&e, p->t, specials, &err), err);
        int64_t count, invalid_count;
        int32_t *ids = encode(p->t, p->nasty, p->nasty_bytes, specials, &count);
        int32_t *invalid = encode(p->t, p->invalid, p->invalid_bytes, specials, &invalid_count);
        for (size_t i = 0; i < sizeof most / sizeof most[0]; i++) {
            assert_blocks(e, p->nasty, p->nasty_bytes, most[i], ids, count);
            assert_blocks(e, p->invalid, p->invalid_bytes, most[i], invalid, invalid_count);
        }
        para_tokens_free(ids);
        para_tokens_free(invalid);
        para_encoder_free(e);
    }
}

/* Short blocks are held back until there are enough of them; then ids come before the text's end. */
static void ids_come_before_the_end(void **state)
{
    struct place *p = *state;
    para_encoder *e;
    para_error err = {0};
    must(para_encoder_new(&e, p->t, true, &err), err);
    const int32_t *ids;
    int64_t more, early = 0;
    for (size_t at = 0; at + 100 <= p->nasty_bytes; at += 100) {
        must(para_encoder_feed(e, p->nasty + at, 100, &ids, &more, &err), err);
        early += more;
    }
    must(para_encoder_finish(e, &ids, &more, &err), err);
    assert_true(early > more);
    must(para_encoder_finish(e, &ids, &more, &err), err);
    assert_int_equal(more, 0);
    para_encoder_free(e);
}

/* Decode, check that what each id gives ends with a whole character if the text has such alone, and return the text. */
static char *decode(const para_tokenizer *t, const int32_t *ids, int64_t count, bool well_formed, size_t *bytes)
{
    para_decoder *d;
    para_error err = {0};
    must(para_decoder_new(&d, t, &err), err);
    size_t room = 0, more, begun = 0;
    for (int64_t i = 0; i < count; i++) {
        assert_non_null(para_tokenizer_token(t, ids[i], &more));
        room += more;
    }
    char *all = must_alloc(room);
    const char *piece;
    *bytes = 0;
    for (int64_t i = 0; i <= count; i++) {
        if (i < count)
            must(para_decoder_feed(d, ids[i], &piece, &more, &err), err);
        else
            para_decoder_finish(d, &piece, &more);
        assert_true(*bytes + more <= room);
        if (more > 0)
            memcpy(all + *bytes, piece, more);
        *bytes += more;
        for (uint32_t c; well_formed && begun < *bytes;) {
            int length = para_utf8((const unsigned char *)all + begun, *bytes - begun, &c);
            assert_true(length > 0);
            begun += (size_t)length;
        }
    }
    para_decoder_free(d);
    return all;
}

static void assert_round_trip(const para_tokenizer *t, const void *text, size_t bytes, bool well_formed)
{
    for (int specials = 0; specials < 2; specials++) {
        int64_t count;
        size_t back_bytes;
        int32_t *ids = encode(t, text, bytes, specials, &count);
        char *back = decode(t, ids, count, well_formed, &back_bytes);
        assert_int_equal(back_bytes, bytes);
        assert_memory_equal(back, text, bytes);
        para_tokens_free(ids);
        free(back);
    }
}

static void decoding_gives_the_text_back(void **state)
{
    struct place *p = *state;
    para_tokenizer *bytes;
    para_error err = {0};
    must(para_tokenizer_open(&bytes, NULL, &err), err);
    const para_tokenizer *both[] = {p->t, bytes};
    for (int i = 0; i < 2; i++) {
        assert_round_trip(both[i], p->nasty, p->nasty_bytes, true);
        assert_round_trip(both[i], p->invalid, p->invalid_bytes, false);
        unsigned char noise[300];
        for (uint64_t seed = 0; seed < 1000; seed++) {
            for (uint64_t b = 0; b < sizeof noise; b++)
                noise[b] = (unsigned char)(para_draw(seed, 1, b) >> (seed % 8 + 17));
            assert_round_trip(both[i], noise, 1 + seed % sizeof noise, false);
        }
    }
    para_tokenizer_free(bytes);
}

static void assert_fed(para_decoder *d, int64_t id, const char *expected)
{
    const char *text;
    size_t bytes;
    para_error err = {0};
    must(para_decoder_feed(d, id, &text, &bytes, &err), err);
    assert_int_equal(bytes, strlen(expected));
    assert_memory_equal(text, expected, bytes);
}

static void decoders_hold_unfinished_characters(void **state)
{
    (void)state;
    para_tokenizer *t;
    para_decoder *d;
    para_error err = {0};
    must(para_tokenizer_open(&t, NULL, &err), err);
    must(para_decoder_new(&d, t, &err), err);
    assert_fed(d, 'a', "a");
    assert_fed(d, 0xf0, "");
    assert_fed(d, 0x9f, "");
    assert_fed(d, 0x98, "");
    const char *text;
    size_t bytes;
    assert_int_equal(para_decoder_feed(d, 256, &text, &bytes, &err), PARA_ERANGE);
    assert_string_equal(err.message, "token id 256, expected 0 to 255");
    assert_int_equal(para_decoder_feed(d, -1, &text, &bytes, &err), PARA_ERANGE);
    assert_fed(d, 0x80, "\xf0\x9f\x98\x80");
    assert_fed(d, 0xe2, "");
    assert_fed(d, 'b',
               "\xe2"
               "b");
    assert_fed(d, 0xe0, "");
    assert_fed(d, 0x80, "\xe0\x80");
    assert_fed(d, 0xc3, "");
    assert_fed(d, 0xc3, "\xc3");
    para_decoder_finish(d, &text, &bytes);
    assert_int_equal(bytes, 1);
    assert_memory_equal(text, "\xc3", 1);
    para_decoder_finish(d, &text, &bytes);
    assert_int_equal(bytes, 0);
    assert_fed(d, 'c', "c");
    para_decoder_free(d);
    para_tokenizer_free(t);
}

static void bytes_are_their_own_ids(void **state)
{
    (void)state;
    para_tokenizer *t;
    para_encoder *e;
    para_error err = {0};
    must(para_tokenizer_open(&t, NULL, &err), err);
    assert_int_equal(para_tokenizer_vocab(t), 256);
    assert_int_equal(para_tokenizer_special(t, "<|endoftext|>"), -1);
    must(para_encoder_new(&e, t, true, &err), err);
    static const int32_t expected[] = {'h', 'i', 0, 255};
    const int32_t *ids;
    int64_t count;
    must(para_encoder_feed(e, "hi\0\xff", 4, &ids, &count, &err), err);
    assert_same_ids("bytes", ids, count, expected, 4);
    must(para_encoder_finish(e, &ids, &count, &err), err);
    assert_int_equal(count, 0);
    size_t bytes;
    assert_memory_equal(para_tokenizer_token(t, 65, &bytes), "A", 1);
    assert_int_equal(bytes, 1);
    assert_null(para_tokenizer_token(t, 256, &bytes));
    assert_null(para_tokenizer_token(t, -1, &bytes));
    para_encoder_free(e);
    para_tokenizer_free(t);
    para_tokenizer_free(NULL);
    para_encoder_free(NULL);
    para_decoder_free(NULL);
    para_tokens_free(NULL);
}

enum { MERGES = 400, MERGE_BYTES = 300 };

/* The merges of the small vocabulary, as they are written. */
struct merges {
    char left[MERGES][MERGE_BYTES], right[MERGES][MERGE_BYTES];
    int count;
};

static struct merges *read_merges(const struct place *p)
{
    size_t bytes;
    char *path = path_join(p->small, "merges.txt"), *text = read_whole(path, &bytes), *at = strchr(text, '\n');
    struct merges *m = must_alloc(sizeof *m);
    while (at && m->count < MERGES && sscanf(at, " %299s %299s", m->left[m->count], m->right[m->count]) == 2) {
        m->count++;
        at = strchr(at + 1, '\n');
    }
    assert_true(m->count > 300 && m->count < MERGES);
    free(text);
    free(path);
    return m;
}

/* Join the neighbours that the first merge with any joins, the leftmost; false if none does. The tokens of a word are
 * the pieces between its marked places. */
static bool merge_once(const struct merges *m, const char *word, size_t n, bool *begins)
{
    for (int k = 0; k < m->count; k++)
        for (size_t a = 0; a < n; a++) {
            size_t left = strlen(m->left[k]), right = strlen(m->right[k]), b = a + left, end = b + right;
            if (!begins[a] || end > n || !begins[b] || !begins[end] || memchr(begins + a + 1, true, left - 1) ||
                memchr(begins + b + 1, true, right - 1) || memcmp(word + a, m->left[k], left) != 0 ||
                memcmp(word + b, m->right[k], right) != 0)
                continue;
            begins[b] = false;
            return true;
        }
    return false;
}

/* Words of every length, short and long, against the rule as it is told: the lowest rank first, leftmost first. */
static void merges_go_by_rank(void **state)
{
    struct place *p = *state;
    struct merges *m = read_merges(p);
    enum { MOST = 150 };
    static const char letters[] = "aaaaaaaabbbeeenndhothLLls";
    for (uint64_t seed = 0; seed < 300; seed++) {
        size_t n = 1 + seed % MOST;
        char word[MOST];
        bool begins[MOST + 1];
        memset(begins, true, sizeof begins);
        for (size_t i = 0; i < n; i++)
            word[i] = letters[para_draw(seed, 2, i) % (seed < MOST ? 12 : sizeof letters - 1)];
        while (merge_once(m, word, n, begins))
            continue;
        int64_t count;
        int32_t *ids = encode(p->t, word, n, false, &count);
        size_t at = 0, bytes;
        for (int64_t i = 0; i < count; i++) {
            const void *token = para_tokenizer_token(p->t, ids[i], &bytes);
            assert_memory_equal(token, word + at, bytes);
            assert_null(bytes > 1 ? memchr(begins + at + 1, true, bytes - 1) : NULL);
            at += bytes;
            assert_true(begins[at]);
        }
        assert_int_equal(at, n);
        para_tokens_free(ids);
    }
    free(m);
}

/* A million letters in one word: with time in its square this would not end. */
static void long_words_take_no_square_of_time(void **state)
{
    struct place *p = *state;
    enum { BYTES = 1 << 20 };
    unsigned char *text = must_alloc(BYTES);
    memset(text, 'a', BYTES);
    int64_t count;
    int32_t *ids = encode(p->t, text, BYTES, true, &count);
    size_t bytes;
    para_tokenizer_token(p->t, ids[0], &bytes);
    assert_int_equal(bytes, 128);
    assert_int_equal(count, BYTES / 128);
    para_encoder *e;
    para_error err = {0};
    must(para_encoder_new(&e, p->t, true, &err), err);
    assert_blocks(e, text, BYTES, 100, ids, count);
    para_encoder_free(e);
    para_tokens_free(ids);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(golden_ids, set_up, tear_down),
        cmocka_unit_test_setup_teardown(golden_ids_of_gpt2, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_real_text, set_up, tear_down),
        cmocka_unit_test_setup_teardown(blocks_give_the_ids_of_the_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(ids_come_before_the_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(decoding_gives_the_text_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(decoders_hold_unfinished_characters, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bytes_are_their_own_ids, set_up, tear_down),
        cmocka_unit_test_setup_teardown(merges_go_by_rank, set_up, tear_down),
        cmocka_unit_test_setup_teardown(long_words_take_no_square_of_time, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
