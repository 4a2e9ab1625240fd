/* Regular expressions. The dialects agree on nearly all that tokenizers use; what differs is written out, or refused.
 */
#include "io/regex.h"

#include "base/fail.h"
#include "io/bytes.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

enum { MATCH_LIMIT = 5000000 };

struct para_regex {
    pcre2_code *code;
    bool looks_back;
};

struct para_regex_room {
    pcre2_match_data *data;
    pcre2_match_context *context;
};

/* --- dialects --- */

struct translation {
    struct para_bytes out;
    const char *pattern;
    size_t bytes;
    bool in_class, looks_back;
};

static int put(struct translation *t, const char *text, para_error *err)
{
    return para_bytes_append(&t->out, text, strlen(text), err);
}

static int refuse(const struct translation *t, const char *what, para_error *err)
{
    return para_fail(err, PARA_ESUPPORT, "the pattern \"%.200s\" has %s, which is not supported", t->pattern, what);
}

/* \w is what is alphabetic, a mark, a decimal or joins words, and the numbers of Latin-1; \b goes by it. */
#define WORD "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}"

/* \s is White_Space: PCRE2's has U+180E too. */
static int put_escape(struct translation *t, char c, para_error *err)
{
    char copy[3] = {'\\', c, '\0'};
    switch (c) {
    case 's':
        return put(t, "\\p{White_Space}", err);
    case 'S':
        return put(t, "\\P{White_Space}", err);
    case 'w':
        return put(t, t->in_class ? WORD : "[" WORD "]", err);
    case 'W':
        return t->in_class ? refuse(t, "\\W in a class", err) : put(t, "[^" WORD "]", err);
    case 'h':
    case 'H':
        return refuse(t, "\\h, a hexadecimal digit", err);
    case 'K':
        return refuse(t, "\\K", err);
    case 'u':
        return put(t, "\\x", err);
    case 'b':
        return put(t, t->in_class ? copy : "(?:(?<=[" WORD "])(?![" WORD "])|(?<![" WORD "])(?=[" WORD "]))", err);
    case 'B':
        return put(t, "(?:(?<=[" WORD "])(?=[" WORD "])|(?<![" WORD "])(?![" WORD "]))", err);
    case 'A':
    case 'G':
        t->looks_back = true;
        break;
    default:
        break;
    }
    return put(t, copy, err);
}

/* Four hexadecimal digits of \uXXXX, which PCRE2 wants in braces; 0 if they aren't there. */
static size_t put_code_point(struct translation *t, size_t at, para_error *err)
{
    char braces[8] = "{";
    size_t digits = 0;
    while (digits < 4 && at + digits < t->bytes && strchr("0123456789abcdefABCDEF", t->pattern[at + digits]) &&
           t->pattern[at + digits]) {
        braces[1 + digits] = t->pattern[at + digits];
        digits++;
    }
    braces[1 + digits] = '}';
    return digits == 4 && put(t, braces, err) == 0 ? digits : 0;
}

/* One character outside of escapes. */
static int put_plain(struct translation *t, size_t at, para_error *err)
{
    char c = t->pattern[at], next = at + 1 < t->bytes ? t->pattern[at + 1] : '\0';
    if (t->in_class && c == '[' && next != ':')
        return refuse(t, "a class within a class", err);
    if (t->in_class && c == '&' && next == '&')
        return refuse(t, "an intersection of classes", err);
    if (!t->in_class && c == '^')
        t->looks_back = true;
    return para_bytes_append(&t->out, &c, 1, err);
}

/* Where a class begins, its first ] is a character of it. */
static int put_class_begin(struct translation *t, size_t *at, para_error *err)
{
    static const char *const begins[] = {"[^]", "[]", "[^", "["};
    for (size_t i = 0; i < sizeof begins / sizeof begins[0]; i++) {
        size_t length = strlen(begins[i]);
        if (length <= t->bytes - *at && memcmp(t->pattern + *at, begins[i], length) == 0) {
            t->in_class = true;
            *at += length;
            return put(t, begins[i], err);
        }
    }
    return 0;
}

static int translate(struct translation *t, para_error *err)
{
    for (size_t at = 0; at < t->bytes;) {
        char c = t->pattern[at];
        if (c == '\\' && at + 1 < t->bytes) {
            PARA_TRY(put_escape(t, t->pattern[at + 1], err));
            at += 2;
            if (t->pattern[at - 1] == 'u') {
                size_t digits = put_code_point(t, at, err);
                if (digits == 0)
                    return refuse(t, "\\u without four hexadecimal digits", err);
                at += digits;
            }
        } else if (c == '[' && !t->in_class) {
            PARA_TRY(put_class_begin(t, &at, err));
        } else if (c == '[' && at + 1 < t->bytes && t->pattern[at + 1] == ':' && strstr(t->pattern + at, ":]")) {
            size_t length = (size_t)(strstr(t->pattern + at, ":]") + 2 - (t->pattern + at));
            PARA_TRY(para_bytes_append(&t->out, t->pattern + at, length, err));
            at += length;
        } else {
            PARA_TRY(put_plain(t, at++, err));
            t->in_class = t->in_class && c != ']';
        }
    }
    return 0;
}

