#include "tests/op-cases.h"

#include "tests/graph-text.h"

#include <glob.h>
#include <stdlib.h>
#include <string.h>

static struct op_case *cases;
static int case_count;

static void mistake(const char *path, int line, const char *text)
{
    fail_msg("%s:%d: \"%s\" is no line of a case", path, line, text);
}

/* If the line begins with the word, return what follows it. */
static const char *after(const char *line, const char *word)
{
    size_t length = strlen(word);
    if (strncmp(line, word, length) != 0 || (line[length] != ' ' && line[length] != '\0'))
        return NULL;
    return line[length] ? line + length + 1 : line + length;
}

static void begin_case(const char *name, bool refused)
{
    cases = realloc(cases, sizeof *cases * (size_t)(case_count + 1));
    assert_non_null(cases);
    cases[case_count++] = (struct op_case){.name = name, .text = must_alloc(1), .error = refused ? "" : NULL};
}

static void join(struct op_case *c, const char *more)
{
    size_t length = strlen(c->text), bytes = length + strlen(more) + 2;
    c->text = realloc(c->text, bytes);
    assert_non_null(c->text);
    snprintf(c->text + length, bytes - length, "%s%s", length ? " " : "", more);
}

/* A line within a case; false if it is none. */
static bool read_field(struct op_case *c, const char *line)
{
    static const char *const flags[] = {"no-gradient", "no-finite", "spread", "ignore-some",
                                        "trained",     "steep",     "fused",  "fused-alone"};
    const char *value;
    if ((value = after(line, "graph")))
        join(c, value);
    else if ((value = after(line, "shape")))
        c->shape = value;
    else if ((value = after(line, "whole")))
        c->whole = value;
    else if ((value = after(line, "in-place")))
        c->in_place = value;
    else if ((value = after(line, "bound")))
        c->bound = (int32_t)strtol(value, NULL, 10);
    else if ((value = after(line, "error")))
        c->error = value;
    else if ((value = after(line, "says"))) {
        int k = 0;
        while (k < MAX_SAYS && c->says[k])
            k++;
        if (k == MAX_SAYS)
            return false;
        c->says[k] = value;
    } else {
        for (int k = 0; k < (int)(sizeof flags / sizeof *flags); k++)
            if (strcmp(line, flags[k]) == 0) {
                c->flags |= 1 << k;
                return true;
            }
        return false;
    }
    return true;
}

static void read_cases(const char *path)
{
    size_t bytes;
    char *text = read_whole(path, &bytes); /* the cases' strings lie in it */
    text[bytes] = '\0';
    int number = 1;
    for (char *line; (line = strsep(&text, "\n")); number++) {
        const char *name;
        char *field = line + strspn(line, " ");
        if (*field == '#' || *field == '\0')
            continue;
        if ((name = after(line, "case")))
            begin_case(name, false);
        else if ((name = after(line, "refused")))
            begin_case(name, true);
        else if (field == line || case_count == 0 || !read_field(&cases[case_count - 1], field))
            mistake(path, number, line);
    }
}

para_graph *op_case_graph(const struct op_case *c)
{
    para_graph *g = graph_open(c->text);
    para_tensor *y = c->flags & TRAINED ? NULL : graph_append(g, "output(y)");
    if (!y || c->flags & NO_GRADIENT)
        return g;
    para_dim dims[PARA_MAX_RANK + 1] = {{NULL, 0}};
    for (int d = 0; d < para_tensor_rank(y); d++)
        dims[d] = para_tensor_dim(y, d);
    para_tensor *weights = para_input(g, "weights", PARA_F32, dims);
    para_error err = {0};
    must(para_graph_backward(g, para_reduce_sum(g, para_mul(g, y, weights), ""), &err), err);
    for (int i = 0; i < para_graph_tensor_count(g); i++)
        para_output(para_grad(g, para_graph_tensor(g, i)));
    return g;
}

const struct op_case *op_cases(int *count)
{
    if (!cases) {
        char *pattern = test_file("ops/*.cases");
        glob_t found;
        if (glob(pattern, 0, NULL, &found) != 0)
            fail_msg("no cases at %s", pattern);
        for (size_t i = 0; i < found.gl_pathc; i++)
            read_cases(found.gl_pathv[i]);
        globfree(&found);
        free(pattern);
    }
    *count = case_count;
    return cases;
}
