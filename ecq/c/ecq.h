/* The C interface of ECQ: open .ecq files, multiply by coded matrices, run models.
 *
 * Handles. Functions that make a handle store it in their last parameter, or NULL if they fail;
 * each handle is released once with the function of its kind, which ignores NULL. What a handle was
 * made from may be released before it: a matrix, model or session keeps what it needs. Pointers
 * into a handle (names, bytes) live until that handle is released.
 *
 * Errors. A function that can fail returns an ecq_status; ecq_error_message() then says, in one
 * line, what went wrong in this thread. Outputs of a failed call are unspecified unless said
 * otherwise. NULL where an object is required, and buffers of a wrong size, are
 * ECQ_INVALID_ARGUMENT. Lengths of buffers count elements.
 *
 * Threads. Different handles may be used from different threads at once; files, matrices and models
 * are immutable and may be shared. A pool or session serves one call at a time: a call that finds
 * it in use fails with ECQ_INVALID_ARGUMENT and does nothing. A handle must not be released during
 * a call that uses it.
 *
 * Structs. The caller sets struct_size to sizeof of the struct it was compiled with; later versions
 * only append fields.
 */
#ifndef ECQ_H_
#define ECQ_H_

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define ECQ_API __attribute__((visibility("default")))
#else
#define ECQ_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Raised when a function or field is added; the SONAME changes when one is changed or removed. */
#define ECQ_API_VERSION 2

/* ECQ_API_VERSION of the library that is loaded. */
ECQ_API int32_t ecq_api_version(void);

/* Version of the release, such as "0.1.0". */
ECQ_API const char* ecq_version(void);

/* ---- Errors ---- */

/* One of the values below, or a larger one from a newer library. The numbers never change. */
typedef int32_t ecq_status;

enum {
  ECQ_OK = 0,
  ECQ_BAD_MAGIC = 10,  /* not an .ecq file */
  ECQ_BAD_HEADER = 11, /* a header or JSON text cannot be parsed */
  ECQ_BAD_LAYOUT = 12, /* sizes, offsets or shapes contradict each other */
  ECQ_BAD_TABLE = 13,  /* a symbol table or vocabulary violates its invariants */
  ECQ_CORRUPT = 20,    /* a checksum or the final state of a decoder does not match */
  ECQ_TRUNCATED = 21,
  ECQ_UNSUPPORTED_VERSION = 30, /* written for a newer reader */
  ECQ_UNSUPPORTED_CODEC = 31,
  ECQ_UNSUPPORTED_ARCHITECTURE = 32,
  ECQ_UNSUPPORTED_TOKENIZER = 33,
  ECQ_UNSUPPORTED_TYPE = 34,
  ECQ_INVALID_ARGUMENT = 40,
  ECQ_NOT_FOUND = 41,
  ECQ_ALREADY_EXISTS = 42,
  ECQ_IO = 50,
  ECQ_OUT_OF_MEMORY = 51,
  ECQ_NO_SPACE = 52,
  ECQ_DEVICE = 60,
  ECQ_INTERNAL = 70 /* a bug in ECQ */
};

/* "ok", "bad header", "not found", ...; "unknown error" for a number that is none of the above. */
ECQ_API const char* ecq_status_name(ecq_status status);

/* Message of the last call of this thread that failed, "" before the first. Cut at 1023 bytes.
 * Valid until the next call of this thread that fails. */
ECQ_API const char* ecq_error_message(void);

/* ---- Thread pools ---- */

typedef struct ecq_pool ecq_pool;

/* Makes a pool of num_threads threads, the calling one included, at most 1024; 0: one for each
 * physical core. */
ECQ_API ecq_status ecq_pool_create(size_t num_threads, ecq_pool** pool);
ECQ_API void ecq_pool_free(ecq_pool* pool);

/* ---- Files ---- */

typedef struct ecq_file ecq_file;

/* Maps the file and checks all of it except the codestreams; nothing is decoded. The file must not
 * be changed while it, or anything made from it, is in use. */
ECQ_API ecq_status ecq_file_open(const char* path, ecq_file** file);
ECQ_API void ecq_file_free(ecq_file* file);

/* Reads the whole file and compares every hash. ECQ_CORRUPT names the first tensor that differs. */
ECQ_API ecq_status ecq_file_verify(const ecq_file* file, ecq_pool* pool);

