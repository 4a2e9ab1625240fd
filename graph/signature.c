#include "graph/signature.h"

#include <limits.h>
#include <string.h>

enum { MAX_FORMS = 8, TYPES = PARA_Q4_0 + 1, EXPECTED_TEXT = 64 };

/* A set of element types, one bit each. */
typedef unsigned type_set;
enum { IN_BLOCKS = 1 << PARA_Q8_0 | 1 << PARA_Q4_0, ANY_TYPE = ((1 << TYPES) - 1) & ~IN_BLOCKS };

/* One way to call an op: its text, and the types that its letters have been found to stand for. */
struct form {
    const char *inputs, *outputs;
    type_set letter['Z' - 'A' + 1];
};

static const char *next_word(const char *at)
{
    at += strcspn(at, " ;");
    return at + strspn(at, " ");
}

static bool has_word(const char *at)
{
    return *at && *at != ';' && strncmp(at, "->", 2) != 0;
}

static bool repeats(const char *word)
{
    size_t length = strcspn(word, " ;");
    return length > 3 && strncmp(word + length - 3, "...", 3) == 0;
}

static int count_words(const char *at)
{
    int count = 0;
    for (; has_word(at); at = next_word(at))
        count++;
    return count;
}

static int split_forms(const char *types, struct form form[MAX_FORMS])
{
    int count = 0;
    for (const char *at = types; *at && count < MAX_FORMS; at += *at == ';', at += strspn(at, " ")) {
        const char *arrow = strstr(at, "->");
        form[count++] = (struct form){.inputs = at, .outputs = arrow + 2 + strspn(arrow + 2, " ")};
        at = arrow + strcspn(arrow, ";");
    }
    return count;
}

/* The types that "f32|bf16" names. */
static type_set read_types(const char *at)
{
    type_set set = 0;
    for (;;) {
        size_t length = strcspn(at, "| ;.");
        for (int t = 0; t < TYPES; t++) {
            const char *name = para_dtype_name((para_dtype)t);
            if (strlen(name) == length && strncmp(at, name, length) == 0)
                set |= 1u << t;
        }
        if (at[length] != '|')
            return set;
        at += length + 1;
    }
}

/* The types that a word allows: those it names, or, for a letter, the one that it stands for already. */
static type_set allowed(const struct form *f, const char *word)
{
    bool letter = *word >= 'A' && *word <= 'Z';
    const char *types = letter ? word + 1 + (word[1] == ':') : word;
    if (letter && f->letter[*word - 'A'])
        return f->letter[*word - 'A'];
    return letter && word[1] != ':' ? ANY_TYPE : read_types(types);
}

static void bind(struct form *f, const char *word, para_dtype dtype)
{
    if (*word >= 'A' && *word <= 'Z')
        f->letter[*word - 'A'] = 1u << dtype;
}

/* "f32, bf16 or i8" */
static const char *list_types(type_set set, char text[EXPECTED_TEXT])
{
    size_t used = 0;
    text[0] = '\0';
    for (int t = 0; t < TYPES; t++)
        if (set >> t & 1) {
            const char *before = used == 0 ? "" : set >> (t + 1) ? ", " : " or ";
            used += (size_t)snprintf(text + used, EXPECTED_TEXT - used, "%s%s", before, para_dtype_name((para_dtype)t));
        }
    return text;
}

/* Keep the forms that take so many inputs. */
static int keep_fitting(struct form form[], int count, int inputs, para_error *err)
{
    int kept = 0, least = INT_MAX, most = 0;
    for (int f = 0; f < count; f++) {
        int words = count_words(form[f].inputs);
        const char *last = form[f].inputs;
        for (int w = 1; w < words; w++)
            last = next_word(last);
        bool more = words > 0 && repeats(last);
        least = words < least ? words : least;
        most = more ? INT_MAX : words > most ? words : most;
        if (inputs == words || (more && inputs > words))
            form[kept++] = form[f];
    }
    if (kept)
        return kept;
    const char *plural = inputs == 1 ? "" : "s";
    if (most == INT_MAX)
        return para_fail(err, PARA_EINVAL, "%d input%s, expected at least %d", inputs, plural, least);
    if (least == most)
        return para_fail(err, PARA_EINVAL, "%d input%s, expected %d", inputs, plural, least);
    return para_fail(err, PARA_EINVAL, "%d input%s, expected %d to %d", inputs, plural, least, most);
}

