/* Files written whole. */
#include "tools/newfile.h"
#include "tools/common.h"
#include "tools/signals.h"

#include "base/replace.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Find what is replaced, to be freed: of a link its target, so that the link stays. */
static char *find_target(const char *path)
{
    char *real = realpath(path, NULL);
    return real ? real : strdup(path);
}

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

/* Only plain files, and those that aren't there yet, are replaced; a link that leads nowhere is written through. */
static int open_new(struct new_file *f)
{
    struct stat found;
    bool there = stat(f->path, &found) == 0, link = !there && lstat(f->path, &found) == 0;
    if (there ? S_ISREG(found.st_mode) : !link)
        return open_beside(f, f->target);
    return open(f->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
}

int new_file_open(struct new_file *f, const char *path)
{
    *f = (struct new_file){.path = path, .target = find_target(path)};
    int fd = f->target ? open_new(f) : -1;
    if (fd >= 0 && (!f->temporary || ftruncate(fd, 0) == 0))
        f->stream = fdopen(fd, "wb");
    if (f->stream)
        return EXIT_DONE;
    int code = failed("%s: can't be opened: %s", path, strerror(errno));
    if (f->temporary) {
        remove(f->temporary);
        signals_unguard(f->temporary);
    }
    if (fd >= 0)
        close(fd);
    return new_file_close(f, code);
}

/* Where another file can't take its name, as at a mount point, what was written is copied into it. */
static bool copy_into(const char *from, const char *to)
{
    char block[1 << 16];
    size_t bytes;
    FILE *in = fopen(from, "rb"), *out = in ? fopen(to, "wb") : NULL;
    while (out && (bytes = fread(block, 1, sizeof block, in)) > 0)
        fwrite(block, 1, bytes, out);
    bool copied = out && !ferror(in) && !ferror(out);
    copied = (!out || fclose(out) == 0) && copied;
    if (in)
        fclose(in);
    return copied;
}

static bool put_in_place(const struct new_file *f)
{
    if (rename(f->temporary, f->target) == 0)
        return true;
    bool copied = (errno == EBUSY || errno == EXDEV) && copy_into(f->temporary, f->target);
    return copied && remove(f->temporary) == 0;
}

/* Write out what is left and put the file in its place. A second descriptor holds its name until that is done. */
static bool finish(struct new_file *f, bool wanted)
{
    int held = dup(fileno(f->stream));
    bool whole = held >= 0 && !ferror(f->stream);
    whole = fclose(f->stream) == 0 && whole;
    if (f->temporary) {
        signals_hold();
        whole = whole && wanted && put_in_place(f);
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
