/* Dumps of graphs as strings, for tests. */
#ifndef PARA_TESTS_DUMPS_H
#define PARA_TESTS_DUMPS_H

#include "tests/support.h"

enum format { TEXT, DOT, SVG, HTML, JSON };

/* A dump, to be freed. */
char *dump(const para_graph *g, enum format format, int fold);

/* Load a graph from JSON of so many bytes, as of a file "g.json". */
int load(para_graph **out, const char *json, size_t bytes, para_error *err);

/* Fail, printing the text, unless `part` is in it. */
void assert_has(const char *text, const char *part);

#endif
