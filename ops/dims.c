/* Dimensions as attributes: lists of words "heads 4 head_dim 32". */
#include "ops/dims.h"

#include <stdlib.h>
#include <string.h>

bool para_dims_write(para_graph *g, const para_dim *dims, char buffer[PARA_DIMS_TEXT])
{
    size_t used = 0;
    buffer[0] = '\0';
    for (int d = 0; dims[d].axis; d++) {
        if (d == PARA_MAX_RANK) {
            para_graph_error(g, PARA_ESHAPE, "more than %d dimensions listed", PARA_MAX_RANK);
            return false;
        }
        size_t length = strlen(dims[d].axis);
        if (length == 0 || length > PARA_MAX_AXIS_NAME || strchr(dims[d].axis, ' ')) {
            para_graph_error(g, PARA_EAXIS, "\"%s\" can't name an axis: expected 1 to %d characters without spaces",
                             dims[d].axis, PARA_MAX_AXIS_NAME);
            return false;
        }
        used += (size_t)snprintf(buffer + used, PARA_DIMS_TEXT - used, "%s%s %lld", d ? " " : "", dims[d].axis,
                                 (long long)dims[d].extent);
    }
    return true;
}

int para_dims_append(const para_node *n, int a, struct para_shape *s, para_error *err)
{
    const char *axis, *number;
    for (int i = 0; (axis = para_node_word(n, a, i)); i += 2) {
        char *end = NULL;
        long long whole = (number = para_node_word(n, a, i + 1)) ? strtoll(number, &end, 10) : 0;
        if (whole < 1 || *end)
            return para_fail(err, PARA_ERANGE, "dimensions are \"%s\", expected each axis with an extent of at least 1",
                             n->attr[a].s);
        if (s->rank == PARA_MAX_RANK)
            return para_fail(err, PARA_ESHAPE, "the result has more than %d dimensions", PARA_MAX_RANK);
        para_shape_append(s, axis, whole);
    }
    return 0;
}

bool para_dims_have(const char *list, const char *axis)
{
    char word[PARA_MAX_AXIS_NAME + 1];
    for (int i = 0; para_word(list, i, word); i += 2)
        if (strcmp(word, axis) == 0)
            return true;
    return false;
}

void para_dims_axes(const char *list, char buffer[PARA_AXES_TEXT])
{
    char word[PARA_MAX_AXIS_NAME + 1];
    size_t used = 0;
    buffer[0] = '\0';
    for (int i = 0; used < PARA_AXES_TEXT && para_word(list, i, word); i += 2)
        used += (size_t)snprintf(buffer + used, PARA_AXES_TEXT - used, "%s%s", i ? " " : "", word);
}

void para_axes_list(const struct para_shape *s, const struct para_shape *other, bool has, char buffer[PARA_AXES_TEXT])
{
    size_t used = 0;
    buffer[0] = '\0';
    for (int d = 0; d < s->rank; d++)
        if ((para_shape_find(other, s->dim[d].axis) >= 0) == has)
            used += (size_t)snprintf(buffer + used, PARA_AXES_TEXT - used, "%s%s", used ? " " : "", s->dim[d].axis);
}
