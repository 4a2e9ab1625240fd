#include "kernels/amx.h"

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of arch_prctl(): the kernel keeps room for a thread's tiles only in processes that have asked for it. */
enum { REQUEST = 0x1023, TILE_DATA = 18 };
/* Bits of EDX of leaf 7: tiles, and their products of bfloat16 and of bytes. */
enum { ALL = 1 << 24 | 1 << 22 | 1 << 25 };

static bool ask(void)
{
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & ALL) == ALL &&
           syscall(SYS_arch_prctl, REQUEST, TILE_DATA) == 0;
}

bool para_amx_known(void)
{
    enum { UNKNOWN, NO, YES };
    static atomic_int known = UNKNOWN;
    int answer = atomic_load_explicit(&known, memory_order_relaxed);
    if (answer == UNKNOWN) {
        answer = ask() ? YES : NO;
        atomic_store_explicit(&known, answer, memory_order_relaxed);
    }
    return answer == YES;
}
#else
bool para_amx_known(void)
{
    return false;
}
#endif
