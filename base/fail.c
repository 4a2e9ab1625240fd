/* Error messages and the log callback. */
#include "base/fail.h"

#include <stdarg.h>
#include <stdio.h>

static void (*log_callback)(void *user, int level, const char *line);
static void *log_user;

int para_fail(para_error *err, int code, const char *format, ...)
{
    if (err) {
        va_list args;
        va_start(args, format);
        err->code = code;
        vsnprintf(err->message, sizeof err->message, format, args);
        va_end(args);
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
    vsnprintf(line, sizeof line, format, args);
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
