/* Multiple choice, read from JSON lines. */
#include <paragraph/data.h>

#include "base/fail.h"
#include "base/grow.h"
#include "io/file.h"

#include <jansson.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FEWEST = 2 };

/* A question holds its line's JSON, whose strings it lends. */
struct question {
    para_choice choice;
    json_t *object;
    const char **endings;
};

struct para_choices {
    struct question *question;
    int count, capacity;
};

/* A line being read. */
struct line {
    const char *path;
    int64_t number;
    const json_t *object;
};

static int complain(const struct line *l, para_error *err, const char *key, const char *expected)
{
    return para_fail(err, PARA_EFORMAT, "%s:%lld: \"%s\" is %s, expected %s", l->path, (long long)l->number, key,
                     json_object_get(l->object, key) ? "something else" : "missing", expected);
}

static int read_context(struct question *q, const struct line *l, para_error *err)
{
    const char *key = json_object_get(l->object, "ctx") ? "ctx" : "prompt";
    q->choice.context = json_string_value(json_object_get(l->object, key));
    if (q->choice.context && q->choice.context[0])
        return 0;
    if (q->choice.context)
        return para_fail(err, PARA_EFORMAT, "%s:%lld: \"%s\" is empty, expected text that endings continue", l->path,
                         (long long)l->number, key);
    return complain(l, err, json_object_get(l->object, key) ? key : "ctx", "a string (in \"ctx\" or \"prompt\")");
}

static int read_endings(struct question *q, const struct line *l, para_error *err)
{
    const json_t *endings = json_object_get(l->object, "endings");
    size_t count = json_array_size(endings);
    if (count < FEWEST)
        return complain(l, err, "endings", "an array of two strings or more");
    q->endings = calloc(count, sizeof *q->endings);
    if (!q->endings)
        return para_fail_memory(err, "endings");
    for (size_t i = 0; i < count; i++) {
        q->endings[i] = json_string_value(json_array_get(endings, i));
        if (!q->endings[i] || !q->endings[i][0])
            return para_fail(err, PARA_EFORMAT, "%s:%lld: \"endings\"[%zu] is %s, expected a string", l->path,
                             (long long)l->number, i, q->endings[i] ? "empty" : "something else");
    }
    q->choice.endings = q->endings;
    q->choice.count = (int)count;
    return 0;
}

/* A whole number, or, as some files have it, its digits in a string. */
static int read_label(struct question *q, const struct line *l, para_error *err)
{
    const json_t *label = json_object_get(l->object, "label");
    const char *digits = json_string_value(label);
    char *end = NULL;
    long long value = json_is_integer(label) ? json_integer_value(label) : digits ? strtoll(digits, &end, 10) : -1;
    if (value < 0 || value >= q->choice.count || (digits && (end == digits || *end)))
        return para_fail(err, PARA_EFORMAT,
                         "%s:%lld: \"label\" is %s, expected the number of the right ending, 0 to %d", l->path,
                         (long long)l->number, label ? "something else" : "missing", q->choice.count - 1);
    q->choice.label = (int)value;
    return 0;
}

static int add_line(para_choices *c, struct line *l, const char *text, size_t bytes, para_error *err)
{
    json_error_t why;
    if (para_grow(&c->question, c->count, &c->capacity, sizeof *c->question) < 0)
        return para_fail_memory(err, "questions");
    struct question *q = &c->question[c->count];
    *q = (struct question){.object = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &why)};
    if (!q->object)
        return para_fail(err, PARA_EFORMAT, "%s:%lld:%d: %s", l->path, (long long)l->number, why.column, why.text);
    c->count++;
    l->object = q->object;
    q->choice.line = l->number;
    if (!json_is_object(q->object))
        return para_fail(err, PARA_EFORMAT,
                         "%s:%lld: expected a JSON object, {\"ctx\": ..., \"endings\": ..., "
                         "\"label\": ...}",
                         l->path, (long long)l->number);
    PARA_TRY(read_context(q, l, err));
    PARA_TRY(read_endings(q, l, err));
    return read_label(q, l, err);
}

/* Lines of nothing but white space are passed over; a mark of UTF-8 may come first. */
static int read_lines(para_choices *c, FILE *file, const char *path, para_error *err)
{
    struct line l = {.path = path};
    char *text = NULL;
    size_t room = 0;
    ssize_t length;
    int status = 0;
    errno = 0;
    while (status == 0 && (length = getline(&text, &room, file)) >= 0) {
        size_t bytes = (size_t)length, begin = l.number++ == 0 && strncmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
        begin += strspn(text + begin, " \t\r\n");
        if (begin < bytes)
            status = add_line(c, &l, text + begin, bytes - begin, err);
    }
    if (status == 0 && ferror(file))
        status = para_fail_system(err, path, "read");
    else if (status == 0 && !feof(file))
        status = para_fail_memory(err, "a line");
    free(text);
    return status;
}

int para_choices_open(para_choices **out, const char *path, para_error *err)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return para_fail_system(err, path, "open");
    para_choices *c = calloc(1, sizeof *c);
    int status = c ? read_lines(c, file, path, err) : para_fail_memory(err, "questions");
    fclose(file);
    if (status == 0 && c->count == 0)
        status = para_fail(err, PARA_EFORMAT, "%s: has no questions, expected a JSON object a line", path);
    if (status == 0)
        *out = c;
    else
        para_choices_free(c);
    return status;
}

void para_choices_free(para_choices *c)
{
    for (int i = 0; c && i < c->count; i++) {
        free(c->question[i].endings);
        json_decref(c->question[i].object);
    }
    if (c)
        free(c->question);
    free(c);
}

int64_t para_choices_count(const para_choices *c)
{
    return c->count;
}

const para_choice *para_choices_item(const para_choices *c, int64_t i)
{
    return i >= 0 && i < c->count ? &c->question[i].choice : NULL;
}
