/* Files of JSON lines, an object each. */
#ifndef PARA_IO_LINES_H
#define PARA_IO_LINES_H

#include "io/file.h"

/* A line that was read. */
struct para_line {
    const char *path;
    int64_t number; /* from 1 on */
    json_t *object; /* whoever keeps it takes a reference */
};

typedef int para_line_take(void *user, const struct para_line *l, para_error *err);

/* Call `take` for each line of a file; those of nothing but white space are passed over, and a mark of UTF-8 may come
 * first. `like` says what a line's object is like. Stops at the first failure. */
int para_lines_read(const char *path, const char *like, para_line_take *take, void *user, para_error *err);

/* Fail: a key's value isn't what was expected. */
int para_line_fail(const struct para_line *l, const char *key, const char *expected, para_error *err);

#endif
