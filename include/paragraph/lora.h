/** @file
 * Low-rank adapters: fine-tuning a model by small matrices beside those of its products, which stay as they are. */
#ifndef PARAGRAPH_LORA_H
#define PARAGRAPH_LORA_H

#include <paragraph/models.h>

#ifdef __cplusplus
extern "C" {
#endif

/** @defgroup lora Low-rank adapters
 * @{ */

/** How adapters are made: what PEFT calls a LoraConfig, of which it has r, lora_alpha, use_rslora and target_modules.
 * Adapters have no dropout and no biases. */
typedef struct para_lora {
    int64_t rank;        /**< r, the extent of the axis "lora": 1 or more */
    double alpha;        /**< lora_alpha */
    bool rslora;         /**< scale by alpha / sqrt(r) in place of alpha / r */
    const char *targets; /**< names, with commas between them; NULL: all there are */
} para_lora;

/** r 8, alpha 16, all targets. */
PARA_API para_lora para_lora_default(void);

/** Return the factor of what adapters add: alpha / r, or, of rslora, alpha / sqrt(r). */
PARA_API double para_lora_scale(const para_lora *how);

/** Put adapters beside products: y = x W becomes y = x W + s (x A^T) B^T, with s = para_lora_scale().
 *
 * A target is the name of a parameter that is the second operand of a matmul, without ".weight" at its end, whole or
 * its last words: "attn.qkv" is that of each layer. Without targets all of them have adapters.
 * Beside "N.weight" stand the parameters "N.lora_A.weight", (lora, axes that the product contracts), which begins
 * uniform within 1 / sqrt(the elements contracted), and "N.lora_B.weight", (the other axes, lora), which begins as
 * zeros, so that the graph computes what it did. All other parameters are frozen: para_graph_backward() makes no
 * gradient for them, so optimizers keep no moments, and para_graph_precision() keeps one copy of those that it can
 * read as bfloat16.
 *
 * It is the first of the passes (<paragraph/graph.h>). `g` is read only, must be sealed, and has no backward part; *out
 * is open, for backward and optimizer, and the caller frees it: para_graph_value() finds its loss. Splits of any axis
 * go on as before, and "lora" is one. Returns 0; PARA_EINVAL if `g` is open or split, has a backward part or adapters;
 * PARA_ERANGE for a rank or an alpha out of its range; PARA_ENAME, listing those there are, for a target that isn't
 * there; PARA_ESUPPORT for matrices of int8; PARA_ENOMEM. On failure *out is untouched. Source: Hu et al., "LoRA:
 * low-rank adaptation of large language models", 2021, section 4.1; Kalajdzievski, "A rank stabilization scaling factor
 * for fine-tuning with LoRA", 2023. */
PARA_API int para_graph_lora(para_graph **out, const para_graph *g, const para_lora *how, para_error *err);

/** The same for a graph of a model, whose products have the names of the family's files, as PEFT's target_modules:
 * "c_attn", "q_proj", or longer ones, "h.0.attn.c_attn"; "all-linear" and NULL mean all of the layers, not the head's.
 * Fails as para_graph_lora() does. */
PARA_API int para_model_lora(para_graph **out, const para_graph *g, const para_model *model, const para_lora *how,
                             para_error *err);

/** @} */

#ifdef __cplusplus
}
#endif
#endif
