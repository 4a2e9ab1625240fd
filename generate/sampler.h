/* What para_sampler_choose() and those who keep its choices for later ask of them. */
#ifndef PARA_GENERATE_SAMPLER_H
#define PARA_GENERATE_SAMPLER_H

#include <paragraph/generate.h>

/* Returns PARA_ERANGE, naming what is out of its range; of a greedy choice what doesn't count isn't looked at. */
int para_sampling_check(const para_sampling *s, para_error *err);

#endif
