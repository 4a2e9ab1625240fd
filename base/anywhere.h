/* PARA_ANYWHERE before a function that kernels for GPUs call too. */
#ifndef PARA_BASE_ANYWHERE_H
#define PARA_BASE_ANYWHERE_H

#ifdef __CUDACC__
#define PARA_ANYWHERE __host__ __device__
#else
#define PARA_ANYWHERE
#endif

#endif
