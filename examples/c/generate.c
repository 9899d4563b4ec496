/* Continues a prompt with a model from an .ecq file.
 *
 *   cc -std=c11 generate.c $(pkg-config --cflags --libs ecq) -o generate
 *   ./generate model.ecq "Once upon a time" 60
 */
#include <ecq.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PROMPT = 4096 };

struct run {
  ecq_file* file;
  ecq_model* model;
  ecq_pool* pool;
  ecq_session* session;
};

static int print_token(uint32_t token, const char* text, size_t text_size, void* user_data) {
  (void)token;
  (void)user_data;
  /* A text that cannot be printed is not worth computing. */
  return fwrite(text, 1, text_size, stdout) != text_size || fflush(stdout) != 0;
}

static ecq_status generate(struct run* run, const char* path, const char* prompt,
                           size_t max_tokens) {
  uint32_t ids[MAX_PROMPT];
  size_t num_ids = 0;
  ecq_status status = ecq_file_open(path, &run->file);
  if (status == ECQ_OK) status = ecq_model_load(run->file, &run->model);
  if (status == ECQ_OK) status = ecq_pool_create(0, &run->pool);
  if (status == ECQ_OK) {
    status = ecq_session_create(run->model, run->pool, 0, ECQ_ACTIVATIONS_F32, &run->session);
  }
  if (status == ECQ_OK) {
    status = ecq_model_tokenize(run->model, prompt, strlen(prompt), ECQ_TEXT_BOS, ids, MAX_PROMPT,
                                &num_ids);
  }
  if (status != ECQ_OK) return status;

  printf("%s", prompt);
  status = ecq_session_generate(run->session, ids, num_ids, max_tokens, print_token, NULL, NULL);
  printf("\n");
  return status;
}

int main(int argc, char** argv) {
  struct run run = {NULL, NULL, NULL, NULL};
  ecq_status status;
  if (argc < 3 || argc > 4) {
    fprintf(stderr, "usage: generate MODEL.ecq PROMPT [TOKENS]\n");
    return 2;
  }
  status = generate(&run, argv[1], argv[2], argc > 3 ? strtoul(argv[3], NULL, 10) : 60);
  if (status != ECQ_OK) {
    fprintf(stderr, "generate: %s (%s)\n", ecq_error_message(), ecq_status_name(status));
  }
  ecq_session_free(run.session);
  ecq_pool_free(run.pool);
  ecq_model_free(run.model);
  ecq_file_free(run.file);
  return status == ECQ_OK ? 0 : 1;
}
