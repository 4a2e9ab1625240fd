/* Every family of models, in alphabetical order. Each has a row of its own, para_family_NAME, in the file that
 * implements it. */
PARA_FAMILY(gpt2)
PARA_FAMILY(llama)
PARA_FAMILY(mistral)
PARA_FAMILY(qwen2)
PARA_FAMILY(qwen3)
