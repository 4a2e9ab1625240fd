/* In which line of a JSON text something stands. */
#include "graph/json-line.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

static const char *after_space(const char *p)
{
    return p + strspn(p, " \t\r\n");
}

/* Behind a string that begins at p. */
static const char *after_string(const char *p)
{
    for (p++; *p && *p != '"'; p++)
        p += *p == '\\' && p[1];
    return p + (*p == '"');
}

/* Behind the value that begins at p, and the space after it. */
static const char *after_value(const char *p)
{
    int depth = 0;
    do {
        if (*p == '"') {
            p = after_string(p);
        } else if (*p && strchr("[{]},:", *p)) {
            depth += (*p == '[' || *p == '{') - (*p == ']' || *p == '}');
            p++;
        } else {
            p += strcspn(p, "[]{},:\" \t\r\n");
        }
        p = after_space(p);
    } while (depth > 0 && *p);
    return p;
}

/* The name of a member of the object that begins at p; NULL if it has none of that name. */
static const char *member(const char *p, const char *name)
{
    size_t bytes = strlen(name);
    if (*p != '{')
        return NULL;
    for (p = after_space(p + 1); *p == '"'; p = after_space(p + 1)) {
        if (strncmp(p + 1, name, bytes) == 0 && p[1 + bytes] == '"')
            return p;
        p = after_space(after_string(p));
        p = after_value(after_space(p + (*p == ':')));
        if (*p != ',')
            break;
    }
    return NULL;
}

/* The value of the member whose name stands at p. */
static const char *value_of(const char *p)
{
    p = after_space(after_string(p));
    return after_space(p + (*p == ':'));
}

/* An entry of the list that begins at p; NULL if it has fewer. */
static const char *element(const char *p, int entry)
{
    if (*p != '[')
        return NULL;
    p = after_space(p + 1);
    for (; entry > 0; entry--) {
        p = after_value(p);
        if (*p != ',')
            return NULL;
        p = after_space(p + 1);
    }
    return *p == ']' ? NULL : p;
}

const char *para_json_member(const char *text, const char *field)
{
    const char *name = member(after_space(text), field);
    return name ? value_of(name) : NULL;
}

int para_json_line(const char *text, const char *list, int entry, const char *field)
{
    const char *found = after_space(text), *at = list ? member(found, list) : NULL;
    int line = 1;
    if (at) {
        found = at;
        at = element(value_of(at), entry);
        found = at ? at : found;
    }
    if (field && (!list || at)) {
        const char *name = member(found, field), *attributes = name ? NULL : member(found, "attrs");
        if (attributes)
            name = member(value_of(attributes), field);
        found = name ? name : found;
    }
    for (; text < found; text++)
        line += *text == '\n';
    return line;
}
