/* Reading JSON without believing it: typed getters that fail naming the file, the entry and the field. */
#ifndef PARA_GRAPH_READ_JSON_H
#define PARA_GRAPH_READ_JSON_H

#include "base/fail.h"
#include "graph/ir.h"

#include <jansson.h>

/* What is being read, for messages: `list` and `entry` name it ("tensor", 12), and `field` the place in it. */
struct para_loader {
    const char *file;
    const char *text; /* of the document, or of a value in it that stands for a document of its own */
    int lines_before; /* that, in the file */
    para_graph *g;
    json_t *tensors, *nodes;
    const char *list, *field;
    int entry;
    para_error *err;
};

/* Parse all of a file and hand its value to load(), which fails as it finds things wrong. */
int para_json_read(struct para_loader *l, FILE *in, int (*load)(struct para_loader *l, json_t *root));
/* Make l->g of a graph's value, sealed; also after a failure it is the caller's to free. */
int para_json_load_graph(struct para_loader *l, json_t *root);

/* Fail with "g.json: line 20: tensor 12: dims: ..." */
int para_json_bad(const struct para_loader *l, const char *format, ...) PARA_PRINTF(2, 3);
/* Fail with what the graph's makers found wrong, with the file and the entry put before it. */
int para_json_refused(struct para_loader *l);
/* "an object", "a string", ...; "missing" for NULL. */
const char *para_json_type(const json_t *v);

/* The object has these fields and no others; NULL ends the list. */
int para_json_fields(struct para_loader *l, json_t *object, const char *const names[]);

/* What a value must be. */
int para_json_integer(const struct para_loader *l, const json_t *v, int64_t low, int64_t high, int64_t *out);
/* A number, "inf", "-inf" or "nan". */
int para_json_double(const struct para_loader *l, const json_t *v, double *out);
/* The place of a word in a list that NULL ends. */
int para_json_word(struct para_loader *l, const json_t *v, const char *const words[], int *out);

/* What a field of an object must be; l->field becomes it. Strings and lists live as long as the document. */
int para_json_get_integer(struct para_loader *l, const json_t *object, const char *key, int64_t low, int64_t high,
                          int *out);
/* null is -1. */
int para_json_get_id(struct para_loader *l, const json_t *object, const char *key, int *out);
int para_json_get_bool(struct para_loader *l, const json_t *object, const char *key, bool *out);
int para_json_get_string(struct para_loader *l, const json_t *object, const char *key, const char **out);
/* A string that isn't empty. */
int para_json_get_name(struct para_loader *l, const json_t *object, const char *key, const char **out);
int para_json_get_list(struct para_loader *l, const json_t *object, const char *key, json_t **out);

/* An integer of an object from 0 to `high`. */
int para_json_get_count(struct para_loader *l, const json_t *object, const char *key, int64_t high, int64_t *out);

/* Copy a string to the graph. */
int para_json_keep(struct para_loader *l, const char *string, const char **out);

#endif
