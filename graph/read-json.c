/* Typed getters for files that are not believed. */
#if defined(PARA_HAVE_IO) && PARA_HAVE_IO

#include "graph/read-json.h"

#include "graph/json-line.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* All of a file, ended by '\0'; NULL when memory runs out. */
static char *read_all(FILE *in, size_t *bytes)
{
    size_t room = 65536, used = 0;
    char *text = malloc(room);
    for (size_t got = 1; text && got > 0; used += got) {
        got = fread(text + used, 1, room - used - 1, in);
        if (used + got < room - 1)
            continue;
        char *more = room > SIZE_MAX / 2 ? NULL : realloc(text, room *= 2);
        if (!more)
            free(text);
        text = more;
    }
    if (text)
        text[used] = '\0';
    *bytes = used;
    return text;
}

static int parse(struct para_loader *l, size_t bytes, int (*load)(struct para_loader *, json_t *))
{
    json_error_t where;
    json_t *root = json_loadb(l->text, bytes, JSON_REJECT_DUPLICATES, &where);
    if (!root)
        return para_fail(l->err, PARA_EFORMAT, "%s: line %d, column %d: %s", l->file, where.line, where.column,
                         where.text);
    int status = load(l, root);
    json_decref(root);
    return status;
}

int para_json_read(struct para_loader *l, FILE *in, int (*load)(struct para_loader *, json_t *))
{
    size_t bytes;
    errno = 0;
    char *text = read_all(in, &bytes);
    int reason = errno;
    if (!text)
        return para_fail_memory(l->err, "reading a file");
    l->text = text;
    int status = ferror(in) ? para_fail(l->err, PARA_EIO, "%s: can't be read: %s", l->file, strerror(reason))
                            : parse(l, bytes, load);
    free(text);
    return status;
}

static int line_of(const struct para_loader *l)
{
    static const char *const lists[][2] = {
        {"axis", "axes"}, {"tensor", "tensors"}, {"node", "nodes"}, {"gradient", "gradients"}, {"worker", "workers"}};
    const char *list = NULL;
    for (size_t i = 0; l->list && i < sizeof lists / sizeof lists[0]; i++)
        list = strcmp(l->list, lists[i][0]) == 0 ? lists[i][1] : list;
    return l->lines_before + para_json_line(l->text, list, l->entry, l->field);
}

int para_json_bad(const struct para_loader *l, const char *format, ...)
{
    char text[360], entry[80] = "", line[24] = "";
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (l->list)
        snprintf(entry, sizeof entry, "%s %d: ", l->list, l->entry);
    if (l->list || l->field)
        snprintf(line, sizeof line, "line %d: ", line_of(l));
    return para_fail(l->err, PARA_EFORMAT, "%s: %s%s%s%s%s", l->file, line, entry, l->field ? l->field : "",
                     l->field ? ": " : "", text);
}

int para_json_refused(struct para_loader *l)
{
    int code = l->g->error.code;
    l->field = NULL;
    para_json_bad(l, "%s", l->g->error.message);
    if (l->err)
        l->err->code = code == PARA_ENOMEM ? PARA_ENOMEM : PARA_EFORMAT;
    return code == PARA_ENOMEM ? PARA_ENOMEM : PARA_EFORMAT;
}

const char *para_json_type(const json_t *v)
{
    static const char *const names[] = {"an object", "a list", "a string", "an integer",
                                        "a number",  "true",   "false",    "null"};
    return v ? names[json_typeof(v)] : "missing";
}

int para_json_fields(struct para_loader *l, json_t *object, const char *const names[])
{
    l->field = NULL;
    if (!json_is_object(object))
        return para_json_bad(l, "is %s, expected an object", para_json_type(object));
    size_t count = 0;
    for (; names[count]; count++)
        if (!json_object_get(object, names[count]))
            return para_json_bad(l, "lacks the field \"%s\"", names[count]);
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        size_t k = 0;
        while (k < count && strcmp(names[k], key) != 0)
            k++;
        if (k == count)
            return para_json_bad(l, "has a field \"%.60s\" that is not known", key);
    }
    return 0;
}

