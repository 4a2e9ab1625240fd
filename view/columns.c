/* Columns of numbers and a table of texts, as JSON. */
#include "view/columns.h"

#include "base/grow.h"
#include "view/text.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

struct number {
    int value;
};

static int add_text(struct para_columns *c, const char *visible)
{
    struct number *number = para_arena_alloc(&c->arena, sizeof *number);
    if (!number || para_grow(&c->texts, c->count, &c->capacity, sizeof *c->texts) < 0 ||
        para_strmap_set(&c->numbers, visible, number) < 0)
        return -1;
    number->value = c->count;
    c->texts[c->count] = visible;
    return c->count++;
}

int para_columns_visible(struct para_columns *c, const char *text)
{
    const struct number *known = para_strmap_get(&c->numbers, text);
    int number = known ? known->value : add_text(c, text);
    c->failed = c->failed || number < 0;
    return number;
}

int para_columns_text(struct para_columns *c, const char *text)
{
    const char *visible = para_text_visible(&c->arena, text);
    c->failed = c->failed || !visible;
    return visible ? para_columns_visible(c, visible) : -1;
}

int64_t para_columns_whole(double value)
{
    return llrint(fmin(value, 0x1p53));
}

void para_columns_write_list(struct para_columns *c, int64_t (*value)(void *of, int i), void *of, int count)
{
    int64_t before = 0;
    fputc('[', c->out);
    for (int i = 0; i < count; i++) {
        int64_t now = value(of, i);
        fprintf(c->out, i ? ",%" PRId64 : "%" PRId64, now - before);
        before = now;
    }
    fputc(']', c->out);
}

void para_columns_write(struct para_columns *c, const struct para_column *column, void *of, int count)
{
    fprintf(c->out, "\"%s\":", column->name);
    para_columns_write_list(c, column->value, of, count);
}

void para_columns_write_group(struct para_columns *c, const char *name, const struct para_column *columns, void *of,
                              int count)
{
    fprintf(c->out, ",\n\"%s\":{", name);
    for (const struct para_column *column = columns; column->name; column++) {
        fputs(column == columns ? "\n" : ",\n", c->out);
        para_columns_write(c, column, of, count);
    }
    fputc('}', c->out);
}

static void write_text(FILE *out, const char *visible)
{
    fputc('"', out);
    for (; *visible; visible++) {
        if (*visible == '<')
            fputs("\\u003c", out);
        else if (*visible == '"' || *visible == '\\')
            fprintf(out, "\\%c", *visible);
        else
            fputc(*visible, out);
    }
    fputc('"', out);
}

void para_columns_write_texts(struct para_columns *c, const char *name)
{
    fprintf(c->out, "\"%s\":[", name);
    for (int i = 0; i < c->count; i++) {
        fputs(i ? ",\n" : "\n", c->out);
        write_text(c->out, c->texts[i]);
    }
    fputs("]", c->out);
}

void para_columns_free(struct para_columns *c)
{
    free(c->texts);
    para_strmap_free(&c->numbers);
    para_arena_free(&c->arena);
    *c = (struct para_columns){0};
}
