/* Sixteen floats for one instruction set, by kernels/vectors.h: as many of its vectors as they take. They are arrays
 * that loops of constant length keep in registers; a vector of 64 bytes, which not every instruction set has, would go
 * through memory. */
#undef PARTS
#define PARTS (PARA_LANES / V)

/* v (PARTS) = plane p of the run of words at w; dtype and p are constant. */
TARGET static inline ALWAYS_INLINE void NAME(load_plane)(NAME(vec) v[PARTS], para_dtype dtype, int p, const void *w)
{
    typedef uint32_t words __attribute__((vector_size(4 * V)));
    typedef int32_t numbers __attribute__((vector_size(4 * V)));
    UNROLL
    for (int i = 0; i < PARTS; i++) {
        words run;
        memcpy(&run, (const char *)w + i * (int)sizeof run, sizeof run);
        if (dtype == PARA_BF16)
            run = p == 0 ? run << 16 : run & 0xffff0000u;
        if (dtype == PARA_I8)
            v[i] = __builtin_convertvector((numbers)(run << (24 - 8 * p)) >> 24, NAME(vec));
        else
            memcpy(&v[i], &run, sizeof run);
    }
}

/* y (PARA_LANES) = v (PARTS) */
TARGET static inline ALWAYS_INLINE void NAME(store_lanes)(const NAME(vec) v[PARTS], float *y)
{
    UNROLL
    for (int i = 0; i < PARTS; i++)
        ((NAME(loose) *)y)[i] = v[i];
}
