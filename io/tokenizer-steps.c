/* Reading tokenizer.json: the parts that say how text is cut into words, and what tokens stand for. */
#include "io/tokenizer-files.h"

#include "base/fail.h"
#include "base/utf8.h"
#include "io/letters.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A part of the file. */
struct part {
    para_tokenizer *t;
    const char *path, *name; /* of the file, and in it */
    bool letters;            /* words were cut from letters already: nothing may follow */
    bool fused;              /* decoded tokens were put together already */
};

static const char *type_of(const json_t *object)
{
    const char *type = json_string_value(json_object_get(object, "type"));
    return type ? type : "(none)";
}

static int fail_type(const struct part *p, const json_t *object, const char *supported, para_error *err)
{
    return para_fail(err, PARA_ESUPPORT, "%s: %s type \"%.100s\" is not supported; supported are %s", p->path, p->name,
                     type_of(object), supported);
}

static int fail_field(const struct part *p, const json_t *object, const char *field, const char *expected,
                      para_error *err)
{
    return para_fail(err, PARA_EFORMAT, "%s: %s %s: \"%s\": expected %s", p->path, p->name, type_of(object), field,
                     expected);
}

static int refuse(const struct part *p, const json_t *object, const char *what, para_error *err)
{
    return para_fail(err, PARA_ESUPPORT, "%s: %s %s: %s is not supported", p->path, p->name, type_of(object), what);
}

static bool is_type(const json_t *object, const char *type)
{
    return strcmp(type_of(object), type) == 0;
}

static bool flag(const json_t *object, const char *field, bool otherwise)
{
    const json_t *value = json_object_get(object, field);
    return json_is_boolean(value) ? json_is_true(value) : otherwise;
}

typedef int (*reader)(struct part *p, const json_t *object, para_error *err);

/* Each of a sequence, which stands under a name of the part's own. */
static int read_sequence(struct part *p, const json_t *object, const char *field, reader read, para_error *err)
{
    const json_t *all = json_object_get(object, field), *one;
    size_t i;
    if (!json_is_array(all))
        return fail_field(p, object, field, "a list", err);
    json_array_foreach(all, i, one) PARA_TRY(read(p, one, err));
    return 0;
}

static bool is_nothing(const json_t *object)
{
    return !object || json_is_null(object);
}

/* A text of one character; NULL if it isn't one. */
static const char *character(const json_t *value)
{
    const char *text = json_string_value(value);
    uint32_t c;
    size_t bytes = text ? strlen(text) : 0;
    return bytes > 0 && para_utf8((const unsigned char *)text, bytes, &c) == (int)bytes ? text : NULL;
}

/* --- normalizer --- */

static int read_normalizer(struct part *p, const json_t *object, para_error *err)
{
    static const char *const forms[] = {"NFC", "NFD", "NFKC", "NFKD"};
    struct para_transforms *to = &p->t->normalizer;
    if (is_type(object, "Sequence"))
        return read_sequence(p, object, "normalizers", read_normalizer, err);
    for (int i = 0; i < 4; i++)
        if (is_type(object, forms[i]))
            return para_transforms_add(to, PARA_NFC + (enum para_transform_kind)i, NULL, NULL, err);
    if (is_type(object, "Prepend")) {
        const char *text = json_string_value(json_object_get(object, "prepend"));
        return text ? para_transforms_add(to, PARA_PREPEND, NULL, text, err)
                    : fail_field(p, object, "prepend", "a text", err);
    }
    if (is_type(object, "Replace")) {
        const json_t *pattern = json_object_get(object, "pattern");
        const char *from = json_string_value(json_object_get(pattern, "String")),
                   *by = json_string_value(json_object_get(object, "content"));
        if (json_object_get(pattern, "Regex"))
            return refuse(p, object, "a pattern \"Regex\"", err);
        return from && *from && by ? para_transforms_add(to, PARA_REPLACE, from, by, err)
                                   : fail_field(p, object, "pattern", "{\"String\": a text}, and \"content\"", err);
    }
    return fail_type(p, object, "NFC, NFD, NFKC, NFKD, Prepend, Replace, Sequence", err);
}

int para_tokenizer_read_normalizer(para_tokenizer *t, const char *path, const json_t *part, para_error *err)
{
    struct part p = {.t = t, .path = path, .name = "normalizer"};
    return is_nothing(part) ? 0 : read_normalizer(&p, part, err);
}