int para_json_integer(const struct para_loader *l, const json_t *v, int64_t low, int64_t high, int64_t *out)
{
    if (!json_is_integer(v))
        return para_json_bad(l, "is %s, expected an integer", para_json_type(v));
    int64_t value = json_integer_value(v);
    if (value < low || value > high)
        return para_json_bad(l, "is %lld, expected %lld to %lld", (long long)value, (long long)low, (long long)high);
    *out = value;
    return 0;
}

int para_json_get_integer(struct para_loader *l, const json_t *object, const char *key, int64_t low, int64_t high,
                          int *out)
{
    int64_t value = 0;
    l->field = key;
    PARA_TRY(para_json_integer(l, json_object_get(object, key), low, high, &value));
    *out = (int)value;
    return 0;
}

int para_json_get_count(struct para_loader *l, const json_t *object, const char *key, int64_t high, int64_t *out)
{
    l->field = key;
    return para_json_integer(l, json_object_get(object, key), 0, high, out);
}

int para_json_get_id(struct para_loader *l, const json_t *object, const char *key, int *out)
{
    *out = -1;
    return json_is_null(json_object_get(object, key)) ? 0 : para_json_get_integer(l, object, key, 0, INT_MAX, out);
}

int para_json_get_bool(struct para_loader *l, const json_t *object, const char *key, bool *out)
{
    const json_t *v = json_object_get(object, key);
    l->field = key;
    if (!json_is_boolean(v))
        return para_json_bad(l, "is %s, expected true or false", para_json_type(v));
    *out = json_is_true(v);
    return 0;
}

int para_json_get_string(struct para_loader *l, const json_t *object, const char *key, const char **out)
{
    const json_t *v = json_object_get(object, key);
    l->field = key;
    if (!json_is_string(v))
        return para_json_bad(l, "is %s, expected a string", para_json_type(v));
    *out = json_string_value(v);
    return 0;
}

int para_json_get_name(struct para_loader *l, const json_t *object, const char *key, const char **out)
{
    PARA_TRY(para_json_get_string(l, object, key, out));
    return **out ? 0 : para_json_bad(l, "is empty, expected a name");
}

int para_json_get_list(struct para_loader *l, const json_t *object, const char *key, json_t **out)
{
    json_t *v = json_object_get(object, key);
    l->field = key;
    if (!json_is_array(v))
        return para_json_bad(l, "is %s, expected a list", para_json_type(v));
    if (json_array_size(v) > INT_MAX / 4)
        return para_json_bad(l, "has too many entries");
    *out = v;
    return 0;
}

int para_json_keep(struct para_loader *l, const char *string, const char **out)
{
    *out = para_arena_string(&l->g->arena, string);
    return *out ? 0 : para_fail_memory(l->err, "loading a graph");
}

int para_json_double(const struct para_loader *l, const json_t *v, double *out)
{
    const char *text = json_string_value(v);
    if (json_is_number(v))
        *out = json_number_value(v);
    else if (text && strcmp(text, "nan") == 0)
        *out = NAN;
    else if (text && (strcmp(text, "inf") == 0 || strcmp(text, "-inf") == 0))
        *out = text[0] == '-' ? -INFINITY : INFINITY;
    else
        return para_json_bad(l, "is %s, expected a number, \"inf\", \"-inf\" or \"nan\"", para_json_type(v));
    return 0;
}

int para_json_word(struct para_loader *l, const json_t *v, const char *const words[], int *out)
{
    char all[160] = "";
    for (int k = 0; words[k]; k++) {
        if (json_is_string(v) && strcmp(json_string_value(v), words[k]) == 0) {
            *out = k;
            return 0;
        }
        size_t used = strlen(all);
        snprintf(all + used, sizeof all - used, "%s%s", k ? ", " : "", words[k]);
    }
    if (json_is_string(v))
        return para_json_bad(l, "is \"%.60s\", expected one of %s", json_string_value(v), all);
    return para_json_bad(l, "is %s, expected one of %s", para_json_type(v), all);
}

#endif
