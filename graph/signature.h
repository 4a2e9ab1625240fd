/* Signatures: how many inputs an op takes, of which element types, and what its outputs are.
 *
 * A signature is text, so that a row of the table shows it as a formula is written:
 *
 *   "f32 f32 -> f32"                  two float32 inputs, a float32 output
 *   "f32 f32|bf16|i8 -> f32"          the second may be of any of three types
 *   "T -> T"                          one input of any type but those in blocks (q8_0, q4_0), which are always named;
 *                                     a capital letter is one type wherever it stands
 *   "T:f32|i32 T -> T"                two alike, float32 or int32
 *   "f32... -> f32"                   one or more float32 inputs
 *   "-> i32; i32 -> i32"              none, or one: the first form that fits holds
 *   "f32 -> @dtype:f16|bf16"          the output has the type that the attribute "dtype" names, one of these */
#ifndef PARA_GRAPH_SIGNATURE_H
#define PARA_GRAPH_SIGNATURE_H

#include "graph/op.h"

/* Hold a node's inputs to its op's signature and set its outputs' types. Returns the number of outputs, or fails with a
 * message that names the input, its type and the types expected. */
int para_signature_check(const para_node *n, para_dtype out[PARA_MAX_OUT], para_error *err);

#endif
