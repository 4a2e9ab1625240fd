/* Weights of any type that parameters have, as float32. */
#ifndef PARA_KERNELS_CONVERT_H
#define PARA_KERNELS_CONVERT_H

#include <paragraph/types.h>

/* y (N) = elements `first` to `first` + N - 1 of w, which may begin and end within a block. */
void para_convert(int64_t n, para_dtype dtype, const void *w, int64_t first, float *y);

#endif
