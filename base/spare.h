/* What the process can still have: memory, threads and open files are tried, all at once, and given back. Libraries
 * that find too little of them stop the program, or wait for ever. */
#ifndef PARA_BASE_SPARE_H
#define PARA_BASE_SPARE_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

/* What OpenBLAS takes for each thread of its own, and for each that calls it. It asks until it gets it, and at the end
 * of the program waits for threads that still do. */
enum { PARA_BLAS_BYTES = 128 << 20, PARA_SPARE_MOST = 4096 };

/* How many of `count` blocks can be had; fewer: errno says why. */
static inline int para_spare_blocks(int count, size_t bytes)
{
    void *block[PARA_SPARE_MOST];
    int n = 0, reason = 0;
    count = count < PARA_SPARE_MOST ? count : PARA_SPARE_MOST;
    while (n < count &&
           (block[n] = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) != MAP_FAILED)
        n++;
    reason = errno;
    for (int i = 0; i < n; i++)
        munmap(block[i], bytes);
    errno = reason;
    return n;
}

static inline void *para_spare_wait(void *gate)
{
    pthread_mutex_lock(gate);
    pthread_mutex_unlock(gate);
    return NULL;
}

/* How many of `count` threads can run at once; fewer: errno says why. */
static inline int para_spare_threads(int count)
{
    pthread_t thread[PARA_SPARE_MOST];
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    int n = 0, reason = 0;
    count = count < PARA_SPARE_MOST ? count : PARA_SPARE_MOST;
    pthread_mutex_lock(&gate);
    while (n < count && (reason = pthread_create(&thread[n], NULL, para_spare_wait, &gate)) == 0)
        n++;
    pthread_mutex_unlock(&gate);
    for (int i = 0; i < n; i++)
        pthread_join(thread[i], NULL);
    errno = reason;
    return n;
}

/* How many of `count` files can be opened more; fewer: errno says why. */
static inline int para_spare_files(int count)
{
    int fd[64], n = 0, reason = 0;
    count = count < 64 ? count : 64;
    while (n < count && (fd[n] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        n++;
    reason = errno;
    for (int i = 0; i < n; i++)
        close(fd[i]);
    errno = reason;
    return n;
}

#endif
