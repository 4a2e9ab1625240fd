/* StarPU's folder. */
#define _GNU_SOURCE /* nftw */

#include "runtime/home.h"

#include "base/fail.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BUS "/.starpu/sampling/bus"
/* StarPU 1.3 and 1.4 write paths into 256 bytes: the longest is HOME BUS "/" HOST ".platform.v4.xml". */
enum { STARPU_PATH = 256, HOST = 65, LONGEST_ENDING = sizeof ".platform.v4.xml" };
/* How long another run may take to start: tenths of a second. */
enum { PATIENCE = 100 };

static void host_name(char out[HOST])
{
    if (gethostname(out, HOST) < 0)
        out[0] = '\0';
    out[HOST - 1] = '\0';
}

static bool too_long(const char *home)
{
    char host[HOST];
    host_name(host);
    return strlen(home) + strlen(BUS "/") + strlen(host) + LONGEST_ENDING > STARPU_PATH;
}

/* Make the folders that StarPU would make; -1 with errno, or the last of them, open. */
static int open_bus(const char *home)
{
    char path[STARPU_PATH + sizeof BUS];
    snprintf(path, sizeof path, "%s" BUS, home);
    for (char *slash = path + strlen(home); slash; slash = strchr(slash + 1, '/')) {
        char *end = strchr(slash + 1, '/');
        if (end)
            *end = '\0';
        if ((mkdir(path, 0700) < 0 && errno != EEXIST) || access(path, R_OK | W_OK | X_OK) < 0)
            return -1;
        if (end)
            *end = '/';
    }
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Hold a folder while no other run does; false: another doesn't let it go. File systems without locks go without. */
static bool hold(int folder)
{
    const struct timespec tenth = {.tv_nsec = 100000000};
    int tries = 0;
    while (flock(folder, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK && tries++ < PATIENCE)
        nanosleep(&tenth, NULL);
    return tries <= PATIENCE;
}

/* Whether a folder's disk and quotas have room for a file, and limits for its size. */
static bool takes_files(int folder)
{
    static const char name[] = ".paragraph-new", block[4096] = "";
    int file = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (file < 0)
        return false;
    bool written = write(file, block, sizeof block) == (ssize_t)sizeof block;
    int reason = written ? 0 : errno ? errno : ENOSPC;
    close(file);
    unlinkat(folder, name, 0);
    errno = reason;
    return written;
}

/* Whether a file ends within a line, as one of which only a part was written. */
static bool is_cut(int folder, const char *name)
{
    char last = '\0';
    int file = openat(folder, name, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    bool whole = lseek(file, -1, SEEK_END) >= 0 && read(file, &last, 1) == 1 && last == '\n';
    close(file);
    return !whole;
}

/* Whether one of this host's files is cut; or remove them all. */
static bool each_of_host(int folder, bool remove)
{
    char host[HOST];
    host_name(host);
    bool cut = false;
    int again = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = again >= 0 ? fdopendir(again) : NULL;
    if (!dir && again >= 0)
        close(again);
    for (struct dirent *d; dir && (d = readdir(dir));) {
        if (strncmp(d->d_name, host, strlen(host)) != 0 || d->d_name[strlen(host)] != '.')
            continue;
        if (remove)
            unlinkat(folder, d->d_name, 0);
        else
            cut = cut || is_cut(folder, d->d_name);
    }
    if (dir)
        closedir(dir);
    return cut;
}

static const char *reason(void)
{
    switch (errno) {
    case EMFILE:
    case ENFILE:
        return "can't be opened: Too many open files";
    case ENOSPC:
    case EDQUOT:
        return "is on a full disk";
    case EFBIG:
        return "takes no file of 4 KiB (see ulimit -f)";
    default:
        return "is not writable";
    }
}

/* Try whether a home will do, and hold it; NULL, or why not. */
static const char *try_home(struct para_home *h, const char *home)
{
    const char *why = NULL;
    if (!home)
        return "is not set";
    if (too_long(home))
        return "is a path too long for StarPU";
    int folder = open_bus(home);
    if (folder < 0)
        return reason();
    if (!hold(folder))
        why = "is in use by another run that starts";
    else if (!takes_files(folder))
        why = reason();
    if (why) {
        close(folder);
        return why;
    }
    if (each_of_host(folder, false)) {
        para_log(PARA_LOG_WARNING, "%s" BUS ": a file ends within a line; StarPU measures again", home);
        each_of_host(folder, true);
    }
    h->held = folder;
    return NULL;
}

/* Remove what open_bus() makes: empty folders, for which no descriptor is needed. */
static void remove_folders(const char *home)
{
    char path[STARPU_PATH + sizeof BUS];
    snprintf(path, sizeof path, "%s" BUS, home);
    while (rmdir(path) == 0 && strcmp(path, home) != 0)
        *strrchr(path, '/') = '\0';
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

static void remove_own(const struct para_home *h)
{
    if (h->own[0])
        nftw(h->own, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* Make a folder of our own; NULL, or why not. */
static const char *try_own(struct para_home *h, const char *parent)
{
    int used = snprintf(h->own, sizeof h->own, "%s/paragraph-XXXXXX", parent);
    bool fits = used < (int)sizeof h->own, made = fits && mkdtemp(h->own);
    const char *why = made ? try_home(h, h->own) : fits ? "is not writable" : "is a path too long for StarPU";
    if (why && made)
        remove_folders(h->own);
    if (why)
        h->own[0] = '\0';
    return why;
}

/* Make one in $TMPDIR, or where that is too long in /tmp. */
static int make_own(struct para_home *h, const char *home, const char *why, para_error *err)
{
    const char *set = getenv("TMPDIR"), *parent = set && set[0] && !too_long(set) ? set : "/tmp";
    const char *why_own = try_own(h, parent);
    if (why_own)
        return para_fail(err, PARA_EIO, "StarPU needs a folder to write to: %s %s, and %s %s", home, why, parent,
                         why_own);
    para_log(PARA_LOG_INFO, "%s %s: StarPU's files go to %s for this run", home, why, h->own);
    return 0;
}

static void put(const char *variable, char *value)
{
    if (value)
        setenv(variable, value, 1);
    else
        unsetenv(variable);
    free(value);
}

/* Let STARPU_HOME name the folder. */
static int name_home(struct para_home *h, const char *home, const char *set, const char *cache, para_error *err)
{
    h->before = set ? strdup(set) : NULL;
    h->cache = cache ? strdup(cache) : NULL;
    if ((set && !h->before) || (cache && !h->cache) || setenv("STARPU_HOME", home, 1) < 0) {
        free(h->before);
        free(h->cache);
        return para_fail_memory(err, "setting STARPU_HOME");
    }
    unsetenv("XDG_CACHE_HOME");
    h->named = true;
    return 0;
}

int para_home_open(struct para_home *h, para_error *err)
{
    const char *set = getenv("STARPU_HOME"), *cache = getenv("XDG_CACHE_HOME"),
               *home = set                 ? set
                       : cache && cache[0] ? cache
                                           : getenv("HOME"),
               *why = try_home(h, home);
    int status = why ? make_own(h, home ? home : "HOME", why, err) : 0;
    if (status == 0)
        status = name_home(h, why ? h->own : home, set, cache, err);
    if (status < 0)
        para_home_close(h);
    return status;
}

void para_home_started(struct para_home *h)
{
    if (h->held >= 0)
        close(h->held);
    h->held = -1;
    if (!getenv("STARPU_CALIBRATE"))
        remove_own(h);
}

void para_home_close(struct para_home *h)
{
    if (h->held >= 0)
        close(h->held);
    remove_own(h);
    if (h->named) {
        put("STARPU_HOME", h->before);
        put("XDG_CACHE_HOME", h->cache);
    }
    *h = PARA_NO_HOME;
}
