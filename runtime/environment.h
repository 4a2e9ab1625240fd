/* Variables of the environment that StarPU would abort at. */
#ifndef PARA_RUNTIME_ENVIRONMENT_H
#define PARA_RUNTIME_ENVIRONMENT_H

#include <paragraph/types.h>

/* PARA_EINVAL names the variable, its value, and what was expected. */
int para_environment_check(para_error *err);

#endif
