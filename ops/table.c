/* The table of all ops, in alphabetical order. */
#include "ops/table.h"

#include <string.h>

const struct para_op *const para_op_table[] = {
#define PARA_OP(name) &para_op_##name,
#include "ops/list.h"
#undef PARA_OP
    NULL,
};

const struct para_op *para_op_find(const char *name)
{
    size_t low = 0, high = sizeof para_op_table / sizeof para_op_table[0] - 1;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(name, para_op_table[middle]->name);
        if (order == 0)
            return para_op_table[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}
