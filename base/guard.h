/* What is half-made is told to the program's handler of signals, if there is one (para_guard_set()). */
#ifndef PARA_BASE_GUARD_H
#define PARA_BASE_GUARD_H

/* The callbacks of para_guard, which do nothing where none are set. */
void para_guard_hold(void);
void para_guard_release(void);
void para_guard_add(const char *path);
void para_guard_drop(const char *path);

#endif
