/* Numbers as text: as few digits as give the same number back, 0.1 and not 0.10000000000000001, with a point in every
 * locale. */
#ifndef PARA_BASE_NUMBER_H
#define PARA_BASE_NUMBER_H

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PARA_NUMBER_TEXT = 32 };

/* Put a point where the locale has something else. */
static inline char *para_with_point(char *number)
{
    const char *point = localeconv()->decimal_point;
    char *found = strstr(number, point);
    if (found) {
        *found = '.';
        memmove(found + 1, found + strlen(point), strlen(found + strlen(point)) + 1);
    }
    return number;
}

static inline char *para_number_text(char out[PARA_NUMBER_TEXT], double value)
{
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(out, PARA_NUMBER_TEXT, "%.*g", digits, value);
        if (strtod(out, NULL) == value)
            break;
    }
    return para_with_point(out);
}

/* The same for a float, which takes fewer. */
static inline char *para_float_text(char out[PARA_NUMBER_TEXT], float value)
{
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(out, PARA_NUMBER_TEXT, "%.*g", digits, (double)value);
        if (strtof(out, NULL) == value)
            break;
    }
    return para_with_point(out);
}

#endif
