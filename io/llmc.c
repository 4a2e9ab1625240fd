/* The model files of llm.c. */
#include "io/llmc.h"

#include "base/checked.h"
#include "base/dtype.h"
#include "base/fail.h"
#include "io/file.h"

#include <stdlib.h>
#include <string.h>

enum { HEADER = 256, MAGIC = 20240326, VERSION_F32 = 3, VERSION_BF16 = 5, PAD = 128 };
enum { AT_MAGIC, AT_VERSION, AT_CONTEXT, AT_VOCAB, AT_LAYERS, AT_HEADS, AT_EMBD, AT_PADDED, AT_ALL };

static const double NORM_EPS = 1e-5;

/* In the file's order. The extents of a tensor of one layer, in widths; -1: rows of the token table, which has more in
 * the file; -2: positions; 0: it is a vector. */
static const struct tensor {
    const char *name;
    int rows, columns;
} tensors[] = {
    {"token_embd.weight", -1, 1},       {"position_embd.weight", -2, 1},  {"blk.*.attn_norm.weight", 0, 1},
    {"blk.*.attn_norm.bias", 0, 1},     {"blk.*.attn_qkv.weight", 3, 1},  {"blk.*.attn_qkv.bias", 0, 3},
    {"blk.*.attn_output.weight", 1, 1}, {"blk.*.attn_output.bias", 0, 1}, {"blk.*.ffn_norm.weight", 0, 1},
    {"blk.*.ffn_norm.bias", 0, 1},      {"blk.*.ffn_up.weight", 4, 1},    {"blk.*.ffn_up.bias", 0, 4},
    {"blk.*.ffn_down.weight", 1, 4},    {"blk.*.ffn_down.bias", 0, 1},    {"output_norm.weight", 0, 1},
    {"output_norm.bias", 0, 1},
};
enum { TENSORS = sizeof tensors / sizeof tensors[0] };

static bool of_layers(const struct tensor *t)
{
    return strchr(t->name, '*') != NULL;
}

/* Rows of a tensor of a model: 1 of a vector. */
static int64_t rows_of(const struct tensor *t, const para_gpt2 *m)
{
    return t->rows == -1 ? m->vocab : t->rows == -2 ? m->context : t->rows == 0 ? 1 : t->rows * m->embd;
}

/* Elements that it takes in the file, of one layer. */
static int64_t elements_of(const struct tensor *t, const para_gpt2 *m, int64_t padded)
{
    return (t->rows == -1 ? padded : rows_of(t, m)) * t->columns * m->embd;
}

bool para_llmc_is(const char *path)
{
    static const int32_t magic = MAGIC;
    return para_file_is(path, ".bin", &magic, sizeof magic);
}

/* --- reading --- */

static int check_header(const int32_t *header, const char *path, para_error *err)
{
    static const char *const names[] = {NULL,         NULL,        "max_seq_len", "vocab_size",
                                        "num_layers", "num_heads", "channels",    "padded_vocab_size"};
    if (header[AT_MAGIC] != MAGIC)
        return para_fail(err, PARA_EFORMAT, "%s: begins with %d, expected %d, as a model file of llm.c does", path,
                         header[AT_MAGIC], MAGIC);
    if (header[AT_VERSION] != VERSION_F32 && header[AT_VERSION] != VERSION_BF16)
        return para_fail(err, PARA_EFORMAT, "%s: is of version %d, expected %d (float32) or %d (bfloat16)", path,
                         header[AT_VERSION], VERSION_F32, VERSION_BF16);
    for (int i = AT_CONTEXT; i < AT_ALL; i++)
        if (header[i] < 1)
            return para_fail(err, PARA_EFORMAT, "%s: %s is %d, expected at least 1", path, names[i], header[i]);
    if (header[AT_PADDED] < header[AT_VOCAB])
        return para_fail(err, PARA_EFORMAT, "%s: padded_vocab_size is %d, expected at least vocab_size, %d", path,
                         header[AT_PADDED], header[AT_VOCAB]);
    return 0;
}

static para_gpt2 config_of(const int32_t *header)
{
    return (para_gpt2){.layers = header[AT_LAYERS],
                       .heads = header[AT_HEADS],
                       .embd = header[AT_EMBD],
                       .ff = 4 * (int64_t)header[AT_EMBD],
                       .vocab = header[AT_VOCAB],
                       .context = header[AT_CONTEXT],
                       .norm_eps = NORM_EPS};
}

/* The file's bytes; false if they are too many to count. */
static bool bytes_of(int64_t *out, const para_gpt2 *m, int64_t padded, size_t element)
{
    int64_t sum = HEADER * (int64_t)sizeof(int32_t);
    for (int i = 0; i < TENSORS; i++) {
        int64_t bytes = (int64_t)element, rows = tensors[i].rows == -1 ? padded : rows_of(&tensors[i], m);
        if (!para_mul_i64(bytes, of_layers(&tensors[i]) ? m->layers : 1, &bytes) ||
            !para_mul_i64(bytes, rows, &bytes) || !para_mul_i64(bytes, tensors[i].columns * m->embd, &bytes) ||
            bytes > INT64_MAX - sum)
            return false;
        sum += bytes;
    }
    *out = sum;
    return true;
}

