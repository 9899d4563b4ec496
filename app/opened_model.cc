#include "app/opened_model.h"

#include <fmt/format.h>

#include <utility>

#include "app/ecq_source.h"
#include "app/source_weights.h"
#include "ecq/model/ecq_weights.h"

namespace ecq {
namespace {

// Metadata of an .ecq starts like any safetensors file; only the reader can tell. Anything that is
// not one is left to the importers.
bool LooksLikeEcq(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(path, ignored)) return false;
  const auto file = EcqFile::Open(path);
  return file.ok() || file.error().code != ErrorCode::kBadMagic;
}

template <typename T>
Result<T> InModel(const std::string& path, Result<T> result) {
  if (result.ok()) return result;
  return Error{result.error().code, path + ": " + result.error().message};
}

bool EndsWith(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

}  // namespace

Result<OpenedModel> OpenedModel::Open(const std::filesystem::path& path) {
  OpenedModel model;
  model.path_ = path.string();
  if (EndsWith(model.path_, ".ecq") || LooksLikeEcq(path)) {
    ECQ_TRY(EcqFile file, EcqFile::Open(path));
    model.ecq_ = std::make_unique<EcqFile>(std::move(file));
    model.file_bytes_ = model.ecq_->file_bytes();
    ECQ_TRY(model.source_, MakeEcqSource(*model.ecq_, model.path_));
    return model;
  }
  if (EcqFile::Open(path / kUnpackedWeights).ok()) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("{}: an unpacked .ecq file; give {}/{}, or make one file of it with "
                             "'ecq pack'",
                             path.string(), path.string(), kUnpackedWeights)};
  }
  ECQ_TRY(model.source_, OpenModelSource(path));
  for (const std::string& file : model.source_->weight_paths()) {
    model.file_bytes_ += std::filesystem::file_size(file);
  }
  return model;
}

double OpenedModel::bits_per_weight() const {
  double bits = 0;
  double weights = 0;
  for (const SourceTensor& tensor : source_->tensors()) {
    if (!IsWeightMatrix(tensor)) continue;
    bits += 8.0 * static_cast<double>(tensor.source_bytes);
    weights += static_cast<double>(tensor.shape[0] * tensor.shape[1]);
  }
  return weights > 0 ? bits / weights : 0;
}

Result<std::string_view> OpenedModel::ConfigText() const {
  for (const SideFile& file : source_->side_files()) {
    if (file.name == "config.json") return std::string_view(file.contents);
  }
  return Error{ErrorCode::kNotFound, path_ + ": there is no config.json"};
}

Status OpenedModel::CheckQuantizable() const {
  ECQ_TRY(const std::string_view text, ConfigText());
  return InModel(path_, ecq::CheckQuantizable(text));
}

Result<ModelConfig> OpenedModel::LoadConfig() const {
  ECQ_TRY(const std::string_view text, ConfigText());
  return InModel(path_, ParseModelConfig(text));
}

Result<Model> OpenedModel::LoadModel() const {
  ECQ_TRY(const ModelConfig config, LoadConfig());
  if (coded()) {
    EcqWeights weights(*ecq_);
    return InModel(path_, Model::Load(config, weights));
  }
  SourceWeights weights(*source_);
  return InModel(path_, Model::Load(config, weights));
}

Result<std::unique_ptr<Tokenizer>> OpenedModel::LoadTokenizer() const {
  std::vector<NamedFile> files;
  for (const SideFile& file : source_->side_files()) files.push_back({file.name, file.contents});
  return InModel(path_, ecq::LoadTokenizer(files));
}

bool IsWeightMatrix(const SourceTensor& tensor) {
  return tensor.shape.size() == 2 && EndsWith(tensor.name, ".weight");
}

bool IsEmbedding(std::string_view name) {
  return EndsWith(name, "embed_tokens.weight") || EndsWith(name, "lm_head.weight") ||
         EndsWith(name, "word_embeddings.weight") || EndsWith(name, "wte.weight");
}

}  // namespace ecq
