/* Memory that runs out when a test says so. For programs that are linked with --wrap for malloc, calloc, realloc and
 * free (tests/local.mk): the library's and the program's own calls go through tests/short-memory.c. */
#ifndef PARA_TESTS_SHORT_MEMORY_H
#define PARA_TESTS_SHORT_MEMORY_H

extern int allocations_left; /* until memory runs out; negative: it doesn't */
extern int blocks;           /* of memory that has not been freed */

#endif