/* --- pre-tokenizer --- */

static int add_pattern(struct part *p, const json_t *object, const char *pattern, bool literal,
                       enum para_behaviour behaviour, bool invert, para_error *err)
{
    para_error why;
    struct para_step step = {.behaviour = behaviour, .invert = invert};
    int status = para_regex_new(&step.regex, pattern, strlen(pattern), literal, &why);
    if (status < 0)
        return para_fail(err, status, "%s: %s %s: %s", p->path, p->name, type_of(object), why.message);
    return para_steps_add(&p->t->steps, step, err);
}

static int read_split(struct part *p, const json_t *object, para_error *err)
{
    static const char *const behaviours[] = {"Isolated", "Removed", "Contiguous", "MergedWithPrevious",
                                             "MergedWithNext"};
    enum { COUNT = sizeof behaviours / sizeof behaviours[0] };
    const json_t *pattern = json_object_get(object, "pattern");
    const char *behaviour = json_string_value(json_object_get(object, "behavior")),
               *literal = json_string_value(json_object_get(pattern, "String")),
               *regex = json_string_value(json_object_get(pattern, "Regex"));
    int found = 0;
    while (behaviour && found < COUNT && strcmp(behaviour, behaviours[found]) != 0)
        found++;
    if (!behaviour || found == COUNT)
        return fail_field(p, object, "behavior", "Isolated, Removed, Contiguous, MergedWithPrevious or MergedWithNext",
                          err);
    if ((!literal && !regex) || (literal && !*literal))
        return fail_field(p, object, "pattern", "{\"String\": a text} or {\"Regex\": a pattern}", err);
    return add_pattern(p, object, literal ? literal : regex, literal != NULL, (enum para_behaviour)found,
                       flag(object, "invert", false), err);
}

/* Cut before each mark, or, of marks that follow one another, before the first. */
static int add_cuts(struct part *p, const json_t *object, const char *mark, size_t bytes, bool runs, para_error *err)
{
    char pattern[64];
    uint32_t c = 0;
    para_utf8((const unsigned char *)mark, bytes, &c);
    snprintf(pattern, sizeof pattern, "\\x{%x}%s[^\\x{%x}]*|[^\\x{%x}]+", (unsigned)c, runs ? "+" : "", (unsigned)c,
             (unsigned)c);
    return add_pattern(p, object, pattern, false, PARA_ISOLATED, false, err);
}

/* What changes text does so once, before it is cut. */
static int refuse_after_cut(const struct part *p, const json_t *object, const char *what, para_error *err)
{
    return p->t->steps.count > 0 || p->t->prefixer.count > 0 ? refuse(p, object, what, err) : 0;
}

static int read_byte_level(struct part *p, const json_t *object, para_error *err)
{
    p->letters = true;
    if (flag(object, "add_prefix_space", true)) {
        PARA_TRY(refuse_after_cut(p, object, "\"add_prefix_space\" behind another pre_tokenizer", err));
        PARA_TRY(para_transforms_add(&p->t->prefixer, PARA_PREFIX, NULL, " ", err));
    }
    return flag(object, "use_regex", true) ? para_steps_add(&p->t->steps, (struct para_step){0}, err) : 0;
}

/* Older files say "add_prefix_space", newer ones by which rule. */
static int read_metaspace(struct part *p, const json_t *object, para_error *err)
{
    const char *mark = character(json_object_get(object, "replacement")),
               *scheme = json_string_value(json_object_get(object, "prepend_scheme"));
    struct para_transforms *to = &p->t->prefixer;
    if (!mark)
        return fail_field(p, object, "replacement", "a character", err);
    if (!scheme)
        scheme = flag(object, "add_prefix_space", true) ? "always" : "never";
    bool first = strcmp(scheme, "first") == 0, always = strcmp(scheme, "always") == 0;
    if (!first && !always && strcmp(scheme, "never") != 0)
        return fail_field(p, object, "prepend_scheme", "always, first or never", err);
    PARA_TRY(refuse_after_cut(p, object, "its place behind another pre_tokenizer", err));
    PARA_TRY(para_transforms_add(to, PARA_REPLACE, " ", mark, err));
    if (first || always) {
        PARA_TRY(para_transforms_add(to, PARA_PREFIX, NULL, mark, err));
        to->of[to->count - 1].first = first;
    }
    return flag(object, "split", true) ? add_cuts(p, object, mark, strlen(mark), false, err) : 0;
}

