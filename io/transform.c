/* What happens to a text before it is cut into words. Normal forms are utf8proc's. */
#include "io/transform.h"

#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum {
    COMBINES = 0xcc /* characters below U+0300, whose first bytes are less, are in form C whatever stands beside */
};

static int append_text(struct para_bytes *b, const char *text, para_error *err)
{
    return text ? para_bytes_append(b, text, strlen(text), err) : 0;
}

int para_transforms_add(struct para_transforms *t, enum para_transform_kind kind, const char *from, const char *to,
                        para_error *err)
{
    if (para_grow(&t->of, t->count, &t->room, sizeof *t->of) < 0)
        return para_fail_memory(err, "the normalizer of a tokenizer");
    struct para_transform *new = &t->of[t->count++];
    *new = (struct para_transform){.kind = kind};
    PARA_TRY(append_text(&new->from, from, err));
    return append_text(&new->to, to, err);
}

void para_transforms_free(struct para_transforms *t)
{
    for (int i = 0; i < t->count; i++) {
        free(t->of[i].from.at);
        free(t->of[i].to.at);
    }
    free(t->of);
    *t = (struct para_transforms){0};
}

static bool is_form(const struct para_transform *t)
{
    return t->kind <= PARA_NFKD;
}

/* A text of one character isn't cut in two where characters aren't. */
bool para_transforms_need_all(const struct para_transforms *t)
{
    bool need = false;
    for (int i = 0; i < t->count; i++) {
        uint32_t c;
        const struct para_bytes *from = &t->of[i].from;
        bool one = t->of[i].kind != PARA_REPLACE || para_utf8(from->at, from->count, &c) == (int)from->count;
        need = need || !one;
    }
    return need;
}

/* How many bytes at the end of a text begin a character that isn't whole. */
static size_t unfinished(const unsigned char *text, size_t n)
{
    for (size_t back = 1; back < 4 && back <= n; back++) {
        uint32_t c;
        if (para_utf8(text + n - back, back, &c) < 0)
            return back;
    }
    return 0;
}

/* A character of ASCII joins nothing that stands before it: a form's result is known up to there. */
size_t para_transforms_settled(const struct para_transforms *t, const unsigned char *text, size_t n)
{
    bool forms = false;
    for (int i = 0; i < t->count; i++)
        forms = forms || is_form(&t->of[i]);
    if (!forms)
        return n - unfinished(text, n);
    while (n > 0 && text[n - 1] >= 0x80)
        n--;
    return n > 0 ? n - 1 : 0;
}

/* --- forms --- */

static utf8proc_option_t options_of(enum para_transform_kind kind)
{
    int compose = kind == PARA_NFC || kind == PARA_NFKC ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE;
    int compatible = kind == PARA_NFKC || kind == PARA_NFKD ? UTF8PROC_COMPAT : 0;
    return (utf8proc_option_t)(UTF8PROC_STABLE | compose | compatible);
}

/* Append well-formed text in its form. */
static int append_form(struct para_bytes *out, enum para_transform_kind kind, const unsigned char *text, size_t n,
                       para_error *err)
{
    bool plain = n == 0 || kind == PARA_NFC;
    for (size_t i = 0; i < n && plain; i++)
        plain = text[i] < COMBINES;
    if (plain)
        return para_bytes_append(out, text, n, err);
    utf8proc_uint8_t *form;
    utf8proc_ssize_t bytes = utf8proc_map(text, (utf8proc_ssize_t)n, &form, options_of(kind));
    if (bytes == UTF8PROC_ERROR_NOMEM)
        return para_fail_memory(err, "a text's normal form");
    if (bytes < 0)
        return para_fail(err, PARA_EFORMAT, "a text has no normal form: %s", utf8proc_errmsg(bytes));
    int status = para_bytes_append(out, form, (size_t)bytes, err);
    free(form);
    return status;
}

/* The end of the characters outside of ASCII that begin at `at`; bytes outside of characters end them too. */
static size_t run_end(const unsigned char *text, size_t at, size_t n)
{
    uint32_t c;
    int bytes;
    while (at < n && text[at] >= 0x80 && (bytes = para_utf8(text + at, n - at, &c)) > 0)
        at += (size_t)bytes;
    return at;
}

/* Characters of ASCII are what they are, but for the last before others, which may be combined with it. */
static int form(struct para_bytes *out, enum para_transform_kind kind, const unsigned char *text, size_t n,
                para_error *err)
{
    size_t done = 0, at = 0;
    while (at < n) {
        while (at < n && text[at] < 0x80)
            at++;
        size_t end = run_end(text, at, n), begin = end > at && at > done ? at - 1 : at;
        PARA_TRY(para_bytes_append(out, text + done, begin - done, err));
        PARA_TRY(append_form(out, kind, text + begin, end - begin, err));
        done = end;
        at = end < n && text[end] >= 0x80 ? end + 1 : end;
        PARA_TRY(para_bytes_append(out, text + done, at - done, err));
        done = at;
    }
    return 0;
}

/* --- spaces --- */

static int replace(struct para_bytes *out, const struct para_transform *t, const unsigned char *text, size_t n,
                   para_error *err)
{
    size_t done = 0;
    for (size_t at = 0; at + t->from.count <= n;) {
        const unsigned char *next = memchr(text + at, t->from.at[0], n - at);
        if (!next)
            break;
        at = (size_t)(next - text);
        if (t->from.count > n - at || memcmp(next, t->from.at, t->from.count) != 0) {
            at++;
            continue;
        }
        PARA_TRY(para_bytes_append(out, text + done, at - done, err));
        PARA_TRY(para_bytes_append(out, t->to.at, t->to.count, err));
        done = at += t->from.count;
    }
    return para_bytes_append(out, text + done, n - done, err);
}

static bool begins_with(const unsigned char *text, size_t n, const struct para_bytes *what)
{
    return what->count <= n && (what->count == 0 || memcmp(text, what->at, what->count) == 0);
}

static int apply(const struct para_transform *t, struct para_whereabouts where, const unsigned char *text, size_t n,
                 struct para_bytes *out, para_error *err)
{
    if (is_form(t))
        return form(out, t->kind, text, n, err);
    if (t->kind == PARA_REPLACE)
        return replace(out, t, text, n, err);
    bool applies = where.begin && n > 0 && (where.first || !t->first);
    if (applies && !(t->kind == PARA_PREFIX && begins_with(text, n, &t->to)))
        PARA_TRY(para_bytes_append(out, t->to.at, t->to.count, err));
    return para_bytes_append(out, text, n, err);
}

int para_transforms_apply(const struct para_transforms *t, struct para_whereabouts where, const unsigned char *text,
                          size_t n, struct para_bytes buffer[2], const unsigned char **out, size_t *out_bytes,
                          para_error *err)
{
    for (int i = 0; i < t->count; i++) {
        struct para_bytes *to = &buffer[i % 2];
        to->count = 0;
        PARA_TRY(apply(&t->of[i], where, text, n, to, err));
        text = to->at;
        n = to->count;
    }
    *out = text;
    *out_bytes = n;
    return 0;
}
