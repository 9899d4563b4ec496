// A llama2.c checkpoint (the headerless "version 0" .bin) as a ModelSource.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "ecq/base/mapped_file.h"
#include "ecq/import/model_source.h"

namespace ecq {

// The seven int32 at the start of the file, checked: every size is positive and below 2^22,
// num_heads divides hidden_size into heads of even size, num_kv_heads divides num_heads.
struct Llama2cHeader {
  uint64_t hidden_size;
  uint64_t intermediate_size;
  uint64_t num_layers;
  uint64_t num_heads;
  uint64_t num_kv_heads;
  uint64_t vocab_size;
  uint64_t context_length;
  bool separate_classifier;  // stored as a negative vocab_size

  uint64_t head_dim() const { return hidden_size / num_heads; }
};

// Nothing if the file does not start like a llama2.c checkpoint, which has no magic number.
std::optional<Llama2cHeader> ParseLlama2cHeader(std::span<const uint8_t> file);

// Reads the tokenizer from tok<vocab_size>.bin or tokenizer.bin in the same directory.
// Errors: kBadMagic, kTruncated and kBadLayout (file size), kNotFound (tokenizer), kBadHeader.
Result<std::unique_ptr<ModelSource>> OpenLlama2c(MappedFile file);

}  // namespace ecq
