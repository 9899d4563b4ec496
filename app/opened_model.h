// Any model a command can be pointed at: a foreign one (weights dense) or an .ecq (weights coded).
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ecq/base/result.h"
#include "ecq/format/ecq_reader.h"
#include "ecq/import/model_source.h"
#include "ecq/model/config.h"
#include "ecq/model/model.h"
#include "ecq/model/model_weights.h"
#include "ecq/runtime/tokenizer.h"

namespace ecq {

// The .ecq in a directory that `ecq unpack` made, where other tools look for weights.
inline constexpr std::string_view kUnpackedWeights = "model.safetensors";

class OpenedModel {
 public:
  // Errors: those of OpenModelSource() and EcqFile::Open(); kInvalidArgument for a directory that
  // `ecq unpack` made: its side files may differ from those inside the .ecq.
  static Result<OpenedModel> Open(const std::filesystem::path& path);

  const std::string& path() const { return path_; }
  bool coded() const { return ecq_ != nullptr; }
  // Null for a foreign model.
  const EcqFile* ecq() const { return ecq_.get(); }
  // Tensors as f32 under Hugging Face names; for an .ecq, dequantized.
  const ModelSource& source() const { return *source_; }

  uint64_t file_bytes() const { return file_bytes_; }
  // Bits per weight of all matrices, everything they need counted.
  double bits_per_weight() const;

  // Of the four below, messages start with the path. Errors: those of ParseModelConfig(),
  // Model::Load() and ecq::LoadTokenizer().
  Status CheckQuantizable() const;  // also takes encoders, which have no ModelConfig
  Result<ModelConfig> LoadConfig() const;
  Result<Model> LoadModel() const;
  Result<std::unique_ptr<Tokenizer>> LoadTokenizer() const;

 private:
  OpenedModel() = default;

  Result<std::string_view> ConfigText() const;

  std::string path_;
  std::unique_ptr<EcqFile> ecq_;
  std::unique_ptr<ModelSource> source_;
  uint64_t file_bytes_ = 0;
};

// Whether a tensor is a weight matrix that is quantized and counted: rank 2 and named like a linear
// layer or an embedding.
bool IsWeightMatrix(const SourceTensor& tensor);
// Whether it is the token embedding or the output head, which get a rate of their own.
bool IsEmbedding(std::string_view name);

}  // namespace ecq
