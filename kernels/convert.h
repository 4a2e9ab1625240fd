/* Weights of any type that parameters have, as float32. */
#ifndef PARA_KERNELS_CONVERT_H
#define PARA_KERNELS_CONVERT_H

#include <paragraph/types.h>

/* y (N) = w (N), which is float32, bfloat16 or int8. */
void para_convert(int64_t n, para_dtype dtype, const void *w, float *y);

#endif
