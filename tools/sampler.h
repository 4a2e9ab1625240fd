/* Choosing a token by its logits. */
#ifndef TOOLS_SAMPLER_H
#define TOOLS_SAMPLER_H

#include <stdbool.h>
#include <stdint.h>

struct sampling {
    bool greedy;
    double temperature, top_p;
    int64_t top_k; /* 0: all */
    int64_t seed;
};

/* A token that may be drawn; room for one per id. */
struct candidate {
    int32_t id;
    float logit;
    double weight;
};

/* Choose among `count` ids: draw number `draw` of continuation number `stream`, a function of these and the seed alone.
 * Returns the id, or -1 if the largest logit is no finite number. */
int32_t sampling_choose(const struct sampling *s, const float *logits, int64_t count, struct candidate *room,
                        uint64_t stream, uint64_t draw);

#endif
