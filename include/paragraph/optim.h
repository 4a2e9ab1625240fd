/** @file
 * Optimizers: nodes appended after para_graph_backward() and before para_graph_seal() that update parameters and
 * moments in place. After a run para_session_get() gives the updated parameters, and outputs, such as the loss, that
 * were computed from them as they were before. */
#ifndef PARAGRAPH_OPTIM_H
#define PARAGRAPH_OPTIM_H

#include <paragraph/graph.h>

#ifdef __cplusplus
extern "C" {
#endif

/** @defgroup optim Optimizers
 * @{ */

/** How the learning rate goes on after the warm-up. */
typedef enum para_schedule_kind {
    PARA_SCHEDULE_CONSTANT,
    PARA_SCHEDULE_COSINE,
    PARA_SCHEDULE_LINEAR
} para_schedule_kind;

/** Return "constant", "cosine" or "linear"; NULL for what is no kind. A constant string. */
PARA_API const char *para_schedule_name(para_schedule_kind kind);

/** Learning rate by step number i = 0, 1, ...: a linear warm-up lr (i + 1) / (warmup + 1), then constant, or
 * down to min_lr at step `steps` along half a cosine (Loshchilov and Hutter, 2017, eq. 5) or a line. */
typedef struct para_schedule {
    para_schedule_kind kind; /**< after the warm-up */
    double lr;               /**< highest learning rate */
    double min_lr;           /**< learning rate at the last step; not of a constant schedule */
    int64_t warmup;          /**< steps in which it rises */
    int64_t steps;           /**< where it reaches min_lr; not of a constant schedule */
} para_schedule;

/** AdamW (Loshchilov and Hutter, 2019, algorithm 2). The decay leaves out biases and norms: parameters of fewer
 * than two axes, and those called "bias" (the last word of the name), whatever their axes. `clip` > 0 first scales
 * all gradients so that their global norm is at most `clip` (Pascanu et al., 2013). */
typedef struct para_adamw_options {
    para_schedule schedule; /**< of the learning rate */
    double beta1;           /**< decay of the mean */
    double beta2;           /**< decay of the squares */
    double eps;             /**< added to the root of the squares */
    double weight_decay;    /**< as a part of the learning rate; 0: none */
    double clip;            /**< largest global norm of the gradients; 0: no limit */
} para_adamw_options;

/** Stochastic gradient descent with momentum: v = momentum v + g + weight_decay p; p = p - lr v.
 * Decay and clipping as in para_adamw_options. */
typedef struct para_sgd_options {
    para_schedule schedule; /**< of the learning rate */
    double momentum;        /**< part of the last step that is kept; 0: none, and no state */
    double weight_decay;    /**< added to the gradient; 0: none */
    double clip;            /**< largest global norm of the gradients; 0: no limit */
} para_sgd_options;

/** lr 1e-3 constant, betas 0.9 and 0.999, eps 1e-8, no decay, no clipping. */
PARA_API para_adamw_options para_adamw_default(void);
/** lr 1e-2 constant, no momentum, no decay, no clipping. */
PARA_API para_sgd_options para_sgd_default(void);

/** The names of the values that an optimizer adds, outputs and state. */
#define PARA_STEP "optimizer.step"           /**< int32 state: steps done */
#define PARA_LR "optimizer.lr"               /**< output: the step's learning rate */
#define PARA_GRAD_NORM "optimizer.grad_norm" /**< output: the global gradient norm before clipping */

/** Return the step number's state value, int32 scalar, made at the first call; for para_dropout(). */
PARA_API para_tensor *para_step(para_graph *g);

/** Append AdamW for every parameter that has a gradient; NULL options are the default ones. Moments are states
 * "<parameter>.m" and "<parameter>.v". In a run in which the loss or the global gradient norm isn't finite, parameters,
 * moments and the step's count stay as they are; para_session_find_nonfinite() says where that began.
 * Returns 0; PARA_EINVAL without para_graph_backward() or for options outside of their range, which it names. */
PARA_API int para_graph_adamw(para_graph *g, const para_adamw_options *options, para_error *err);
/** Append SGD; with momentum, its state is "<parameter>.v". The rest is as with AdamW. */
PARA_API int para_graph_sgd(para_graph *g, const para_sgd_options *options, para_error *err);

/** @} */

#ifdef __cplusplus
}
#endif
#endif