/* --- making one --- */

static int fail_compile(para_error *err, const char *pattern, int status, size_t place)
{
    char why[120] = "unknown error";
    if (status == PCRE2_ERROR_NOMEMORY)
        return para_fail_memory(err, "a pattern");
    pcre2_get_error_message(status, (PCRE2_UCHAR *)why, sizeof why);
    return para_fail(err, PARA_ESUPPORT, "the pattern \"%.200s\" is not taken by PCRE2 at byte %zu: %s", pattern, place,
                     why);
}

static int compile(struct para_regex *r, const char *pattern, size_t bytes, bool literal, para_error *err)
{
    struct translation t = {.pattern = pattern, .bytes = bytes};
    uint32_t behind = 0, options = literal ? PCRE2_UTF | PCRE2_LITERAL : PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE;
    int why, status = literal ? para_bytes_append(&t.out, pattern, bytes, err) : translate(&t, err);
    size_t place;
    if (status == 0) {
        r->code = pcre2_compile(t.out.at, t.out.count, options, &why, &place, NULL);
        status = r->code ? 0 : fail_compile(err, pattern, why, place);
    }
    free(t.out.at);
    if (status < 0)
        return status;
    pcre2_pattern_info(r->code, PCRE2_INFO_MAXLOOKBEHIND, &behind);
    r->looks_back = behind > 0 || t.looks_back;
    /* Faster where there is one; without, matches are interpreted. */
    pcre2_jit_compile(r->code, PCRE2_JIT_COMPLETE | PCRE2_JIT_PARTIAL_HARD);
    return 0;
}

int para_regex_new(struct para_regex **out, const char *pattern, size_t bytes, bool literal, para_error *err)
{
    struct para_regex *r = calloc(1, sizeof *r);
    if (!r)
        return para_fail_memory(err, "a pattern");
    int status = compile(r, pattern, bytes, literal, err);
    if (status < 0)
        para_regex_free(r);
    else
        *out = r;
    return status;
}

void para_regex_free(struct para_regex *r)
{
    if (!r)
        return;
    pcre2_code_free(r->code);
    free(r);
}

bool para_regex_looks_back(const struct para_regex *r)
{
    return r->looks_back;
}

int para_regex_room_new(struct para_regex_room **out, para_error *err)
{
    struct para_regex_room *room = calloc(1, sizeof *room);
    if (room) {
        room->data = pcre2_match_data_create(1, NULL);
        room->context = pcre2_match_context_create(NULL);
    }
    if (!room || !room->data || !room->context) {
        para_regex_room_free(room);
        return para_fail_memory(err, "a match");
    }
    pcre2_set_match_limit(room->context, MATCH_LIMIT);
    *out = room;
    return 0;
}

void para_regex_room_free(struct para_regex_room *room)
{
    if (!room)
        return;
    pcre2_match_data_free(room->data);
    pcre2_match_context_free(room->context);
    free(room);
}

/* --- matching --- */

int para_regex_find(const struct para_regex *r, struct para_regex_room *room, const unsigned char *text, size_t from,
                    size_t n, bool open, size_t *begin, size_t *end, para_error *err)
{
    uint32_t options = PCRE2_NO_UTF_CHECK | (open ? PCRE2_PARTIAL_HARD : 0);
    int found = pcre2_match(r->code, text, n, from, options, room->data, room->context);
    if (found == PCRE2_ERROR_JIT_STACKLIMIT)
        found = pcre2_match(r->code, text, n, from, options | PCRE2_NO_JIT, room->data, room->context);
    if (found == PCRE2_ERROR_NOMATCH)
        return PARA_REGEX_NONE;
    if (found == PCRE2_ERROR_PARTIAL)
        return PARA_REGEX_OPEN;
    if (found < 0) {
        char why[120] = "unknown error";
        pcre2_get_error_message(found, (PCRE2_UCHAR *)why, sizeof why);
        return para_fail(err, PARA_ERANGE, "a text can't be cut by the tokenizer's pattern: %s", why);
    }
    const size_t *place = pcre2_get_ovector_pointer(room->data);
    *begin = place[0];
    *end = place[1];
    return PARA_REGEX_MATCH;
}

bool para_regex_is(const struct para_regex *r, const unsigned char *text, size_t n)
{
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    int found = data ? pcre2_match(r->code, text, n, 0, PCRE2_NO_UTF_CHECK | PCRE2_ANCHORED, data, NULL) : -1;
    bool whole = found >= 0 && pcre2_get_ovector_pointer(data)[1] == n;
    pcre2_match_data_free(data);
    return whole;
}
