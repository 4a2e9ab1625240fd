/* A map from pairs of ints to ints. */
#ifndef PARA_VIEW_PAIRS_H
#define PARA_VIEW_PAIRS_H

struct para_pair {
    int a, b, value;
    int used;
};

/* Begins as all zero; free its slots. */
struct para_pairs {
    struct para_pair *slots;
    int count, capacity; /* a power of two */
};

/* Find the value of (a, b), or add it with `fresh`: *out points at it until the next call. Returns 1 if it is new, 0 if
 * not, -1 when memory runs out. */
int para_pairs_at(struct para_pairs *map, int a, int b, int fresh, int **out);

#endif