static int read_pre_tokenizer(struct part *p, const json_t *object, para_error *err)
{
    if (p->letters)
        return refuse(p, object, "its place behind ByteLevel", err);
    if (is_type(object, "Sequence"))
        return read_sequence(p, object, "pretokenizers", read_pre_tokenizer, err);
    if (is_type(object, "Split"))
        return read_split(p, object, err);
    if (is_type(object, "ByteLevel"))
        return read_byte_level(p, object, err);
    if (is_type(object, "Metaspace"))
        return read_metaspace(p, object, err);
    if (is_type(object, "Digits"))
        return add_pattern(p, object, flag(object, "individual_digits", false) ? "\\p{N}" : "\\p{N}+", false,
                           PARA_ISOLATED, false, err);
    return fail_type(p, object, "ByteLevel, Digits, Metaspace, Sequence, Split", err);
}

int para_tokenizer_read_pre_tokenizer(para_tokenizer *t, const char *path, const json_t *part, bool *letters,
                                      para_error *err)
{
    struct part p = {.t = t, .path = path, .name = "pre_tokenizer"};
    PARA_TRY(is_nothing(part) ? 0 : read_pre_tokenizer(&p, part, err));
    *letters = p.letters;
    return 0;
}

/* The character that spaces become, or NULL. */
static const struct para_bytes *space_mark(const struct para_transforms *t)
{
    const struct para_bytes *mark = NULL;
    for (int i = 0; i < t->count; i++) {
        uint32_t c;
        const struct para_transform *one = &t->of[i];
        if (one->kind == PARA_REPLACE && one->from.count == 1 && one->from.at[0] == ' ' &&
            para_utf8(one->to.at, one->to.count, &c) == (int)one->to.count)
            mark = &one->to;
    }
    return mark;
}

/* Whether a token has the mark behind another character. */
static bool mark_follows(const char *text, size_t bytes, const struct para_bytes *mark)
{
    while (bytes >= mark->count && memcmp(text, mark->at, mark->count) == 0) {
        text += mark->count;
        bytes -= mark->count;
    }
    for (; bytes >= mark->count; text++, bytes--)
        if (memcmp(text, mark->at, mark->count) == 0)
            return true;
    return false;
}

int para_tokenizer_cut_at_spaces(para_tokenizer *t, para_error *err)
{
    const struct para_vocabulary *v = &t->vocabulary;
    const struct para_bytes *in_normalizer = space_mark(&t->normalizer), *in_prefixer = space_mark(&t->prefixer),
                            *mark = in_prefixer ? in_prefixer : in_normalizer;
    if (!mark || !v->characters || v->whole_words || t->steps.count > 0 ||
        para_texts_find(&v->texts, mark->at, mark->count) < 0)
        return 0;
    for (size_t i = 0; i < v->bpe.merges; i++)
        if (mark_follows(para_texts_get(&v->texts, v->bpe.made[i]), v->texts.of[v->bpe.made[i]].count, mark))
            return 0;
    struct part p = {.t = t, .name = "pre_tokenizer"};
    return add_cuts(&p, NULL, (const char *)mark->at, mark->count, true, err);
}

/* --- post-processor --- */

static int insert_ids(int32_t **ids, int64_t *count, bool front, const json_t *new, para_error *err)
{
    int64_t more = (int64_t)json_array_size(new);
    int32_t *all = realloc(*ids, (size_t)(*count + more) * sizeof *all + 1);
    if (!all)
        return para_fail_memory(err, "the post_processor of a tokenizer");
    *ids = all;
    if (front && *count > 0)
        memmove(all + more, all, (size_t)*count * sizeof *all);
    for (int64_t i = 0; i < more; i++)
        all[(front ? 0 : *count) + i] = (int32_t)json_integer_value(json_array_get(new, (size_t)i));
    *count += more;
    return 0;
}

/* The ids of a special token, by the template's own table. */
static const json_t *template_ids(const struct part *p, const json_t *object, const char *token)
{
    const json_t *ids = json_object_get(json_object_get(json_object_get(object, "special_tokens"), token), "ids"), *id;
    size_t i;
    json_array_foreach(ids, i, id)
    {
        json_int_t value = json_integer_value(id);
        if (!json_is_integer(id) || value < 0 || value >= p->t->vocabulary.texts.count)
            return NULL;
    }
    return ids;
}

