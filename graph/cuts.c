#include "graph/cuts.h"

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
