/* Reporting errors: fill a para_error and return its code, in one expression. */
#ifndef PARA_BASE_FAIL_H
#define PARA_BASE_FAIL_H

#include <paragraph/types.h>

/* Write the message (if err isn't NULL) and return code: `return para_fail(err, PARA_ERANGE, "...", ...)`. */
int para_fail(para_error *err, int code, const char *format, ...) PARA_PRINTF(3, 4);

/* Out of memory while making `what`. */
int para_fail_memory(para_error *err, const char *what);

void para_log(int level, const char *format, ...) PARA_PRINTF(2, 3);

/* Return from the enclosing function what a failed call returned. */
#define PARA_TRY(call)                                                                                                 \
    do {                                                                                                               \
        int status_ = (call);                                                                                          \
        if (status_ < 0)                                                                                               \
            return status_;                                                                                            \
    } while (0)

#endif
