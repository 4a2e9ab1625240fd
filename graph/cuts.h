/* How a graph or a node was cut, as text: "batch=2,ff=4" are parts of a graph's axes, or the numbers of one part. */
#ifndef PARA_GRAPH_CUTS_H
#define PARA_GRAPH_CUTS_H

#include "graph/ir.h"

struct para_cut {
    char axis[PARA_MAX_AXIS_NAME + 1];
    int number;
};

/* Read the next cut from *text and step past it. Returns 1; 0 at the end; -1 if it is written otherwise: the text
 * begins or ends with a comma, an axis has no name or too long a one, or its number isn't one from 0 to INT_MAX. */
int para_cut_next(const char **text, struct para_cut *out);

/* Return the number that an axis has in the text, -1 if it isn't there. */
int para_cut_find(const char *text, const char *axis);

/* Of an extent in so many parts, the larger ones first: where part p begins, and which part begins at a place. */
int64_t para_part_begin(int64_t extent, int parts, int p);
int para_part_at(int64_t extent, int parts, int64_t begin);

/* Fail, after `what` ("split head: "), with PARA_EAXIS for an axis that the graph lacks, naming those that it has. */
int para_cut_refuse(const para_graph *g, const char *what, const char *axis, para_error *err);

/* --- spreading --- */

enum { PARA_MAX_SPREAD_AXES = 8 };

/* "heads,ff=2", read: axes, and over how many devices of each stage their parts are spread. */
struct para_spreading {
    char axis[PARA_MAX_SPREAD_AXES][PARA_MAX_AXIS_NAME + 1];
    int parts[PARA_MAX_SPREAD_AXES]; /* of each axis */
    int n_axes, devices;
};

/* Read it for a split graph. Returns 0; PARA_EINVAL for a text of another form; PARA_EAXIS for an axis that the graph
 * lacks or that isn't split; PARA_ERANGE for no devices, or for more than an axis has parts. */
int para_spreading_read(struct para_spreading *out, const para_graph *g, const char *text, para_error *err);

/* The device of the part that a node is of, floor(p devices / parts), by the first axis that it is a part of; -1 if it
 * is of none. */
int para_spreading_device(const struct para_spreading *s, const para_node *n);

#endif
