/* The constants of gelu's tanh form. */
#ifndef PARA_OPS_GELU_H
#define PARA_OPS_GELU_H

#define PARA_GELU_K 0.79788456080286535588 /* sqrt(2/pi) */
#define PARA_GELU_A 0.044715

#endif
