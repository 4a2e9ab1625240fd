/* Who computes the large products of float32: the kernels of kernels/gemm.h where they are tuned for the processor,
 * elsewhere OpenBLAS, one thread for each that calls.
 *
 * Of both, the same product has the same bits each time, on any thread and wherever its operands lie. An element that
 * depends on its row and its column alone is a promise of our kernels: OpenBLAS computes a row differently beside other
 * numbers of rows. So products that a row's company must not change, those of few rows, are never left to a provider,
 * nor are weights of fewer bits than float32. */
#ifndef PARA_KERNELS_PROVIDER_H
#define PARA_KERNELS_PROVIDER_H

#include <paragraph/types.h>

#include "kernels/gemm.h"

struct para_provider {
    const char *name;
    void (*multiply)(const struct para_gemm *g, void *scratch); /* scratch as para_gemm() needs it */
};

extern const struct para_provider para_provider_own;

/* *out = the provider: the one that PARA_GEMM in the environment names, else by the rule above. Both are looked at when
 * first asked, and the answer stays. PARA_ENAME if there is none of that name, PARA_EDEVICE if it can't be had. */
int para_provider_get(const struct para_provider **out, para_error *err);

/* Make OpenBLAS use one thread for products of the calling thread. */
void para_provider_one_thread(void);

/* Take the one of that name from now on, in place of the environment's; NULL or "": by the rule. Not while products
 * are computed. */
int para_provider_use(const char *name, para_error *err);

#endif
