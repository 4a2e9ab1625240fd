/* Files written whole. */
#include "tools/newfile.h"
#include "tools/common.h"
#include "tools/signals.h"

#include "base/replace.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Open a name beside the file, which goes if a signal ends the program. */
static int open_beside(struct new_file *f, const char *target)
{
    struct stat old;
    size_t room = strlen(target) + PARA_NEW_ROOM;
    char *name = malloc(room);
    if (!name)
        return -1;
    signals_hold();
    int fd = para_hold_new(name, room, target, false);
    if (fd >= 0) {
        f->temporary = name;
        signals_guard(name);
    } else {
        free(name);
    }
    signals_release();
    if (fd >= 0 && stat(target, &old) == 0)
        para_keep_mode(fd, &old);
    return fd;
}

/* What it got in place of one that was closed can't be written. */
static int open_standard(void)
{
    if ((fcntl(STDOUT_FILENO, F_GETFL) & O_ACCMODE) != O_RDONLY)
        return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);
    errno = EBADF;
    return -1;
}

static int open_new(struct new_file *f, const char *path)
{
    if (strcmp(path, "-") == 0)
        return open_standard();
    if (para_replaceable(path))
        return open_beside(f, f->target);
    return open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
}

const char *new_file_name(const char *path)
{
    return path && strcmp(path, "-") != 0 ? path : "standard output";
}

int new_file_open(struct new_file *f, const char *path)
{
    *f = (struct new_file){.path = new_file_name(path), .target = para_target(path)};
    int fd = f->target ? open_new(f, path) : -1;
    if (fd >= 0 && (!f->temporary || ftruncate(fd, 0) == 0))
        f->stream = fdopen(fd, "wb");
    if (f->stream)
        return EXIT_DONE;
    int code = failed("%s: can't be opened: %s", f->path, strerror(errno));
    if (f->temporary) {
        remove(f->temporary);
        signals_unguard(f->temporary);
    }
    if (fd >= 0)
        close(fd);
    return new_file_close(f, code);
}

/* Write out what is left and put the file in its place. A second descriptor holds its name until that is done. */
static bool finish(struct new_file *f, bool wanted)
{
    int held = dup(fileno(f->stream));
    bool whole = held >= 0 && !ferror(f->stream);
    whole = fclose(f->stream) == 0 && whole;
    if (f->temporary) {
        signals_hold();
        whole = whole && wanted && para_put_file(f->temporary, f->target) == 0;
        if (!whole)
            remove(f->temporary);
        signals_unguard(f->temporary);
        signals_release();
    }
    close(held);
    return whole;
}

int new_file_close(struct new_file *f, int code)
{
    errno = 0;
    if (f->stream && !finish(f, code == EXIT_DONE) && code == EXIT_DONE)
        code = failed("%s: can't be written%s%s", f->path, errno ? ": " : "", errno ? strerror(errno) : "");
    free(f->temporary);
    free(f->target);
    *f = (struct new_file){.path = f->path};
    return code;
}
