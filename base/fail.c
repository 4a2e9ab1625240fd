/* Error messages and the log callback. */
#include "base/fail.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void (*log_callback)(void *user, int level, const char *line);
static void *log_user;

static bool continues(char byte)
{
    return ((unsigned char)byte & 0xc0) == 0x80; /* a character of UTF-8 */
}

/* Copy a text. Of one that is too long the middle goes: what it begins with, as a path, and how it ends, which is the
 * reason, are read. */
static void shorten(char *out, size_t room, const char *text)
{
    static const char GAP[] = "...";
    size_t length = strlen(text), kept = room - sizeof GAP, head = kept / 3, tail = kept - head;
    while (length >= room && head > 0 && continues(text[head]))
        head--;
    while (length >= room && tail > 0 && continues(text[length - tail]))
        tail--;
    if (length < room)
        snprintf(out, room, "%s", text);
    else
        snprintf(out, room, "%.*s%s%s", (int)head, text, GAP, text + length - tail);
}

/* Format into `room` bytes. Without memory for all of it, its end is lost. */
static void format_short(char *out, size_t room, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    char *text = length >= 0 ? malloc((size_t)length + 1) : NULL;
    if (text) {
        vsnprintf(text, (size_t)length + 1, format, args);
        shorten(out, room, text);
    } else {
        vsnprintf(out, room, format, args);
    }
    free(text);
}

int para_fail(para_error *err, int code, const char *format, ...)
{
    if (err) {
        char message[sizeof err->message]; /* err's own may be among the arguments */
        va_list args;
        va_start(args, format);
        format_short(message, sizeof message, format, args);
        va_end(args);
        err->code = code;
        memcpy(err->message, message, sizeof message);
    }
    return code;
}

int para_fail_memory(para_error *err, const char *what)
{
    return para_fail(err, PARA_ENOMEM, "out of memory: %s", what);
}

void para_log_set(void (*callback)(void *user, int level, const char *line), void *user)
{
    log_callback = callback;
    log_user = user;
}

void para_log(int level, const char *format, ...)
{
    if (!log_callback)
        return;
    char line[1024];
    va_list args;
    va_start(args, format);
    format_short(line, sizeof line, format, args);
    va_end(args);
    log_callback(log_user, level, line);
}

const char *para_status_name(int status)
{
    static const char *const names[] = {"PARA_OK",      "PARA_EINVAL", "PARA_ENOMEM",  "PARA_ESHAPE",
                                        "PARA_EAXIS",   "PARA_ERANGE", "PARA_EIO",     "PARA_EFORMAT",
                                        "PARA_EDEVICE", "PARA_ENAME",  "PARA_ESUPPORT"};
    int count = (int)(sizeof names / sizeof names[0]);
    return status <= 0 && status > -count ? names[-status] : "unknown status";
}

const char *para_version(void)
{
    return PARA_VERSION;
}
