/* Data for the page's script, as JSON: columns of whole numbers, and one table of texts that they name by number.
 *
 * A column is a list of differences: [3, 1, -2] stands for 3, 4, 2. Texts are visible characters, and '<' is written
 * as \u003c, so that no name ends the element around them. */
#ifndef PARA_VIEW_COLUMNS_H
#define PARA_VIEW_COLUMNS_H

#include "base/arena.h"
#include "base/strmap.h"

#include <stdbool.h>
#include <stdio.h>

struct para_columns {
    FILE *out;
    const char **texts; /* visible */
    int count, capacity;
    struct para_strmap numbers; /* text -> struct number */
    struct para_arena arena;
    bool failed; /* memory ran out */
};

/* The number of a text of any bytes. */
int para_columns_text(struct para_columns *c, const char *text);
/* The same of visible characters, which must live as long as the table. */
int para_columns_visible(struct para_columns *c, const char *text);

struct para_column {
    const char *name;
    int64_t (*value)(void *of, int i);
};

/* A number of any size as a column's value: rounded, and at most 2^53, up to which scripts count exactly. */
int64_t para_columns_whole(double value);
/* [...], of `count` values. */
void para_columns_write_list(struct para_columns *c, int64_t (*value)(void *of, int i), void *of, int count);
/* "name":[...] */
void para_columns_write(struct para_columns *c, const struct para_column *column, void *of, int count);
/* ,"name":{...}, of columns that {0} ends. */
void para_columns_write_group(struct para_columns *c, const char *name, const struct para_column *columns, void *of,
                              int count);
/* "name":[...], the texts so far. */
void para_columns_write_texts(struct para_columns *c, const char *name);
void para_columns_free(struct para_columns *c);

#endif
