/* What the dumps share. */
#include "graph/dump.h"

#include "base/number.h"
#include "base/utf8.h"
#include "graph/op.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const para_kind_names[] = {"input", "parameter", "state", "intermediate", "copy", NULL};
const char *const para_init_names[] = {"fill", "normal", "uniform", NULL};

static bool is_number(const char *word, size_t bytes)
{
    return bytes > 0 && strspn(word, "0123456789") >= bytes;
}

/* Length of the component that s begins with: a word, and the number after it if there is one. */
static size_t component(const char *s)
{
    size_t word = strcspn(s, ".");
    if (s[word] == '\0')
        return word;
    size_t next = strcspn(s + word + 1, ".");
    return is_number(s + word + 1, next) ? word + 1 + next : word;
}

size_t para_scope_cut(const char *scope, int depth)
{
    size_t length = 0;
    for (int i = 0; i < depth && scope[length]; i++) {
        if (i > 0)
            length++;
        length += component(scope + length);
    }
    return length;
}

int para_scope_depth(const char *scope)
{
    int depth = 0;
    for (; *scope; depth++) {
        scope += component(scope);
        scope += *scope == '.';
    }
    return depth;
}

enum para_class para_class_of(const para_node *n)
{
    if (!n->backward)
        return PARA_CLASS_FORWARD;
    for (int k = 0; k < n->n_out; k++)
        if (n->out[k]->overwrites && n->graph->tensors[n->out[k]->storage]->kind != PARA_INTERMEDIATE)
            return PARA_CLASS_OPTIMIZER;
    size_t top = para_scope_cut(n->scope, 1);
    bool optimizer = top == strlen("optimizer") && memcmp(n->scope, "optimizer", top) == 0;
    return optimizer ? PARA_CLASS_OPTIMIZER : PARA_CLASS_BACKWARD;
}

const char *para_class_name(enum para_class c)
{
    static const char *const names[] = {"forward", "backward", "optimizer"};
    return names[c];
}

/* Find or add the unit of a folded node; its key is "<class letter><scope>". */
static int folded_unit(struct para_fold *f, struct para_strmap *map, struct para_arena *arena, const para_node *n,
                       size_t bytes)
{
    enum para_class class = para_class_of(n);
    char *key = para_arena_alloc(arena, bytes + 2);
    if (!key)
        return -1;
    key[0] = para_class_name(class)[0];
    memcpy(key + 1, n->scope, bytes);
    struct para_unit *unit = para_strmap_get(map, key);
    if (!unit) {
        unit = &f->units[f->count];
        if (para_strmap_set(map, key, unit) < 0)
            return -1;
        *unit = (struct para_unit){n, class, true, bytes, 0};
        f->count++;
    }
    unit->nodes++;
    return (int)(unit - f->units);
}

int para_fold_new(struct para_fold *out, const para_graph *g, int depth, para_error *err)
{
    size_t slots = (size_t)g->n_nodes + 1;
    struct para_fold f = {calloc(slots, sizeof *f.units), 0, calloc(slots, sizeof *f.of)};
    struct para_strmap map = {0};
    struct para_arena arena = {0};
    bool good = f.units && f.of;
    for (int id = 0; good && id < g->n_nodes; id++) {
        const para_node *n = g->nodes[id];
        if (depth > 0 && para_scope_depth(n->scope) >= depth) {
            f.of[id] = folded_unit(&f, &map, &arena, n, para_scope_cut(n->scope, depth));
            good = f.of[id] >= 0;
        } else {
            f.units[f.count] = (struct para_unit){n, para_class_of(n), false, strlen(n->scope), 1};
            f.of[id] = f.count++;
        }
    }
    para_strmap_free(&map);
    para_arena_free(&arena);
    if (!good) {
        para_fold_free(&f);
        return para_fail_memory(err, "dumping a graph");
    }
    *out = f;
    return 0;
}

void para_fold_free(struct para_fold *f)
{
    free(f->units);
    free(f->of);
    *f = (struct para_fold){0};
}

