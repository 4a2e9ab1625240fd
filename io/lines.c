/* Files of JSON lines. */
#include "io/lines.h"

#include "base/fail.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int para_line_fail(const struct para_line *l, const char *key, const char *expected, para_error *err)
{
    return para_fail(err, PARA_EFORMAT, "%s:%lld: \"%s\" is %s, expected %s", l->path, (long long)l->number, key,
                     json_object_get(l->object, key) ? "something else" : "missing", expected);
}

static int take_line(struct para_line *l, const char *text, size_t bytes, const char *like, para_line_take *take,
                     void *user, para_error *err)
{
    json_error_t why;
    l->object = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &why);
    if (!l->object)
        return para_fail(err, PARA_EFORMAT, "%s:%lld:%d: %s", l->path, (long long)l->number, why.column, why.text);
    int status = json_is_object(l->object) ? take(user, l, err)
                                           : para_fail(err, PARA_EFORMAT, "%s:%lld: expected a JSON object, %s",
                                                       l->path, (long long)l->number, like);
    json_decref(l->object);
    return status;
}

static int read_lines(FILE *file, const char *path, const char *like, para_line_take *take, void *user, para_error *err)
{
    struct para_line l = {.path = path};
    char *text = NULL;
    size_t room = 0;
    ssize_t length;
    int status = 0;
    errno = 0;
    while (status == 0 && (length = getline(&text, &room, file)) >= 0) {
        size_t bytes = (size_t)length, begin = l.number++ == 0 && strncmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
        begin += strspn(text + begin, " \t\r\n");
        if (begin < bytes)
            status = take_line(&l, text + begin, bytes - begin, like, take, user, err);
    }
    if (status == 0 && ferror(file))
        status = para_fail_system(err, path, "read");
    else if (status == 0 && !feof(file))
        status = para_fail_memory(err, "a line");
    free(text);
    return status;
}

int para_lines_read(const char *path, const char *like, para_line_take *take, void *user, para_error *err)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return para_fail_system(err, path, "open");
    int status = read_lines(file, path, like, take, user, err);
    fclose(file);
    return status;
}
