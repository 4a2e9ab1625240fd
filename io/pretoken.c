/* GPT-2's cut of text into words: a scanner written by hand, with PCRE2's knowledge of Unicode in a table. */
#include "io/pretoken.h"

#include "base/fail.h"
#include "base/utf8.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

enum { POINTS = 0x110000, SURROGATES = 0xd800, AFTER_SURROGATES = 0xe000 };

/* Group number i is class number i. White_Space is written out: PCRE2's own \s has U+180E too. */
static const char classes_pattern[] = "(\\p{L}+)|(\\p{N}+)|([\\t-\\r\\x{85}\\p{Z}]+)";

/* All characters in order, as UTF-8; *bytes gets their number of bytes. NULL without memory. */
static unsigned char *all_characters(size_t *bytes)
{
    unsigned char *text = malloc((size_t)POINTS * 4);
    size_t n = 0;
    for (uint32_t c = 0; text && c < POINTS; c++)
        if (c < SURROGATES || c >= AFTER_SURROGATES)
            n += (size_t)para_utf8_put(text + n, c);
    *bytes = n;
    return text;
}

/* Mark the characters of each run of letters, of numbers and of spaces in `text`, which has all characters in order. */
static int mark_runs(unsigned char *classes, const pcre2_code *code, const unsigned char *text, size_t bytes)
{
    pcre2_match_data *match = pcre2_match_data_create_from_pattern(code, NULL);
    if (!match)
        return PCRE2_ERROR_NOMEMORY;
    const size_t *place = pcre2_get_ovector_pointer(match);
    size_t at = 0;
    int group;
    while ((group = pcre2_match(code, text, bytes, at, PCRE2_NO_UTF_CHECK, match, NULL)) > 0) {
        for (at = place[0]; at < place[1];) {
            uint32_t c;
            at += (size_t)para_utf8(text + at, bytes - at, &c);
            classes[c] = (unsigned char)(group - 1);
        }
    }
    pcre2_match_data_free(match);
    return group == PCRE2_ERROR_NOMATCH ? 0 : group;
}

/* Fill classes[POINTS]; returns 0 or one of PCRE2's error codes. */
static int ask_classes(unsigned char *classes)
{
    int status;
    size_t place, bytes;
    pcre2_code *code =
        pcre2_compile((PCRE2_SPTR)classes_pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF, &status, &place, NULL);
    if (!code)
        return status;
    pcre2_jit_compile(code, PCRE2_JIT_COMPLETE); /* faster where there is one; without, matches are interpreted */
    unsigned char *text = all_characters(&bytes);
    status = text ? mark_runs(classes, code, text, bytes) : PCRE2_ERROR_NOMEMORY;
    free(text);
    pcre2_code_free(code);
    return status;
}

static int fail_pcre2(para_error *err, int status)
{
    if (status == PCRE2_ERROR_NOMEMORY)
        return para_fail_memory(err, "classes of characters");
    char why[120] = "unknown error";
    pcre2_get_error_message(status, (PCRE2_UCHAR *)why, sizeof why);
    return para_fail(err, PARA_ESUPPORT, "PCRE2 can't tell letters from numbers: %s; expected a build with Unicode",
                     why);
}

/* Keep one of each different page; returns how many there are. Pages move to the front in place. */
static size_t share_pages(struct para_classes *c)
{
    size_t kept = 0;
    for (size_t p = 0; p < PARA_CLASS_PAGES; p++) {
        size_t same = 0;
        while (same < kept && memcmp(c->pages[same], c->pages[p], PARA_CLASS_PAGE) != 0)
            same++;
        if (same == kept)
            memmove(c->pages[kept++], c->pages[p], PARA_CLASS_PAGE);
        c->page[p] = (uint16_t)same;
    }
    return kept;
}

int para_classes_init(struct para_classes *c, para_error *err)
{
    c->pages = calloc(PARA_CLASS_PAGES, sizeof *c->pages);
    int status = c->pages ? ask_classes(c->pages[0]) : PCRE2_ERROR_NOMEMORY;
    if (status != 0) {
        para_classes_free(c);
        return fail_pcre2(err, status);
    }
    void *smaller = realloc(c->pages, share_pages(c) * sizeof *c->pages);
    c->pages = smaller ? smaller : c->pages;
    return 0;
}

void para_classes_free(struct para_classes *c)
{
    free(c->pages);
    c->pages = NULL;
}

/* The class of the first character of a text of at least one byte, and its bytes. */
static inline enum para_char_class first_class(const struct para_classes *c, const unsigned char *text, size_t n,
                                               size_t *bytes)
{
    *bytes = 1;
    if (text[0] < 0x80)
        return para_char_class_of(c, text[0]);
    uint32_t point;
    int length = para_utf8(text, n, &point);
    if (length <= 0)
        return PARA_OTHER; /* a byte by itself */
    *bytes = (size_t)length;
    return para_char_class_of(c, point);
}

/* The bytes of the contraction that `text` begins with, or 0. */
static size_t contraction(const unsigned char *text, size_t n)
{
    if (n < 2 || text[0] != '\'')
        return 0;
    if (strchr("stmd", text[1]) && text[1])
        return 2;
    return n > 2 && (memcmp(text + 1, "re", 2) == 0 || memcmp(text + 1, "ve", 2) == 0 || memcmp(text + 1, "ll", 2) == 0)
               ? 3
               : 0;
}

/* A run of spaces leaves its last one to the word that follows, if there is one and that isn't all of the run. */
static size_t spaces(const struct para_classes *c, const unsigned char *text, size_t n)
{
    size_t at = 0, last = 0, bytes;
    while (at < n && first_class(c, text + at, n - at, &bytes) == PARA_SPACE) {
        last = at;
        at += bytes;
    }
    return at == n || last == 0 ? at : last;
}

size_t para_pretoken(const struct para_classes *c, const unsigned char *text, size_t n)
{
    size_t at = contraction(text, n), bytes;
    if (at > 0)
        return at;
    at = text[0] == ' ' && n > 1;
    enum para_char_class class = first_class(c, text + at, n - at, &bytes);
    if (class == PARA_SPACE)
        return spaces(c, text, n);
    do
        at += bytes;
    while (at < n && first_class(c, text + at, n - at, &bytes) == class);
    return at;
}
