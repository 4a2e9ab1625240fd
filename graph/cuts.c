#include "graph/cuts.h"

#include "base/fail.h"
#include "graph/op.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

int para_cut_next(const char **text, struct para_cut *out)
{
    const char *at = *text;
    if (!*at)
        return 0;
    size_t length = strcspn(at, "=,");
    const char *digits = at + length + 1;
    if (length == 0 || length > PARA_MAX_AXIS_NAME || at[length] != '=' || *digits < '0' || *digits > '9')
        return -1;
    char *end;
    errno = 0;
    long number = strtol(digits, &end, 10);
    if (errno || number > INT_MAX || (*end && *end != ',') || (*end == ',' && !end[1]))
        return -1;
    memcpy(out->axis, at, length);
    out->axis[length] = '\0';
    out->number = (int)number;
    *text = *end ? end + 1 : end;
    return 1;
}

int para_cut_find(const char *text, const char *axis)
{
    struct para_cut cut;
    while (para_cut_next(&text, &cut) > 0)
        if (strcmp(cut.axis, axis) == 0)
            return cut.number;
    return -1;
}

int64_t para_part_begin(int64_t extent, int parts, int p)
{
    int64_t small = extent / parts, larger = extent % parts;
    return p * small + (p < larger ? p : larger);
}

int para_part_at(int64_t extent, int parts, int64_t begin)
{
    int64_t small = extent / parts, larger = extent % parts, border = larger * (small + 1);
    return (int)(begin < border ? begin / (small + 1) : larger + (begin - border) / small);
}

int para_cut_refuse(const para_graph *g, const char *what, const char *axis, para_error *err)
{
    char known[320] = "", word[PARA_MAX_AXIS_NAME + 1], text[2 * sizeof known] = ""; /* "batch seq", "batch, seq" */
    size_t used = 0;
    for (int i = 0; i < g->n_tensors; i++)
        for (int d = 0; d < g->tensors[i]->shape.rank && used < sizeof known; d++)
            if (!para_word_in(g->tensors[i]->shape.dim[d].axis, known))
                used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", used ? " " : "",
                                         g->tensors[i]->shape.dim[d].axis);
    used = 0;
    for (int i = 0; para_word(known, i, word) && used < sizeof text; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", i ? ", " : "", word);
    return para_fail(err, PARA_EAXIS, "%sno axis is called \"%s\"; this graph has %s", what, axis, text);
}

static int bad_text(const char *text, para_error *err)
{
    return para_fail(err, PARA_EINVAL,
                     "\"%.80s\" is no list of axes with a number of devices: batch=2, or heads,ff,vocab=2", text);
}

static int read_text(struct para_spreading *s, const char *text, para_error *err)
{
    const char *at = text;
    for (;; at++) {
        size_t length = strcspn(at, ",=");
        if (length == 0 || length > PARA_MAX_AXIS_NAME || s->n_axes == PARA_MAX_SPREAD_AXES)
            return bad_text(text, err);
        memcpy(s->axis[s->n_axes++], at, length);
        at += length;
        if (*at != ',')
            break;
    }
    char *end;
    errno = 0;
    long number = *at && at[1] >= '0' && at[1] <= '9' ? strtol(at + 1, &end, 10) : -1;
    if (*at && (number < 0 || *end || errno || number > INT_MAX))
        return bad_text(text, err);
    if (number == 0)
        return para_fail(err, PARA_ERANGE, "0 devices, expected 1 or more");
    s->devices = (int)number;
    return 0;
}

int para_spreading_read(struct para_spreading *out, const para_graph *g, const char *text, para_error *err)
{
    struct para_spreading s = {.devices = 0};
    PARA_TRY(read_text(&s, text, err));
    for (int i = 0; i < s.n_axes; i++) {
        s.parts[i] = para_cut_find(g->splits, s.axis[i]);
        if (s.parts[i] < 0 && !para_strmap_get(&g->axes, s.axis[i]))
            return para_cut_refuse(g, "", s.axis[i], err);
        if (s.parts[i] < 0)
            return para_fail(err, PARA_EAXIS, "\"%s\" isn't split, and it is parts that are spread; splits: %s",
                             s.axis[i], g->splits[0] ? g->splits : "none");
        s.devices = s.devices > 0 ? s.devices : s.parts[i];
    }
    for (int i = 0; i < s.n_axes; i++)
        if (s.devices > s.parts[i])
            return para_fail(err, PARA_ERANGE, "%d devices, expected at most %d: \"%s\" is split into no more parts",
                             s.devices, s.parts[i], s.axis[i]);
    *out = s;
    return 0;
}

int para_spreading_device(const struct para_spreading *s, const para_node *n)
{
    for (int i = 0; i < s->n_axes; i++) {
        int p = para_cut_find(n->part, s->axis[i]);
        if (p >= 0)
            return (int)((int64_t)p * s->devices / s->parts[i]);
    }
    return -1;
}