/* A coded weight matrix W of `rows` outputs and `cols` inputs. */
typedef struct ecq_matrix_info {
  size_t struct_size;
  const char* name;  /* as in the source model: "model.layers.0.mlp.up_proj.weight" */
  const char* codec; /* "rans", "raw", ... */
  const char* grid;  /* how it was quantized: "ecq", "q4_0", ... */
  uint64_t rows;
  uint64_t cols;
  uint64_t bytes; /* codestreams, index, tables and scales */
  double bits_per_weight;
} ecq_matrix_info;

/* A tensor that is stored as it is, such as a norm weight or a bias. */
typedef struct ecq_tensor_info {
  size_t struct_size;
  const char* name;
  const char* type;      /* "F32", "BF16", ... */
  const uint64_t* shape; /* `rank` dimensions, outermost first */
  size_t rank;
  uint64_t num_elements;
} ecq_tensor_info;

/* Numbers of matrices, plain tensors and side files; 0 if `file` is NULL. */
ECQ_API size_t ecq_file_num_matrices(const ecq_file* file);
ECQ_API size_t ecq_file_num_tensors(const ecq_file* file);
ECQ_API size_t ecq_file_num_side_files(const ecq_file* file);

/* Describes matrix or plain tensor `index`, in file order. ECQ_NOT_FOUND: no such index. */
ECQ_API ecq_status ecq_file_matrix_info(const ecq_file* file, size_t index, ecq_matrix_info* info);
ECQ_API ecq_status ecq_file_tensor_info(const ecq_file* file, size_t index, ecq_tensor_info* info);

/* Name of side file `index`, or NULL if there is none. */
ECQ_API const char* ecq_file_side_file_name(const ecq_file* file, size_t index);

/* Bytes of a side file such as "config.json" (which is always there) or "tokenizer.json"; not
 * terminated by a NUL. They belong to `file`. ECQ_NOT_FOUND: there is none of this name. */
ECQ_API ecq_status ecq_file_side_file(const ecq_file* file, const char* name, const uint8_t** bytes,
                                      size_t* size);

/* Converts a plain tensor to f32. out_len must be its number of elements.
 * ECQ_NOT_FOUND: no such tensor; ECQ_UNSUPPORTED_TYPE: it holds integers. */
ECQ_API ecq_status ecq_file_read_tensor(const ecq_file* file, const char* name, float* out,
                                        size_t out_len);

/* ---- Matrices ---- */

typedef struct ecq_matrix ecq_matrix;

/* How a product treats its activations. */
typedef int32_t ecq_activations;
enum {
  ECQ_ACTIVATIONS_F32 = 0, /* as they are */
  ECQ_ACTIVATIONS_I8 = 1   /* rounded to 8 bits with one scale for 32 values: faster */
};

/* Prepares a coded matrix for use: tables and scales are expanded, the codestreams stay where they
 * are. ECQ_NOT_FOUND: no such matrix. */
ECQ_API ecq_status ecq_matrix_open(const ecq_file* file, const char* name, ecq_matrix** matrix);
ECQ_API void ecq_matrix_free(ecq_matrix* matrix);

/* out (num_rows, cols) = the dequantized rows `rows` of W, in any order, repeats allowed.
 * out_len must be num_rows * cols. ECQ_CORRUPT: damaged codestream. */
ECQ_API ecq_status ecq_matrix_get_rows(const ecq_matrix* matrix, ecq_pool* pool,
                                       const uint32_t* rows, size_t num_rows, float* out,
                                       size_t out_len);

/* y (m, rows) = x (m, cols) times W transposed, all row-major. x_len must be m * cols, y_len
 * m * rows; x and y must not overlap. ECQ_CORRUPT: damaged codestream. */
ECQ_API ecq_status ecq_matrix_multiply(const ecq_matrix* matrix, ecq_pool* pool,
                                       ecq_activations activations, size_t m, const float* x,
                                       size_t x_len, float* y, size_t y_len);

/* ---- Models ---- */

typedef struct ecq_model ecq_model;

typedef struct ecq_model_info {
  size_t struct_size;
  const char* architecture; /* "LlamaForCausalLM", ... */
  uint32_t num_layers;
  uint32_t hidden_size;
  uint32_t vocab_size;
  uint32_t max_context;    /* positions the model was made for */
  uint64_t resident_bytes; /* of all matrices */
} ecq_model_info;

/* Binds config.json and the weights, which stay coded, and loads the tokenizer. A file without a
 * tokenizer that ECQ knows still loads; the functions on text then fail with the reason. */
ECQ_API ecq_status ecq_model_load(const ecq_file* file, ecq_model** model);
ECQ_API void ecq_model_free(ecq_model* model);
ECQ_API ecq_status ecq_model_get_info(const ecq_model* model, ecq_model_info* info);

