/* StarPU's variables of the environment: which are set, and whether it can start with them. */
#ifndef PARA_RUNTIME_ENVIRONMENT_H
#define PARA_RUNTIME_ENVIRONMENT_H

#include <paragraph/types.h>

/* Check what StarPU doesn't: PARA_EINVAL names the variable, its value, and what was expected. */
int para_environment_check(para_error *err);

/* StarPU aborts, or crashes, at values of its variables that it doesn't like. Where any are set but those that
 * Paragraph reads itself, a child process calls `start` first, with its own copy of everything: PARA_EINVAL where that
 * ends otherwise than by returning names how, what was said meanwhile, and the variables. */
int para_environment_try(int (*start)(void *), void *argument, para_error *err);

/* Write the variables of StarPU's that are set, as ": STARPU_A=1, STARPU_B=2", cut where there is no room; "" where
 * none are. */
void para_environment_list(char *out, size_t room);

#endif
