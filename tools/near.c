/* Edit distance (Levenshtein, 1966): letters put in, left out or changed. */
#include "tools/near.h"

#include <string.h>

/* Words of fewer than LONG letters may differ in one place alone. */
enum { LONGEST = 32, FARTHEST = 2, LONG = 5 };

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* One row of the table at a time: after row i, row[j] is the distance of a's first i letters from b's first j. */
static size_t distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
    size_t row[LONGEST + 1];
    for (size_t j = 0; j <= b_length; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            size_t changed = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = least(changed, least(row[j], row[j - 1]) + 1);
        }
    }
    return row[b_length];
}

struct near near_begin(const char *word, size_t length)
{
    return (struct near){.word = word, .length = length, .distance = FARTHEST + 1};
}

void near_try(struct near *n, const char *known)
{
    size_t length = strlen(known);
    if (n->length > LONGEST || length > LONGEST || length < FARTHEST || n->length < FARTHEST)
        return;
    size_t far = distance(n->word, n->length, known, length);
    if (far < n->distance && (far < FARTHEST || n->length >= LONG)) {
        n->distance = far;
        n->best = known;
    }
}