enum {
  ECQ_TEXT_BOS = 1,    /* put the begin token in front, if the model expects one */
  ECQ_TEXT_SPECIAL = 2 /* the text of a special token becomes its id: for trusted text only */
};

/* Token ids of `text`, text_size bytes (at most 2^32 - 1) that need not be UTF-8. `flags` is a sum
 * of ECQ_TEXT_*. Sets *num_ids to their number, also when ids is NULL (a query, capacity is
 * ignored) or capacity is less (ECQ_INVALID_ARGUMENT, nothing is written to ids). */
ECQ_API ecq_status ecq_model_tokenize(const ecq_model* model, const char* text, size_t text_size,
                                      uint32_t flags, uint32_t* ids, size_t capacity,
                                      size_t* num_ids);

/* Bytes that the ids stand for, not terminated by a NUL, possibly ending inside a UTF-8 sequence.
 * `continues`: whether they continue a text instead of starting one (some tokenizers drop the space
 * in front of a text). Sets *text_size as ecq_model_tokenize() sets *num_ids. */
ECQ_API ecq_status ecq_model_detokenize(const ecq_model* model, const uint32_t* ids, size_t num_ids,
                                        int continues, char* text, size_t capacity,
                                        size_t* text_size);

/* 1 if the token ends a text, else 0. */
ECQ_API int ecq_model_is_end_token(const ecq_model* model, uint32_t token);

/* ---- Sessions ---- */

typedef struct ecq_session ecq_session;

/* Numbers in which a session keeps the keys and values of earlier tokens. */
typedef int32_t ecq_kv;
enum {
  ECQ_KV_F32 = 0,
  ECQ_KV_F16 = 1, /* half the memory, hardly any loss */
  ECQ_KV_Q8 = 2   /* 8 bits, one scale for each head and position: a loss in some models */
};

/* Makes the state of one text: a cache of max_context positions (0: all that the model was made
 * for), in ECQ_KV_F32, and scratch memory. Its calls run on `pool`. */
ECQ_API ecq_status ecq_session_create(const ecq_model* model, ecq_pool* pool, size_t max_context,
                                      ecq_activations activations, ecq_session** session);
/* The same with a cache in other numbers. Since ECQ_API_VERSION 2. */
ECQ_API ecq_status ecq_session_create_with_kv(const ecq_model* model, ecq_pool* pool,
                                              size_t max_context, ecq_activations activations,
                                              ecq_kv kv, ecq_session** session);
ECQ_API void ecq_session_free(ecq_session* session);

/* Positions filled, and positions there are; 0 if `session` is NULL. Not during another call on
 * the session. */
ECQ_API size_t ecq_session_length(const ecq_session* session);
ECQ_API size_t ecq_session_max_context(const ecq_session* session);

/* Forgets all positions from `length` on; 0 starts anew. `length` is at most the present one. */
ECQ_API ecq_status ecq_session_truncate(ecq_session* session, size_t length);

/* Appends num_tokens tokens, at least one, and runs the model over them. logits (num_logits,
 * vocab_size) are the predictions after each of the last num_logits tokens, 0 to num_tokens;
 * logits_len must be num_logits * vocab_size. After a failure the length is what it was. */
ECQ_API ecq_status ecq_session_forward(ecq_session* session, const uint32_t* tokens,
                                       size_t num_tokens, size_t num_logits, float* logits,
                                       size_t logits_len);

/* Called with each new token and its bytes (not terminated; none without a tokenizer), which live
 * until it returns. Returns 0 to go on, anything else to stop. May use the model, but neither the
 * session nor its pool. */
typedef int (*ecq_token_callback)(uint32_t token, const char* text, size_t text_size,
                                  void* user_data);

typedef int32_t ecq_stop_reason;
enum {
  ECQ_STOP_MAX_TOKENS = 0,
  ECQ_STOP_END_TOKEN = 1,    /* the model ended the text; the end token is not reported */
  ECQ_STOP_CONTEXT_FULL = 2, /* the session has no position left */
  ECQ_STOP_CALLBACK = 3
};

/* Appends the prompt, at least one token, and continues it greedily with at most max_tokens tokens.
 * The last reported token is not in the session yet: to go on, start the next prompt with it.
 * `stop_reason` may be NULL. After a failure the length is what it was. */
ECQ_API ecq_status ecq_session_generate(ecq_session* session, const uint32_t* prompt,
                                        size_t num_prompt, size_t max_tokens,
                                        ecq_token_callback callback, void* user_data,
                                        ecq_stop_reason* stop_reason);

#ifdef __cplusplus
}
#endif

#endif /* ECQ_H_ */
