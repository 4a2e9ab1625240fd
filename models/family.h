/* What a family of models is: the contract between models/, where each family is one file that ends in a const row, and
 * io/, which reads and writes a family's folders by its row. */
#ifndef PARA_MODELS_FAMILY_H
#define PARA_MODELS_FAMILY_H

#include <paragraph/models.h>

#include <stddef.h>

/* --- config.json --- */

/* What a field is and how it is read and written. */
enum para_field_kind {
    PARA_FIELD_SIZE,   /* a whole number from 1 to 2^31 - 1; an int64_t of the configuration */
    PARA_FIELD_COUNT,  /* the same from 0 on */
    PARA_FIELD_REAL,   /* a number; a double of the configuration */
    PARA_FIELD_BOOL,   /* true or false; a bool of the configuration */
    PARA_FIELD_WORD,   /* one of some words; a bool of the configuration */
    PARA_FIELD_ROPE,   /* several fields, old and new, of rotary embeddings (io/rope.h); a para_rope_options */
    PARA_FIELD_LAYERS, /* the kind of each layer: how many at first see all positions; an int64_t */
    PARA_FIELD_FIXED,  /* the same in every model of the family; a file that says otherwise has another model */
    PARA_FIELD_EMPTY,  /* never written; a file that has more than null or {} here has another model */
    PARA_FIELD_TOLD,   /* written for other programs, never read */
};

/* A word that stands for a value. */
struct para_word {
    const char *word; /* NULL ends a list */
    bool value;
};

/* A field, in the order in which they are written. What GGUF files have in its place is for numbers the key behind the
 * architecture's name, or, behind '#', the tensor with as many rows; for a BOOL the tensor that is there, or, behind
 * '!', isn't. What no row names is not read: it doesn't change the logits. */
struct para_field {
    enum para_field_kind kind;
    const char *name;    /* in config.json; NULL ends a list */
    const char *general; /* SIZE: the name that it may have in any family's files; NULL: none */
    const char *size;    /* SIZE: its name in para_model_set_size() */
    const char *axis; /* SIZE: the axis of that extent, "" for none; NULL: that of the size's name, if there is one */
    size_t offset;    /* of all but FIXED, EMPTY, TOLD: in the configuration */
    bool optional;    /* SIZE, COUNT: null is 0, which complete() may replace; a SIZE of 0 is null */
    double absent;    /* REAL, BOOL, and SIZE and COUNT that are optional: what it means that there is none */
    const struct para_word
        *words;       /* WORD: of words for one value the first is written; absent means the first of all */
    const char *json; /* FIXED, TOLD: the value */
    const char *(*tell)(const void *config); /* TOLD: the value, if it depends on the configuration */
    const char *gguf;                        /* a GGUF file's place for it, as below; NULL: none */
};

/* --- weights --- */

/* The kinds of files that tensors stand in. */
enum para_form_kind {
    PARA_FOLDER, /* safetensors of a Hugging Face folder */
    PARA_GGUF,
    PARA_FORMS
};

/* A parameter's name in the graph and in files. '*' stands for the number of a layer. */
struct para_name {
    const char *graph; /* NULL ends a list */
    const char *file;
    const char *layout;      /* the file's dimensions by the value's axes, which may lie in another order, for example
                                "embd 3*heads*head_dim": axes that '*' joins are one dimension there, and an axis that isn't
                                named may be told by its extent; NULL: one each, in the value's order */
    const char *gguf;        /* the name in GGUF files */
    const char *gguf_layout; /* NULL: as `layout` */
    bool turned;             /* has a head_dim that rotary embeddings turn */
};

/* A tensor that files may have and graphs don't. */
struct para_extra {
    const char *pattern; /* its name, as a pattern of a shell; NULL ends a list */
    const char *copy_of; /* a tensor of the same elements, or it means another model; NULL: it carries nothing */
};

/* A matrix of a file that bears out two sizes of config.json; '*' stands for the last layer's number. */
struct para_evidence {
    const char *tensor; /* NULL ends a list */
    const char *rows, *columns;
};

/* What else is to be known of the tensors of a kind of files. */
struct para_form {
    const char *prefix; /* of names, which some files lack; NULL: none */
    const struct para_extra *extras;
    const struct para_evidence *evidence;
};

/* --- a family --- */

struct para_preset {
    const char *name; /* NULL ends a list */
    const void *config;
};

/* Functions get the family's own struct of numbers, its configuration. */
struct para_family {
    const char *name;    /* also config.json's model_type */
    size_t config_bytes; /* of a configuration, which is plain data */
    size_t weights;      /* offset of the matrices' type in it, a para_dtype */
    const struct para_preset *presets;

    const struct para_field *fields;
    void (*complete)(void *config); /* give optional sizes that are 0 their values */

    const struct para_name *names;
    struct para_form forms[PARA_FORMS];
    const char *architecture; /* general.architecture of GGUF files; of several families the first reads them */
    bool paired; /* there the elements that rotary embeddings turn together are neighbours, not half a head apart */

    int (*check)(const void *config, para_error *err);
    void (*set_dropout)(void *config, double probability); /* NULL: has none */
    para_model_sizes (*measure)(const void *config);
    para_model_graph (*build)(para_graph *g, const void *config, int64_t batch, int64_t seq, bool training);
    para_model_graph (*build_cached)(para_graph *g, const void *config, const para_caches *caches);
};

struct para_model {
    const struct para_family *family;
    max_align_t config[]; /* family->config_bytes */
};

#define PARA_FAMILY(name) extern const struct para_family para_family_##name;
#include "models/list.h"
#undef PARA_FAMILY

/* All families; NULL ends the list. */
extern const struct para_family *const para_families[];

/* Make a model with a copy of a configuration, or, where that is NULL, one of zeros. */
int para_model_new(para_model **out, const struct para_family *family, const void *config, para_error *err);

/* Find a parameter's row by its name in the graph and write its name in files of a kind to `buffer`; NULL if it has
 * none, or it doesn't fit. */
const struct para_name *para_family_name(const struct para_family *family, enum para_form_kind form, const char *name,
                                         char *buffer, size_t buffer_bytes);

/* Write `pattern` with a number in the place of its '*', if it has one. Returns false if that doesn't fit. */
bool para_name_of_layer(const char *pattern, int64_t layer, char *buffer, size_t buffer_bytes);

#endif
