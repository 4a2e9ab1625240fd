/* The scanner cuts text where PCRE2 does with GPT-2's pattern. */
#include "tests/support.h"

#include "base/philox.h"
#include "base/utf8.h"
#include "io/pretoken.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

/* \s as Unicode's White_Space: PCRE2's own has U+180E too. */
#define SPACES "\\t-\\r\\x{85}\\p{Z}"
static const char pattern[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^" SPACES "\\p{L}\\p{N}]+|[" SPACES
                              "]+(?![^" SPACES "])|[" SPACES "]+";

struct both {
    struct para_classes classes;
    pcre2_code *code;
    pcre2_match_data *match;
};

static int set_up(void **state)
{
    static struct both b;
    para_error err = {0};
    must(para_classes_init(&b.classes, &err), err);
    int status;
    size_t place;
    b.code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &status, &place, NULL);
    assert_non_null(b.code);
    pcre2_jit_compile(b.code, PCRE2_JIT_COMPLETE);
    b.match = pcre2_match_data_create_from_pattern(b.code, NULL);
    assert_non_null(b.match);
    *state = &b;
    return 0;
}

static int tear_down(void **state)
{
    struct both *b = *state;
    pcre2_match_data_free(b->match);
    pcre2_code_free(b->code);
    para_classes_free(&b->classes);
    return 0;
}

/* Copy a text, each byte outside of a character replaced by U+E000, which is neither letter, number nor space, so
 * that PCRE2 takes it; from[i] is where byte i came from, or the end. */
static unsigned char *make_valid(const unsigned char *text, size_t bytes, size_t *valid_bytes, size_t **from)
{
    unsigned char *valid = must_alloc(3 * bytes + 1);
    *from = must_alloc((3 * bytes + 1) * sizeof **from);
    size_t n = 0;
    for (size_t at = 0; at < bytes;) {
        uint32_t c;
        int length = para_utf8(text + at, bytes - at, &c);
        size_t put = (size_t)para_utf8_put(valid + n, length > 0 ? c : 0xe000);
        for (size_t i = 0; i < put; i++)
            (*from)[n + i] = at;
        n += put;
        at += length > 0 ? (size_t)length : 1;
    }
    (*from)[n] = bytes;
    *valid_bytes = n;
    return valid;
}

static void assert_same_words(struct both *b, const unsigned char *text, size_t bytes)
{
    size_t valid_bytes, *from, at = 0;
    unsigned char *valid = make_valid(text, bytes, &valid_bytes, &from);
    const size_t *place = pcre2_get_ovector_pointer(b->match);
    for (size_t valid_at = 0; valid_at < valid_bytes; valid_at = place[1]) {
        assert_true(pcre2_match(b->code, valid, valid_bytes, valid_at, PCRE2_ANCHORED | PCRE2_NO_UTF_CHECK, b->match,
                                NULL) > 0);
        at += para_pretoken(&b->classes, text + at, bytes - at);
        if (at != from[place[1]])
            fail_msg("a word that begins at byte %zu ends at %zu, expected %zu", from[valid_at], at, from[place[1]]);
    }
    assert_int_equal(at, bytes);
    free(valid);
    free(from);
}

static void assert_same_in_file(struct both *b, const char *name)
{
    size_t bytes;
    char *path = test_file(name);
    unsigned char *text = read_whole(path, &bytes);
    assert_true(bytes > 1000);
    assert_same_words(b, text, bytes);
    free(text);
    free(path);
}

static void golden_texts(void **state)
{
    assert_same_in_file(*state, "golden/tokenizer-nasty.txt");
    assert_same_in_file(*state, "golden/tokenizer-invalid.bin");
}

/* Every character alone, and next to one of each class, so that all its class can do shows. */
static void every_character(void **state)
{
    static const char *const around[] = {"", "a", "1", "!", " ", "\n", "'"};
    enum { AROUND = sizeof around / sizeof around[0], BLOCK = 0x1000, ONE = 8 * AROUND };
    unsigned char *text = must_alloc(BLOCK * ONE);
    for (uint32_t block = 0; block < 0x110000; block += BLOCK) {
        size_t n = 0;
        for (uint32_t c = block; c < block + BLOCK; c++)
            for (size_t i = 0; i < AROUND && (c < 0xd800 || c >= 0xe000); i++) {
                n += (size_t)para_utf8_put(text + n, c);
                n += strlen(strcpy((char *)text + n, around[i]));
            }
        assert_same_words(*state, text, n);
    }
    free(text);
}

/* What a text of `pieces` random bits is made of: characters of each class and length, contractions, stray bytes. */
static size_t random_text(unsigned char *text, int pieces, uint64_t seed)
{
    static const char *const bits[] = {
        "'",
        "'s",
        "'re",
        "'LL",
        "s",
        "l",
        " ",
        " ",
        "  ",
        "\n",
        "\r\n",
        "\t",
        "\xc2\xa0",
        "\xc2\x85",
        "\xe3\x80\x80",
        "\xe1\xa0\x8e",
        "\xe2\x80\x8d",
        "a",
        "Q",
        "7",
        "\xd9\xa3",
        "\xc2\xbd",
        "\xc3\xa9",
        "\xcc\x81",
        "\xe4\xb8\xad",
        "\xf0\x9f\x98\x80",
        "\xf0\x9d\x9f\x98",
        "!",
        ".",
        "\xff",
        "\xc3",
        "\xe2\x80",
        "\xf0\x9f\x98",
        "\x80",
        "\xed\xa0\x80",
    };
    size_t n = 0;
    for (int i = 0; i < pieces; i++) {
        const char *bit = bits[para_draw(seed, 0, (uint64_t)i) % (sizeof bits / sizeof bits[0])];
        memcpy(text + n, bit, strlen(bit));
        n += strlen(bit);
    }
    return n;
}

static void random_texts(void **state)
{
    unsigned char text[64 * 4];
    for (uint64_t seed = 0; seed < 20000; seed++)
        assert_same_words(*state, text, random_text(text, 1 + (int)(seed % 64), seed));
}

/* What the header promises to who sees the beginning of a text alone: a word that ends PARA_PRETOKEN_AHEAD bytes
 * before the end is the same, whatever follows. */
static void words_far_from_the_end_are_settled(void **state)
{
    struct both *b = *state;
    unsigned char text[64 * 4];
    for (uint64_t seed = 0; seed < 5000; seed++) {
        size_t bytes = random_text(text, 64, seed);
        size_t word = para_pretoken(&b->classes, text, bytes), settled = 0;
        for (size_t seen = 1; seen <= bytes; seen++) {
            size_t guess = para_pretoken(&b->classes, text, seen);
            if (guess + PARA_PRETOKEN_AHEAD > seen)
                continue;
            assert_int_equal(guess, word);
            settled++;
        }
        assert_int_equal(settled, word + PARA_PRETOKEN_AHEAD <= bytes ? bytes - word - PARA_PRETOKEN_AHEAD + 1 : 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_texts),
        cmocka_unit_test(every_character),
        cmocka_unit_test(random_texts),
        cmocka_unit_test(words_far_from_the_end_are_settled),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
