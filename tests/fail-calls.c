/* A library to preload: makes one call of the allocator or of the system fail.
 *
 *     FAIL_CALL    the function, "malloc"
 *     FAIL_NUMBER  which of its calls, from 1
 *     FAIL_FROM    made by code whose file's name has this in it; "paragraph" is the program and its library
 *     FAIL_COUNTS  a file that takes, at the end, a line "FILE FUNCTION CALLS" for each caller and function
 *
 * Who calls is told by the return address. Not in use, it only counts. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILES = 128 };

enum call {
    MALLOC,
    CALLOC,
    REALLOC,
    ALIGNED_ALLOC,
    OPEN,
    FOPEN,
    FDOPEN,
    FWRITE,
    FCLOSE,
    FFLUSH,
    WRITE,
    FSYNC,
    CLOSE,
    RENAME,
    RENAMEAT2,
    MKDIR,
    LINK,
    UNLINK,
    FTRUNCATE,
    MMAP,
    OPENDIR,
    READDIR,
    CALLS
};
static const char *const names[CALLS] = {"malloc",    "calloc", "realloc",   "aligned_alloc", "open",  "fopen",
                                         "fdopen",    "fwrite", "fclose",    "fflush",        "write", "fsync",
                                         "close",     "rename", "renameat2", "mkdir",         "link",  "unlink",
                                         "ftruncate", "mmap",   "opendir",   "readdir"};

/* The memory of each file's code. */
static struct range {
    uintptr_t begin, end;
    const char *file;
    atomic_int count[CALLS];
} ranges[FILES];
static int n_ranges;
static int failing = -1, fail_number, wanted[FILES];
static atomic_int made;
static bool ready;

extern void *__libc_malloc(size_t bytes);
extern void *__libc_calloc(size_t count, size_t bytes);
extern void *__libc_realloc(void *p, size_t bytes);
extern void *__libc_memalign(size_t alignment, size_t bytes);
/* The address sanitizer's, where it is linked. */
extern void *__interceptor_malloc(size_t bytes) __attribute__((weak));
extern void *__interceptor_calloc(size_t count, size_t bytes) __attribute__((weak));
extern void *__interceptor_realloc(void *p, size_t bytes) __attribute__((weak));
extern void *__interceptor_aligned_alloc(size_t alignment, size_t bytes) __attribute__((weak));

static int add_file(struct dl_phdr_info *info, size_t size, void *unused)
{
    (void)size;
    (void)unused;
    for (int i = 0; i < info->dlpi_phnum && n_ranges < FILES; i++)
        if (info->dlpi_phdr[i].p_type == PT_LOAD && info->dlpi_phdr[i].p_flags & PF_X) {
            struct range *r = &ranges[n_ranges++];
            r->begin = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
            r->end = r->begin + info->dlpi_phdr[i].p_memsz;
            r->file = info->dlpi_name[0] ? info->dlpi_name : "paragraph";
        }
    return 0;
}

static const char *base_name(const char *path)
{
    return strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
}

__attribute__((constructor)) static void begin(void)
{
    const char *call = getenv("FAIL_CALL"), *number = getenv("FAIL_NUMBER"), *from = getenv("FAIL_FROM");
    dl_iterate_phdr(add_file, NULL);
    for (int c = 0; call && c < CALLS; c++)
        if (strcmp(names[c], call) == 0)
            failing = c;
    fail_number = number ? atoi(number) : 0;
    for (int i = 0; i < n_ranges; i++)
        wanted[i] = strstr(base_name(ranges[i].file), from ? from : "paragraph") != NULL;
    ready = true;
}

__attribute__((destructor)) static void end(void)
{
    const char *path = getenv("FAIL_COUNTS");
    ready = false;
    FILE *file = path ? fopen(path, "w") : NULL;
    for (int i = 0; file && i < n_ranges; i++)
        for (int c = 0; c < CALLS; c++)
            if (ranges[i].count[c])
                fprintf(file, "%s %s %d\n", base_name(ranges[i].file), names[c], ranges[i].count[c]);
    if (file)
        fclose(file);
}

/* Count a call; whether it is the one that fails. */
static bool fails(enum call c, const void *caller)
{
    for (int i = 0; ready && i < n_ranges; i++)
        if ((uintptr_t)caller >= ranges[i].begin && (uintptr_t)caller < ranges[i].end) {
            ranges[i].count[c]++;
            return (int)c == failing && wanted[i] && ++made == fail_number;
        }
    return false;
}

#pragma GCC visibility push(default) /* these stand before libc's */

