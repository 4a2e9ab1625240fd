/* Guards against signals. */
#include "base/guard.h"

#include <paragraph/types.h>

static const para_guard *guard;

void para_guard_set(const para_guard *own)
{
    guard = own;
}

void para_guard_hold(void)
{
    if (guard)
        guard->hold();
}

void para_guard_release(void)
{
    if (guard)
        guard->release();
}

void para_guard_add(const char *path)
{
    if (guard)
        guard->add(path);
}

void para_guard_drop(const char *path)
{
    if (guard)
        guard->drop(path);
}
