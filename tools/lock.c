/* One run per folder. */
#include "tools/lock.h"
#include "tools/common.h"
#include "tools/signals.h"

#include "base/replace.h"

#include <stdlib.h>
#include <string.h>

static const char SUFFIX[] = ".paragraph-lock";

/* The lock's path, to be freed: the same for all ways to name the folder. */
static char *lock_path(const char *folder)
{
    char *real = realpath(folder, NULL);
    const char *name = real ? real : folder;
    size_t length = strlen(name), bytes = length + sizeof SUFFIX;
    while (length > 1 && name[length - 1] == '/')
        length--;
    char *path = malloc(bytes);
    if (path)
        snprintf(path, bytes, "%.*s%s", (int)length, name, SUFFIX);
    free(real);
    return path;
}

static int refuse(const char *path, const char *option, const char *folder)
{
    char process[32] = "another process";
    FILE *file = fopen(path, "r");
    long long number;
    if (file && fscanf(file, "%lld", &number) == 1)
        snprintf(process, sizeof process, "process %lld", number);
    if (file)
        fclose(file);
    return failed("%s: %s saves in %s; expected one run at a time there", option, process, folder);
}

int lock_take(struct lock *l, const char *option, const char *folder)
{
    if (strcmp(folder, "-") == 0)
        return misused("%s: \"-\" can't be replaced: expected the name of a folder to make", option);
    char *path = lock_path(folder);
    if (!path)
        return out_of_memory("a lock's name", (double)strlen(folder));
    signals_hold();
    l->fd = para_hold(path, false, 0666);
    int reason = errno;
    if (l->fd >= 0) {
        l->path = path;
        signals_guard(path);
    }
    signals_release();
    if (l->fd >= 0)
        return ftruncate(l->fd, 0) == 0 && dprintf(l->fd, "%lld\n", (long long)getpid()) > 0
                   ? EXIT_DONE
                   : failed("%s: can't be written: %s", path, strerror(errno));
    int code =
        reason == EWOULDBLOCK ? refuse(path, option, folder) : failed("%s: can't be made: %s", path, strerror(reason));
    free(path);
    return code;
}

void lock_release(struct lock *l)
{
    if (!l->path)
        return;
    unlink(l->path);
    signals_unguard(l->path);
    close(l->fd);
    free(l->path);
    l->path = NULL;
}
