/* What dropout's draws are keyed with on every device. */
#ifndef PARA_OPS_DROPOUT_H
#define PARA_OPS_DROPOUT_H

#define PARA_DROPOUT_KEY 0x64726F706F757421u /* keeps these draws apart from those of initial values */

#endif
