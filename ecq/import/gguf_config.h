// The keys of a GGUF header as the config.json of the same model.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ecq/base/result.h"
#include "ecq/import/gguf_file.h"
#include "ecq/import/gguf_names.h"

namespace ecq {

// Sizes that all architectures have, validated: all positive, the heads fit together.
struct GgufShape {
  uint64_t hidden_size;
  uint64_t intermediate_size;
  uint64_t num_layers;
  uint64_t num_heads;
  uint64_t num_kv_heads;
  uint64_t context_length;
  uint64_t head_dim;
  bool has_head_dim;     // the file states it
  uint64_t rotary_dims;  // of a head, the first ones
};

// What the tensors say that the keys do not.
struct GgufTensorFacts {
  uint64_t vocab_size = 0;
  bool has_output_head = false;
  bool has_query_bias = false;
  bool has_mlp_bias = false;
  std::string_view torch_dtype;
  // What rotary frequencies are divided by, (rotary_dims / 2) each; empty if the file has none.
  std::vector<float> rope_divisors;
  std::vector<float> short_rope_divisors;
  std::vector<float> long_rope_divisors;
};

class GgufConfigWriter;

struct GgufArchitecture {
  std::string_view name;  // of general.architecture
  std::string_view hugging_face_class;
  std::string_view model_type;
  const GgufNames* names;
  bool interleaved_rotary;  // query and key rows are stored as rotary pairs
  float norm_offset;        // norm weights are those of Hugging Face plus this
  Status (GgufConfigWriter::*write)();

  std::string_view embedding() const { return names->whole[0][0].hugging_face; }
};

// Errors: kUnsupportedArchitecture, naming those that are known.
Result<const GgufArchitecture*> FindGgufArchitecture(const GgufFile& file);

// Errors: kBadHeader (a key missing or of another kind), kBadLayout (sizes contradict each other),
// kUnsupportedArchitecture (a feature that the models of ECQ do not have).
Result<GgufShape> ReadGgufShape(const GgufFile& file, const GgufArchitecture& architecture);

// The text of config.json. Errors as above.
Result<std::string> GgufConfigJson(const GgufFile& file, const GgufArchitecture& architecture,
                                   const GgufShape& shape, const GgufTensorFacts& facts);

}  // namespace ecq
