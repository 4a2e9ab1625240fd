/* Scorers made as options say. */
#include "tools/score.h"

enum { FEWEST_ROWS = 8 };

para_scorer_options scorer_options(const struct split_options *split, const para_machine *machine, int64_t rows)
{
    int workers = para_machine_workers(machine);
    para_scorer_options o = para_scorer_default();
    o.rows = rows ? rows : workers > FEWEST_ROWS ? workers : FEWEST_ROWS;
    o.split = split_is_none(split->split) ? NULL : split->split;
    o.stages = (int)split->stages;
    o.spread = split->spread;
    o.precision = precision_type(split->precision);
    o.fuse = split->fuse;
    return o;
}

int scorer_open(para_scorer **out, const struct scorer_wish *wish)
{
    para_error err;
    int status = para_scorer_new(out, wish->folder, wish->model, wish->machine, &wish->options, &err);
    return status < 0 ? refused("--", &err) : EXIT_DONE;
}
