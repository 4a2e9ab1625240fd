/* Scorers made as options say. */
#ifndef TOOLS_SCORE_H
#define TOOLS_SCORE_H

#include <paragraph/score.h>

#include "tools/common.h"

/* What a scorer is made of. */
struct scorer_wish {
    const para_model *model;
    const char *folder; /* NULL: options.share has the parameters */
    para_machine *machine;
    para_scorer_options options;
};

/* Options by which scorers are cut; `rows` is 0 for as many as are good on the machine. */
para_scorer_options scorer_options(const struct split_options *split, const para_machine *machine, int64_t rows);
/* Make a scorer; free it with para_scorer_free(). */
int scorer_open(para_scorer **out, const struct scorer_wish *wish);

#endif