/* What stands before and after $A; of several templates each stands around those before it. */
static int read_template(struct part *p, const json_t *object, para_error *err)
{
    const json_t *single = json_object_get(object, "single"), *piece;
    size_t count = json_array_size(single), place = count;
    for (size_t i = 0; i < count; i++)
        if (json_object_get(json_array_get(single, i), "Sequence")) {
            if (place < count)
                return refuse(p, object, "a template with the text twice", err);
            place = i;
        }
    if (place == count)
        return fail_field(p, object, "single", "a list with a {\"Sequence\": ...}", err);
    for (size_t i = 0; i < count; i++) {
        size_t at = i < place ? place - 1 - i : i;
        piece = json_array_get(single, at);
        const char *token = json_string_value(json_object_get(json_object_get(piece, "SpecialToken"), "id"));
        const json_t *ids = token ? template_ids(p, object, token) : NULL;
        if (at == place)
            continue;
        if (!json_is_array(ids))
            return fail_field(p, object, "special_tokens", "the ids of each special token of \"single\"", err);
        PARA_TRY(at < place ? insert_ids(&p->t->before, &p->t->before_count, true, ids, err)
                            : insert_ids(&p->t->after, &p->t->after_count, false, ids, err));
    }
    return 0;
}

/* That of ByteLevel is about places in the text alone. */
static int read_post_processor(struct part *p, const json_t *object, para_error *err)
{
    if (is_type(object, "Sequence"))
        return read_sequence(p, object, "processors", read_post_processor, err);
    if (is_type(object, "ByteLevel"))
        return 0;
    if (is_type(object, "TemplateProcessing"))
        return read_template(p, object, err);
    return fail_type(p, object, "ByteLevel, Sequence, TemplateProcessing", err);
}

int para_tokenizer_read_post_processor(para_tokenizer *t, const char *path, const json_t *part, para_error *err)
{
    struct part p = {.t = t, .path = path, .name = "post_processor"};
    return is_nothing(part) ? 0 : read_post_processor(&p, part, err);
}

/* --- decoder --- */

enum decoding { LETTERS, BYTE_FALLBACK, REPLACE };

/* What tokens go through, one by one, before they are put together. */
struct decoder {
    struct part part;
    struct {
        enum decoding kind;
        const char *from, *to;
    } of[PARA_STEPS];
    int count;
};

static int add_decoding(struct decoder *d, const json_t *object, enum decoding kind, const char *from, const char *to,
                        para_error *err)
{
    if (d->part.fused || d->count == PARA_STEPS)
        return refuse(&d->part, object, d->part.fused ? "its place behind Fuse" : "a decoder of so many parts", err);
    d->of[d->count].kind = kind;
    d->of[d->count].from = from;
    d->of[d->count++].to = to;
    return 0;
}

/* Spaces that a decoded text begins with are left out. */
static int read_strip(struct decoder *d, const json_t *object, para_error *err)
{
    const char *content = json_string_value(json_object_get(object, "content"));
    json_int_t start = json_integer_value(json_object_get(object, "start"));
    if (!d->part.fused)
        return refuse(&d->part, object, "its place before Fuse", err);
    if (!content || strcmp(content, " ") != 0 || json_integer_value(json_object_get(object, "stop")) != 0)
        return refuse(&d->part, object, "other \"content\" than a space, or a \"stop\",", err);
    if (start < 0 || start > INT_MAX)
        return fail_field(&d->part, object, "start", "a number of spaces", err);
    d->part.t->stripped = (int)start;
    return 0;
}

static int read_metaspaces(struct decoder *d, const json_t *object, para_error *err)
{
    const char *mark = character(json_object_get(object, "replacement")),
               *scheme = json_string_value(json_object_get(object, "prepend_scheme"));
    bool prefixed = scheme ? strcmp(scheme, "never") != 0 : flag(object, "add_prefix_space", true);
    if (!mark)
        return fail_field(&d->part, object, "replacement", "a character", err);
    d->part.t->stripped = prefixed ? INT_MAX : 0;
    d->part.t->strips_first = prefixed;
    return add_decoding(d, object, REPLACE, mark, " ", err);
}