const para_node **para_first_readers(const para_graph *g)
{
    const para_node **reader = calloc((size_t)g->n_tensors + 1, sizeof *reader);
    for (int id = g->n_nodes - 1; reader && id >= 0; id--)
        for (int i = 0; i < g->nodes[id]->n_in; i++)
            reader[g->nodes[id]->in[i]->id] = g->nodes[id];
    return reader;
}

struct op_count {
    const struct para_op *op;
    int nodes;
};

/* Most frequent first, then by name. */
static int by_count(const void *a, const void *b)
{
    const struct op_count *x = a, *y = b;
    return x->nodes != y->nodes ? (x->nodes < y->nodes ? 1 : -1) : strcmp(x->op->name, y->op->name);
}

static int count_ops(const struct para_fold *f, int unit, const para_graph *g, struct op_count *ops)
{
    int count = 0;
    for (int id = f->units[unit].first->id, left = f->units[unit].nodes; left > 0; id++) {
        if (f->of[id] != unit)
            continue;
        int k = 0;
        while (k < count && ops[k].op != g->nodes[id]->op)
            k++;
        if (k == count)
            ops[count++] = (struct op_count){g->nodes[id]->op, 0};
        ops[k].nodes++;
        left--;
    }
    qsort(ops, (size_t)count, sizeof *ops, by_count);
    return count;
}

int para_unit_ops(const struct para_fold *f, int unit, const para_graph *g, FILE *out)
{
    int nodes = f->units[unit].nodes;
    struct op_count *ops = calloc((size_t)nodes, sizeof *ops);
    if (!ops)
        return PARA_ENOMEM;
    int count = count_ops(f, unit, g, ops);
    fprintf(out, "%d node%s:", nodes, nodes == 1 ? "" : "s");
    for (int k = 0; k < count; k++)
        fprintf(out, "%s %d %s", k ? "," : "", ops[k].nodes, ops[k].op->name);
    free(ops);
    return 0;
}

char *para_double_text(double value, char buffer[PARA_DOUBLE_TEXT])
{
    if (isnan(value))
        return strcpy(buffer, "nan");
    if (isinf(value))
        return strcpy(buffer, value < 0 ? "-inf" : "inf");
    if (value == 0.0 && signbit(value))
        return strcpy(buffer, "-0.0"); /* as "-0" it would be read as the integer 0 */
    return para_number_text(buffer, value);
}

void para_quantity(double value, const char *unit, FILE *out)
{
    static const char *const prefixes[] = {"", "k", "M", "G", "T", "P"};
    int k = 0;
    for (; k < 5 && value >= 999.5; k++)
        value /= 1000.0;
    fprintf(out, "%.*f %s%s", k == 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2, value, prefixes[k], unit);
}

bool para_json_string(FILE *out, const char *string)
{
    bool good = true;
    fputc('"', out);
    for (const unsigned char *s = (const unsigned char *)string; *s;) {
        uint32_t point;
        int bytes = para_utf8(s, strnlen((const char *)s, 4), &point);
        good = good && bytes > 0;
        if (bytes <= 0)
            fputs("\\ufffd", out);
        else if (*s == '"' || *s == '\\')
            fprintf(out, "\\%c", *s);
        else if (*s < 0x20)
            fprintf(out, "\\u%04x", *s);
        else
            fwrite(s, 1, (size_t)bytes, out);
        s += bytes > 0 ? bytes : 1;
    }
    fputc('"', out);
    return good;
}

int para_dump_finish(FILE *out, const char *what, para_error *err)
{
    bool failed = ferror(out);
    if (failed) { /* before: one more tells why */
        clearerr(out);
        fputc('\n', out);
    }
    errno = 0;
    if (fflush(out) == 0 && !failed)
        return 0;
    return para_fail(err, PARA_EIO, "writing %s: %s", what, errno ? strerror(errno) : "an earlier write failed");
}
