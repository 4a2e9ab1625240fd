/* Reading what ops stand for. */
#include "graph/pattern.h"

#include <string.h>

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

static void skip(const char **at, const char *what)
{
    *at += strspn(*at, what);
}

static size_t word_length(const char *at)
{
    size_t length = 0;
    while (is_letter(at[length]))
        length++;
    return length;
}

/* The number of the value whose name stands here; behind it and spaces is *at then. */
static int read_name(struct para_pattern *p, const char **at)
{
    size_t length = word_length(*at);
    int i = 0;
    while (i < p->names && (word_length(p->name[i]) != length || strncmp(p->name[i], *at, length) != 0))
        i++;
    if (i == p->names)
        p->name[p->names++] = *at;
    *at += length;
    skip(at, ", ");
    return i;
}

static int read_names(struct para_pattern *p, const char **at, int number[])
{
    int count = 0;
    while (is_letter(**at))
        number[count++] = read_name(p, at);
    return count;
}

static void read_statement(struct para_pattern *p, const char **at)
{
    struct para_statement *s = &p->node[p->count++];
    char op[32] = "";
    s->n_out = read_names(p, at, s->out);
    skip(at, "= ");
    memcpy(op, *at, word_length(*at));
    s->op = para_op_find(op);
    *at += word_length(*at);
    skip(at, "(");
    s->n_in = read_names(p, at, s->in);
    skip(at, "); ");
}

bool para_pattern_read(struct para_pattern *p, const struct para_op *op, int form)
{
    const char *at = op->fuses;
    for (; form > 0 && at; form--)
        at = (at = strchr(at, '|')) ? at + 1 : NULL;
    *p = (struct para_pattern){.op = op};
    if (!at)
        return false;
    skip(&at, " ");
    p->n_in = read_names(p, &at, p->in);
    skip(&at, "-> ");
    p->n_out = read_names(p, &at, p->out);
    skip(&at, ": ");
    while (*at && *at != '|')
        read_statement(p, &at);
    return true;
}