static int read_decoder(struct part *p, const json_t *object, para_error *err)
{
    struct decoder *d = (struct decoder *)p; /* whose first member it is */
    if (is_type(object, "Sequence"))
        return read_sequence(p, object, "decoders", read_decoder, err);
    if (is_type(object, "ByteLevel"))
        return add_decoding(d, object, LETTERS, NULL, NULL, err);
    if (is_type(object, "ByteFallback"))
        return add_decoding(d, object, BYTE_FALLBACK, NULL, NULL, err);
    if (is_type(object, "Metaspace"))
        return read_metaspaces(d, object, err);
    if (is_type(object, "Strip"))
        return read_strip(d, object, err);
    if (is_type(object, "Fuse")) {
        p->fused = true;
        return 0;
    }
    if (is_type(object, "Replace")) {
        const char *from = json_string_value(json_object_get(json_object_get(object, "pattern"), "String")),
                   *to = json_string_value(json_object_get(object, "content"));
        return from && *from && to ? add_decoding(d, object, REPLACE, from, to, err)
                                   : fail_field(p, object, "pattern", "{\"String\": a text}, and \"content\"", err);
    }
    return fail_type(p, object, "ByteFallback, ByteLevel, Fuse, Metaspace, Replace, Sequence, Strip", err);
}

/* The byte of a token such as <0x0A>, or -1. */
static int byte_of(const char *text, size_t bytes)
{
    unsigned value;
    char end;
    return bytes == 6 && sscanf(text, "<0x%2X%c", &value, &end) == 2 && end == '>' ? (int)value : -1;
}

static int decode_letters(const char *text, size_t n, struct para_bytes *out, para_error *err)
{
    PARA_TRY(para_bytes_append(out, text, n, err)); /* the room that is needed at most */
    size_t bytes = para_letters_read((const unsigned char *)text, n, out->at);
    out->count = bytes > 0 ? bytes : n;
    if (bytes == 0)
        memcpy(out->at, text, n);
    return 0;
}

static int replace_all(const char *text, size_t n, const char *from, const char *to, struct para_bytes *out,
                       para_error *err)
{
    size_t length = strlen(from);
    for (size_t at = 0; at < n;) {
        bool here = length <= n - at && memcmp(text + at, from, length) == 0;
        PARA_TRY(here ? para_bytes_append(out, to, strlen(to), err) : para_bytes_append(out, text + at, 1, err));
        at += here ? length : 1;
    }
    return 0;
}

/* Append what a token stands for. */
static int decode(const struct decoder *d, const char *text, size_t n, struct para_bytes buffer[2],
                  struct para_bytes *out, para_error *err)
{
    for (int i = 0; i < d->count; i++) {
        struct para_bytes *to = &buffer[i % 2];
        int byte = d->of[i].kind == BYTE_FALLBACK ? byte_of(text, n) : -1;
        char one = (char)byte;
        to->count = 0;
        if (d->of[i].kind == LETTERS)
            PARA_TRY(decode_letters(text, n, to, err));
        else if (d->of[i].kind == REPLACE)
            PARA_TRY(replace_all(text, n, d->of[i].from, d->of[i].to, to, err));
        else
            PARA_TRY(byte >= 0 ? para_bytes_append(to, &one, 1, err) : para_bytes_append(to, text, n, err));
        text = (const char *)to->at;
        n = to->count;
    }
    return para_bytes_append(out, text, n, err);
}

static int decode_all(const struct decoder *d, const bool *is_text, para_error *err)
{
    static const struct decoder as_written;
    struct para_vocabulary *v = &d->part.t->vocabulary;
    struct para_bytes buffer[2] = {{0}}, all = {0};
    int status = 0;
    v->start = calloc((size_t)v->texts.count + 1, sizeof *v->start);
    if (!v->start)
        return para_fail_memory(err, "the tokens of a tokenizer");
    for (int64_t i = 0; i < v->texts.count && status == 0; i++) {
        status =
            decode(is_text[i] ? &as_written : d, para_texts_get(&v->texts, i), v->texts.of[i].count, buffer, &all, err);
        v->start[i + 1] = all.count;
    }
    v->bytes = all.at;
    free(buffer[0].at);
    free(buffer[1].at);
    return status;
}

int para_tokenizer_read_decoder(para_tokenizer *t, const char *path, const json_t *part, const bool *is_text,
                                bool letters, para_error *err)
{
    struct decoder d = {.part = {.t = t, .path = path, .name = "decoder"}};
    if (!is_nothing(part))
        PARA_TRY(read_decoder(&d.part, part, err));
    else if (letters)
        d.of[d.count++].kind = LETTERS;
    return decode_all(&d, is_text, err);
}
