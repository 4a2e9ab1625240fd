/* Parameter names: Paragraph's and those of Hugging Face's GPT2LMHeadModel, whose order of elements is the same. */
#include <paragraph/models.h>

#include <stdio.h>
#include <string.h>

/* Names beside the layers. */
static const char *const outer[][2] = {
    {"wte", "wte.weight"}, {"wpe", "wpe.weight"}, {"ln_f.weight", "ln_f.weight"}, {"ln_f.bias", "ln_f.bias"}};

/* Names within a layer, up to ".weight" or ".bias". */
static const char *const inner[][2] = {{"ln_1", "ln_1"}, {"attn.qkv", "attn.c_attn"}, {"attn.proj", "attn.c_proj"},
                                       {"ln_2", "ln_2"}, {"mlp.fc", "mlp.c_fc"},      {"mlp.proj", "mlp.c_proj"}};

static const char *written(int length, const char *buffer, size_t buffer_bytes)
{
    return length > 0 && (size_t)length < buffer_bytes ? buffer : NULL;
}

const char *para_gpt2_file_name(const char *name, char *buffer, size_t buffer_bytes)
{
    for (size_t i = 0; i < sizeof outer / sizeof outer[0]; i++)
        if (strcmp(name, outer[i][0]) == 0)
            return written(snprintf(buffer, buffer_bytes, "transformer.%s", outer[i][1]), buffer, buffer_bytes);
    if (strncmp(name, "layer.", 6) != 0)
        return NULL;
    const char *number = name + 6;
    size_t digits = strspn(number, "0123456789");
    if (digits == 0 || digits > 9 || number[digits] != '.')
        return NULL;
    const char *part = number + digits + 1, *last = strrchr(part, '.');
    if (!last || (strcmp(last, ".weight") != 0 && strcmp(last, ".bias") != 0))
        return NULL;
    size_t part_bytes = (size_t)(last - part);
    for (size_t i = 0; i < sizeof inner / sizeof inner[0]; i++)
        if (strlen(inner[i][0]) == part_bytes && memcmp(part, inner[i][0], part_bytes) == 0)
            return written(
                snprintf(buffer, buffer_bytes, "transformer.h.%.*s.%s%s", (int)digits, number, inner[i][1], last),
                buffer, buffer_bytes);
    return NULL;
}
