/** @file
 * Paragraph: a parallel graph runtime for language models. This header brings in all the others but
 * <paragraph/data.h>, <paragraph/generate.h>, <paragraph/score.h> and <paragraph/tokenizer.h>, whose functions builds
 * configured --without-io lack. */
#ifndef PARAGRAPH_H
#define PARAGRAPH_H

#include <paragraph/compare.h>
#include <paragraph/graph.h>
#include <paragraph/lora.h>
#include <paragraph/models.h>
#include <paragraph/ops.h>
#include <paragraph/optim.h>
#include <paragraph/profile.h>
#include <paragraph/session.h>
#include <paragraph/types.h>

#endif
