/* Multiple choice, read from JSON lines. */
#include <paragraph/data.h>

#include "base/fail.h"
#include "base/grow.h"
#include "io/lines.h"

#include <stdlib.h>

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

static int read_context(struct question *q, const struct para_line *l, para_error *err)
{
    const char *key = json_object_get(l->object, "ctx") ? "ctx" : "prompt";
    q->choice.context = json_string_value(json_object_get(l->object, key));
    if (q->choice.context && q->choice.context[0])
        return 0;
    if (q->choice.context)
        return para_fail(err, PARA_EFORMAT, "%s:%lld: \"%s\" is empty, expected text that endings continue", l->path,
                         (long long)l->number, key);
    return para_line_fail(l, json_object_get(l->object, key) ? key : "ctx", "a string (in \"ctx\" or \"prompt\")", err);
}

static int read_endings(struct question *q, const struct para_line *l, para_error *err)
{
    const json_t *endings = json_object_get(l->object, "endings");
    size_t count = json_array_size(endings);
    if (count < FEWEST)
        return para_line_fail(l, "endings", "an array of two strings or more", err);
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
static int read_label(struct question *q, const struct para_line *l, para_error *err)
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

static int take(void *user, const struct para_line *l, para_error *err)
{
    para_choices *c = user;
    if (para_grow(&c->question, c->count, &c->capacity, sizeof *c->question) < 0)
        return para_fail_memory(err, "questions");
    struct question *q = &c->question[c->count++];
    *q = (struct question){.object = json_incref(l->object), .choice = {.line = l->number}};
    PARA_TRY(read_context(q, l, err));
    PARA_TRY(read_endings(q, l, err));
    return read_label(q, l, err);
}

int para_choices_open(para_choices **out, const char *path, para_error *err)
{
    para_choices *c = calloc(1, sizeof *c);
    int status = c ? para_lines_read(path, "{\"ctx\": ..., \"endings\": ..., \"label\": ...}", take, c, err)
                   : para_fail_memory(err, "questions");
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