/* Keep the forms that take input i as it is; word[f] is form f's word for it. */
static int keep_typed(struct form form[], const char *word[], int count, const para_tensor *t, para_error *err)
{
    type_set expected = 0;
    int kept = 0;
    for (int f = 0; f < count; f++) {
        type_set set = allowed(&form[f], word[f]);
        expected |= set;
        if (!(set >> t->shape.dtype & 1))
            continue;
        form[kept] = form[f];
        bind(&form[kept], word[f], t->shape.dtype);
        word[kept++] = repeats(word[f]) ? word[f] : next_word(word[f]);
    }
    char text[EXPECTED_TEXT];
    if (!kept)
        return para_fail(err, PARA_ESHAPE, "\"%s\" is %s, expected %s", t->name, para_dtype_name(t->shape.dtype),
                         list_types(expected, text));
    return kept;
}

/* The type that attribute "@name" gives, if there is such a type. */
static type_set attribute_type(const para_node *n, const char *word, int *attribute)
{
    size_t length = strcspn(word + 1, ": ;");
    for (int a = 0; a < PARA_MAX_ATTRS && n->op->attrs[a].name; a++)
        if (strlen(n->op->attrs[a].name) == length && strncmp(n->op->attrs[a].name, word + 1, length) == 0)
            *attribute = a;
    const char *value = n->attr[*attribute].s;
    return strpbrk(value, "| ;.") ? 0 : read_types(value);
}

/* Set the types of a form's outputs and return their number; 0 if an attribute names a type that the form doesn't have,
 * whose own types *expected then gets. */
static int set_outputs(const para_node *n, const struct form *f, para_dtype out[], type_set *expected, int *attribute)
{
    int count = 0;
    for (const char *word = f->outputs; has_word(word); word = next_word(word)) {
        type_set set;
        if (*word == '@') {
            type_set own = read_types(word + strcspn(word, ":") + 1);
            set = attribute_type(n, word, attribute) & own;
            *expected |= own;
        } else {
            set = allowed(f, word);
        }
        if (!set)
            return 0;
        int type = 0;
        while (!(set >> type & 1))
            type++;
        out[count++] = (para_dtype)type;
    }
    return count;
}

int para_signature_check(const para_node *n, para_dtype out[PARA_MAX_OUT], para_error *err)
{
    struct form form[MAX_FORMS];
    const char *word[MAX_FORMS];
    int attribute = 0;
    type_set expected = 0;
    if (!n->op->types)
        return para_fail(err, PARA_EINVAL, "op %s has no signature", n->op->name);
    int count = keep_fitting(form, split_forms(n->op->types, form), n->n_in, err);
    for (int f = 0; f < count; f++)
        word[f] = form[f].inputs;
    for (int i = 0; i < n->n_in && count > 0; i++)
        count = keep_typed(form, word, count, n->in[i], err);
    PARA_TRY(count);
    for (int f = 0; f < count; f++) {
        int outputs = set_outputs(n, &form[f], out, &expected, &attribute);
        if (outputs)
            return outputs;
    }
    char text[EXPECTED_TEXT];
    if (n->n_in == 0)
        return para_fail(err, PARA_EINVAL, "%s is \"%s\", expected %s", n->op->attrs[attribute].name,
                         n->attr[attribute].s, list_types(expected, text));
    return para_fail(err, PARA_EINVAL, "%s is \"%s\", expected %s, as \"%s\" is %s", n->op->attrs[attribute].name,
                     n->attr[attribute].s, list_types(expected, text), n->in[0]->name,
                     para_dtype_name(n->in[0]->shape.dtype));
}