#define CALLER __builtin_return_address(0)
#define NEXT(function) ((__typeof__(&function))(uintptr_t)dlsym(RTLD_NEXT, #function))
/* Define a function that fails with a value and an errno, or calls the real one. */
#define WRAP(call, type, function, parameters, arguments, value, reason)                                               \
    type function parameters;                                                                                          \
    type function parameters                                                                                           \
    {                                                                                                                  \
        static __typeof__(&function) next;                                                                             \
        if (fails(call, CALLER)) {                                                                                     \
            errno = reason;                                                                                            \
            return value;                                                                                              \
        }                                                                                                              \
        if (!next)                                                                                                     \
            next = NEXT(function);                                                                                     \
        return next arguments;                                                                                         \
    }

void *malloc(size_t bytes)
{
    return fails(MALLOC, CALLER)        ? errno = ENOMEM,
                                   NULL : (__interceptor_malloc ? __interceptor_malloc : __libc_malloc)(bytes);
}

void *calloc(size_t count, size_t bytes)
{
    return fails(CALLOC, CALLER)        ? errno = ENOMEM,
                                   NULL : (__interceptor_calloc ? __interceptor_calloc : __libc_calloc)(count, bytes);
}

void *realloc(void *p, size_t bytes)
{
    return fails(REALLOC, CALLER)        ? errno = ENOMEM,
                                    NULL : (__interceptor_realloc ? __interceptor_realloc : __libc_realloc)(p, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes)
{
    return fails(ALIGNED_ALLOC, CALLER)
           ? errno = ENOMEM,
             NULL : (__interceptor_aligned_alloc ? __interceptor_aligned_alloc : __libc_memalign)(alignment, bytes);
}

int open(const char *path, int flags, ...)
{
    static __typeof__(&open) next;
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    if (fails(OPEN, CALLER)) {
        errno = EMFILE;
        return -1;
    }
    if (!next)
        next = NEXT(open);
    return next(path, flags, mode);
}

WRAP(FOPEN, FILE *, fopen, (const char *path, const char *mode), (path, mode), NULL, EMFILE)
WRAP(FDOPEN, FILE *, fdopen, (int fd, const char *mode), (fd, mode), NULL, ENOMEM)
/* The stream remembers. */
size_t fwrite(const void *data, size_t size, size_t count, FILE *file)
{
    static __typeof__(&fwrite) next;
    if (fails(FWRITE, CALLER)) {
        file->_flags |= 0x20; /* glibc's mark of an error */
        errno = ENOSPC;
        return 0;
    }
    if (!next)
        next = NEXT(fwrite);
    return next(data, size, count, file);
}

WRAP(FFLUSH, int, fflush, (FILE * file), (file), EOF, ENOSPC)
WRAP(WRITE, ssize_t, write, (int fd, const void *data, size_t bytes), (fd, data, bytes), -1, ENOSPC)
WRAP(FSYNC, int, fsync, (int fd), (fd), -1, EIO)
WRAP(RENAME, int, rename, (const char *from, const char *to), (from, to), -1, EACCES)
WRAP(RENAMEAT2, int, renameat2, (int from_dir, const char *from, int to_dir, const char *to, unsigned flags),
     (from_dir, from, to_dir, to, flags), -1, EINVAL)
WRAP(MKDIR, int, mkdir, (const char *path, mode_t mode), (path, mode), -1, EACCES)
WRAP(LINK, int, link, (const char *from, const char *to), (from, to), -1, EPERM)
WRAP(UNLINK, int, unlink, (const char *path), (path), -1, EACCES)
WRAP(FTRUNCATE, int, ftruncate, (int fd, off_t bytes), (fd, bytes), -1, EIO)
WRAP(MMAP, void *, mmap, (void *at, size_t bytes, int protection, int flags, int fd, off_t offset),
     (at, bytes, protection, flags, fd, offset), MAP_FAILED, ENOMEM)

WRAP(OPENDIR, DIR *, opendir, (const char *path), (path), NULL, EMFILE)
WRAP(READDIR, struct dirent *, readdir, (DIR * dir), (dir), NULL, EIO)

/* What is closed is closed, whatever is said of it. */
int close(int fd)
{
    static __typeof__(&close) next;
    bool failed = fails(CLOSE, CALLER);
    if (!next)
        next = NEXT(close);
    int status = next(fd);
    return failed ? errno = EIO, -1 : status;
}

int fclose(FILE *file)
{
    static __typeof__(&fclose) next;
    bool failed = fails(FCLOSE, CALLER);
    if (!next)
        next = NEXT(fclose);
    int status = next(file);
    return failed ? errno = EIO, EOF : status;
}
