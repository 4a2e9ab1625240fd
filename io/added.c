/* Added tokens. */
#include "io/added.h"

#include "base/fail.h"
#include "base/grow.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

/* What regular expressions call a word's characters (Unicode's UTS 18). */
static const char word_pattern[] = "[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{200c}\\x{200d}]";

int para_added_put(struct para_added *a, const struct para_added_token *token, para_error *err)
{
    if (token->single_word && !a->word)
        PARA_TRY(para_regex_new(&a->word, word_pattern, strlen(word_pattern), false, err));
    unsigned char *text = malloc(token->bytes);
    if (!text || para_reserve(&a->tokens, a->count + 1, &a->room, sizeof *a->tokens) < 0) {
        free(text);
        return para_fail_memory(err, "the added tokens of a tokenizer");
    }
    memcpy(text, token->text, token->bytes);
    a->tokens[a->count] = *token;
    a->tokens[a->count++].text = text;
    a->longest = token->bytes > a->longest ? token->bytes : a->longest;
    return 0;
}

static int by_first_byte(const void *left, const void *right)
{
    const struct para_added_token *a = left, *b = right;
    if (a->text[0] != b->text[0])
        return a->text[0] < b->text[0] ? -1 : 1;
    if (a->bytes != b->bytes)
        return a->bytes > b->bytes ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

void para_added_sort(struct para_added *a)
{
    if (a->count > 0)
        qsort(a->tokens, (size_t)a->count, sizeof *a->tokens, by_first_byte);
    int64_t at = 0;
    for (int b = 0; b <= 256; b++) {
        while (at < a->count && a->tokens[at].text[0] < b)
            at++;
        a->first[b] = at;
    }
}

void para_added_free(struct para_added *a)
{
    for (int64_t i = 0; i < a->count; i++)
        free((void *)(uintptr_t)a->tokens[i].text);
    free(a->tokens);
    para_regex_free(a->word);
    *a = (struct para_added){0};
}

bool para_added_counts(const struct para_added *a, bool specials)
{
    bool counts = false;
    for (int64_t i = 0; i < a->count; i++)
        counts = counts || specials || !a->tokens[i].special;
    return counts;
}

bool para_added_looks_around(const struct para_added *a, bool specials)
{
    bool looks = false;
    for (int64_t i = 0; i < a->count; i++) {
        const struct para_added_token *t = &a->tokens[i];
        looks = looks || ((specials || !t->special) && (t->single_word || t->lstrip || t->rstrip));
    }
    return looks;
}

/* The longest token that `text` begins with. */
static const struct para_added_token *token_at(const struct para_added *a, const unsigned char *text, size_t left)
{
    for (int64_t i = a->first[text[0]]; i < a->first[text[0] + 1]; i++) {
        const struct para_added_token *t = &a->tokens[i];
        if (t->bytes <= left && memcmp(text, t->text, t->bytes) == 0)
            return t;
    }
    return NULL;
}

/* Where the last character of a text begins; a byte outside of one counts as one. */
static size_t last_character(const unsigned char *text, size_t n)
{
    for (size_t back = 1; back <= 4 && back <= n; back++) {
        uint32_t c;
        if (para_utf8(text + n - back, back, &c) == (int)back)
            return n - back;
    }
    return n - 1;
}

static bool is_word(const struct para_added *a, const unsigned char *text, size_t n)
{
    uint32_t c;
    int bytes = para_utf8(text, n, &c);
    return bytes > 0 && para_regex_is(a->word, text, (size_t)bytes);
}

static bool stands_alone(const struct para_added *a, const unsigned char *text, size_t begin, size_t end, size_t all)
{
    size_t before = begin > 0 ? last_character(text, begin) : 0;
    return (begin == 0 || !is_word(a, text + before, begin - before)) &&
           (end == all || !is_word(a, text + end, all - end));
}

/* Unicode's White_Space. */
static bool is_space(uint32_t c)
{
    return (c >= '\t' && c <= '\r') || c == ' ' || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

static size_t spaces_before(const unsigned char *text, size_t at)
{
    while (at > 0) {
        size_t last = last_character(text, at);
        uint32_t c;
        if (para_utf8(text + last, at - last, &c) <= 0 || !is_space(c))
            break;
        at = last;
    }
    return at;
}

static size_t spaces_after(const unsigned char *text, size_t at, size_t all)
{
    uint32_t c;
    int bytes;
    while (at < all && (bytes = para_utf8(text + at, all - at, &c)) > 0 && is_space(c))
        at += (size_t)bytes;
    return at;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

bool para_added_find(const struct para_added *a, const unsigned char *text, size_t from, size_t end, size_t all,
                     size_t done, bool specials, struct para_found *found)
{
    while (from < end) {
        const struct para_added_token *t = token_at(a, text + from, all - from);
        size_t begin = from, stop = t ? from + t->bytes : 0;
        from = t ? stop : from + 1;
        if (!t || (t->special && !specials) || (t->single_word && !stands_alone(a, text, begin, stop, all)))
            continue;
        size_t end_of_token = stop;
        if (t->lstrip)
            begin = larger(spaces_before(text, begin), done);
        if (t->rstrip)
            end_of_token = spaces_after(text, stop, all);
        if (begin >= end_of_token)
            continue; /* all of it was taken by the one before */
        *found = (struct para_found){t, larger(begin, done), larger(end_of_token, done), stop};
        return true;
    }
    return false;
}