static int add_tensors(struct para_weights *w, const para_gpt2 *m, int64_t padded, para_dtype dtype, para_error *err)
{
    const unsigned char *data = w->map.data + HEADER * sizeof(int32_t);
    for (int i = 0; i < TENSORS; i++) {
        const struct tensor *t = &tensors[i];
        for (int64_t layer = 0; layer < (of_layers(t) ? m->layers : 1); layer++) {
            char name[PARA_NAME_BYTES];
            para_name_of_layer(t->name, layer, name, sizeof name);
            para_entry e = {.dtype = dtype, .rank = t->rows == 0 ? 1 : 2, .data = data};
            e.shape[0] = t->rows == 0 ? t->columns * m->embd : rows_of(t, m);
            e.shape[1] = t->rows == 0 ? 0 : t->columns * m->embd;
            e.bytes = para_dtype_span(dtype, rows_of(t, m) * t->columns * m->embd);
            PARA_TRY(para_weights_add(w, name, &e, err));
            data += para_dtype_span(dtype, elements_of(t, m, padded));
        }
    }
    return 0;
}

int para_llmc_open(para_model **out, struct para_weights *w, const char *path, para_error *err)
{
    int32_t header[HEADER];
    int64_t bytes = 0;
    para_model *model;
    PARA_TRY(para_path(w->path, err, "%s", path));
    PARA_TRY(para_map_open(&w->map, path, err));
    if (w->map.bytes < sizeof header)
        return para_fail(err, PARA_EFORMAT, "%s: has %zu bytes, expected a model file of llm.c of at least %zu", path,
                         w->map.bytes, sizeof header);
    memcpy(header, w->map.data, sizeof header);
    PARA_TRY(check_header(header, path, err));
    para_gpt2 m = config_of(header);
    para_dtype dtype = header[AT_VERSION] == VERSION_F32 ? PARA_F32 : PARA_BF16;
    para_error why;
    int status = para_gpt2_check(&m, &why);
    if (status < 0)
        return para_fail(err, PARA_EFORMAT, "%s: %s", path, why.message);
    if (!bytes_of(&bytes, &m, header[AT_PADDED], para_dtype_bytes(dtype)) || (uint64_t)bytes != w->map.bytes)
        return para_fail(err, PARA_EFORMAT,
                         "%s: has %zu bytes, expected %lld by its header: it is cut off, or another"
                         " kind of file",
                         path, w->map.bytes, (long long)bytes);
    PARA_TRY(para_weights_reserve(w, (size_t)m.layers * TENSORS, err));
    PARA_TRY(add_tensors(w, &m, header[AT_PADDED], dtype, err));
    PARA_TRY(para_model_from_gpt2(&model, &m, err));
    *out = model;
    return 0;
}

/* --- writing --- */

static int check_sayable(const char *path, const para_model *model, para_dtype dtype, para_error *err)
{
    const para_gpt2 *m = para_model_as_gpt2(model);
    if (dtype != PARA_F32 && dtype != PARA_BF16)
        return para_fail(err, PARA_ESUPPORT, "%s: weights of %s, expected f32 or bf16, which llm.c's files have", path,
                         para_dtype_name(dtype));
    if (!m || m->ff != 4 * m->embd || m->gelu_erf || m->norm_eps != NORM_EPS)
        return para_fail(
            err, PARA_ESUPPORT,
            "%s: expected a GPT-2 with ff of 4 embd, gelu in its tanh form and norm_eps 1e-5, which llm.c's"
            " files mean",
            path);
    return 0;
}

static int find_value(const struct para_values *values, const char *name)
{
    int i = 0;
    while (strcmp(values->items[i].name, name) != 0)
        i++;
    return i;
}

static int append_all(struct para_new_file *f, const para_gpt2 *m, const struct para_values *values, int64_t padded,
                      para_dtype dtype, para_entry_fetch fetch, void *user, para_error *err)
{
    int64_t most = 0;
    for (int i = 0; i < TENSORS; i++)
        most = elements_of(&tensors[i], m, padded) > most ? elements_of(&tensors[i], m, padded) : most;
    char *buffer = calloc((size_t)most, para_dtype_bytes(dtype));
    int status = buffer ? 0 : para_fail_memory(err, f->path);
    for (int i = 0; i < TENSORS; i++)
        for (int64_t layer = 0; layer < (of_layers(&tensors[i]) ? m->layers : 1) && status == 0; layer++) {
            char name[PARA_NAME_BYTES];
            para_name_of_layer(tensors[i].name, layer, name, sizeof name);
            status = fetch(user, find_value(values, name), buffer, err);
            if (status == 0)
                status =
                    para_new_file_append(f, buffer, para_dtype_span(dtype, elements_of(&tensors[i], m, padded)), err);
        }
    free(buffer);
    return status;
}

/* The token table comes first, so that what is behind its rows in the buffer is still zero. */
int para_llmc_write(const char *path, const para_model *model, const struct para_values *values, para_dtype dtype,
                    para_entry_fetch fetch, void *user, para_error *err)
{
    PARA_TRY(check_sayable(path, model, dtype, err));
    const para_gpt2 *m = para_model_as_gpt2(model);
    int64_t padded = para_round_up(m->vocab, PAD);
    int32_t header[HEADER] = {MAGIC,
                              dtype == PARA_F32 ? VERSION_F32 : VERSION_BF16,
                              (int32_t)m->context,
                              (int32_t)m->vocab,
                              (int32_t)m->layers,
                              (int32_t)m->heads,
                              (int32_t)m->embd,
                              (int32_t)padded};
    struct para_new_file f;
    PARA_TRY(para_new_file_begin(&f, path, err));
    int status = para_new_file_append(&f, header, sizeof header, err);
    if (status == 0)
        status = append_all(&f, m, values, padded, dtype, fetch, user, err);
    return para_new_file_end(&f, status, err);
}
