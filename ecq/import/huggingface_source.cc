// Reads config.json, the safetensors shards and the text files beside them.
#include "ecq/import/huggingface_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <system_error>
#include <utility>
#include <variant>

#include "ecq/base/mapped_file.h"
#include "ecq/import/gpt2_layout.h"
#include "ecq/import/quantization_config.h"
#include "ecq/import/quantized_checkpoint.h"
#include "ecq/import/sentencepiece_tokenizer.h"
#include "ecq/import/text.h"
#include "ecq/tensor/safetensors.h"

namespace ecq {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

constexpr uint64_t kMaxSideFileBytes = uint64_t{256} << 20;
constexpr std::string_view kPieces = "sentencepiece.json";
constexpr std::array<std::string_view, 8> kSideFiles{
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "tokenizer.model",
    kPieces,
};

Error Fail(ErrorCode code, const fs::path& path, std::string_view what) {
  return Error{code, fmt::format("{}: {}", path.string(), what)};
}

bool IsRegularFile(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

// Contents of a file of at most kMaxSideFileBytes.
Result<std::string> ReadFile(const fs::path& path) {
  ECQ_TRY(const MappedFile file, MappedFile::Open(path));
  if (file.bytes().size() > kMaxSideFileBytes) {
    return Fail(
        ErrorCode::kBadLayout, path,
        fmt::format("{} bytes, expected at most {}", file.bytes().size(), kMaxSideFileBytes));
  }
  return std::string(file.bytes().begin(), file.bytes().end());
}

// A JSON object in which no key occurs twice. Errors: kBadHeader.
Result<Json> ParseObject(std::string_view text, const fs::path& path) {
  std::vector<std::set<std::string>> open_objects;
  std::optional<std::string> duplicate;
  const auto watch_keys = [&](int, Json::parse_event_t event, Json& value) {
    if (event == Json::parse_event_t::object_start) open_objects.emplace_back();
    if (event == Json::parse_event_t::object_end) open_objects.pop_back();
    if (event == Json::parse_event_t::key) {
      const auto& key = value.get_ref<const std::string&>();
      if (!open_objects.back().insert(key).second) duplicate = key;
    }
    return true;
  };
  Json json = Json::parse(text, watch_keys, /*allow_exceptions=*/false);
  // The parser takes NUL for the end of its input.
  if (!json.is_object() || text.find('\0') != std::string_view::npos) {
    return Fail(ErrorCode::kBadHeader, path, "expected one JSON object");
  }
  if (duplicate) {
    return Fail(ErrorCode::kBadHeader, path,
                fmt::format("duplicate key {}", Json(*duplicate).dump()));
  }
  return json;
}

// Tensor names by shard file.
using Index = std::map<std::string, std::set<std::string, std::less<>>>;

// Reads "weight_map". A shard must be the plain name of a .safetensors file: nothing outside the
// directory can be named.
Result<Index> ReadIndex(const fs::path& path) {
  constexpr std::string_view kExtension = ".safetensors";
  ECQ_TRY(const std::string text, ReadFile(path));
  ECQ_TRY(const Json json, ParseObject(text, path));
  const auto map = json.find("weight_map");
  if (map == json.end() || !map->is_object() || map->empty()) {
    return Fail(ErrorCode::kBadHeader, path, "expected an object \"weight_map\"");
  }
  Index index;
  for (const auto& [tensor, shard] : map->items()) {
    if (!shard.is_string()) {
      return Fail(ErrorCode::kBadHeader, path,
                  fmt::format("weight_map: expected a file name for {}", Json(tensor).dump()));
    }
    const auto& name = shard.get_ref<const std::string&>();
    if (!name.ends_with(kExtension) || name.size() == kExtension.size() ||
        name.find_first_of(std::string_view("/\\:\0", 4)) != std::string::npos) {
      return Fail(ErrorCode::kBadLayout, path,
                  fmt::format("weight_map: {} is not the name of a .safetensors file in the same "
                              "directory",
                              Json(name).dump()));
    }
    index[name].insert(tensor);
  }
  return index;
}

bool NamesGpt2(const Json& config) {
  const auto names = config.find("architectures");
  return names != config.end() && names->is_array() && !names->empty() &&
         names->front() == "GPT2LMHeadModel";
}

class HuggingFaceSource final : public ModelSource {
 public:
  explicit HuggingFaceSource(fs::path directory) : directory_(std::move(directory)) {}

  Status Init() {
    ECQ_RETURN_IF_ERROR(ReadConfig());
    for (const std::string_view name : kSideFiles) {
      if (name != "config.json") ECQ_RETURN_IF_ERROR(AddSideFile(name));
    }
    const bool has_pieces = std::any_of(side_files_.begin(), side_files_.end(),
                                        [](const SideFile& f) { return f.name == kPieces; });
    if (!has_pieces) {
      if (auto pieces = SentencePieceFromTokenizerJson(side_files_)) {
        side_files_.push_back(*std::move(pieces));
      }
    }
    ECQ_RETURN_IF_ERROR(AddShards());
    return MakeTensors();
  }

  std::string_view kind() const override {
    return quantization_ ? quantization_->method_name() : "huggingface";
  }
  const std::vector<SourceTensor>& tensors() const override { return tensors_; }
  const std::vector<SideFile>& side_files() const override { return side_files_; }
  const std::vector<std::string>& weight_paths() const override { return weight_paths_; }

  Status ReadF32(size_t index, std::span<float> out) const override {
    if (index >= data_.size()) {
      return Fail(ErrorCode::kInvalidArgument, directory_, fmt::format("no tensor {}", index));
    }
    const Status status = Convert(index, out);
    if (status.ok()) return status;
    return Fail(status.error().code, directory_,
                fmt::format("tensor {}: {}", tensors_[index].name, status.error().message));
  }

 private:
  Status AddShards() {
    const fs::path single = directory_ / "model.safetensors";
    const fs::path index_path = directory_ / "model.safetensors.index.json";
    if (IsRegularFile(index_path)) {
      ECQ_TRY(const Index index, ReadIndex(index_path));
      for (const auto& [shard, names] : index) {
        ECQ_RETURN_IF_ERROR(AddShard(directory_ / shard, &names));
      }
      return OkStatus();
    }
    if (IsRegularFile(single)) return AddShard(single, nullptr);
    return Fail(ErrorCode::kNotFound, directory_,
                "expected model.safetensors or model.safetensors.index.json in this directory");
  }

  // Needs config.json and the tensors of all shards.
  Status MakeTensors() {
    if (quantization_) {
      ECQ_TRY(std::vector<CheckpointTensor> combined,
              CombineQuantizedTensors(stored_, *quantization_, directory_.string()));
      for (CheckpointTensor& tensor : combined) AddTensor(std::move(tensor));
      return OkStatus();
    }
    for (const SafetensorsEntry& entry : stored_) {
      if (entry.name.ends_with(".qweight")) {
        return Fail(ErrorCode::kBadLayout, directory_,
                    fmt::format("tensor {} is quantized, but config.json has no "
                                "quantization_config, which says how",
                                Json(entry.name).dump()));
      }
      AddTensor(DenseTensor(entry));
      Shape& shape = tensors_.back().shape;
      is_transposed_.back() = is_gpt2_ && shape.size() == 2 && IsGpt2Conv1d(entry.name);
      if (is_transposed_.back()) std::swap(shape[0], shape[1]);
    }
    return OkStatus();
  }

  void AddTensor(CheckpointTensor tensor) {
    tensors_.push_back(std::move(tensor.description));
    data_.push_back(std::move(tensor.data));
    is_transposed_.push_back(false);
  }

  Status Convert(size_t index, std::span<float> out) const {
    if (const auto* view = std::get_if<TensorView>(&data_[index])) {
      if (!is_transposed_[index]) return ConvertToF32(*view, out);
      std::vector<float> transposed(out.size());
      ECQ_RETURN_IF_ERROR(ConvertToF32(*view, transposed));
      Transpose(transposed.data(), view->shape[0], view->shape[1], out.data());
      return OkStatus();
    }
    const auto& matrix = std::get<IntegerMatrix>(data_[index]);
    const uint64_t size = NumElements(matrix.shape()).value_or(0);
    if (out.size() != size) {
      return Error{ErrorCode::kInvalidArgument,
                   fmt::format("expected {} elements of output, got {}", size, out.size())};
    }
    matrix.Dequantize(out);
    return OkStatus();
  }

  Status ReadConfig() {
    const fs::path path = directory_ / "config.json";
    if (!IsRegularFile(path)) {
      return Fail(ErrorCode::kNotFound, directory_,
                  "no config.json: expected a Hugging Face model directory");
    }
    ECQ_RETURN_IF_ERROR(AddSideFile("config.json"));
    ECQ_TRY(const Json config, ParseObject(side_files_.back().contents, path));
    is_gpt2_ = NamesGpt2(config);
    std::string& contents = side_files_.back().contents;
    ECQ_TRY(quantization_, ParseQuantizationConfig(contents, path.string()));
    if (quantization_) contents = ConfigWithoutQuantization(contents);
    return OkStatus();
  }

  // Adds a file if it is there and is text.
  Status AddSideFile(std::string_view name) {
    const fs::path path = directory_ / name;
    if (!IsRegularFile(path)) return OkStatus();
    ECQ_TRY(std::string contents, ReadFile(path));
    if (IsUtf8(contents) && contents.find('\0') == std::string::npos) {
      side_files_.push_back({std::string(name), std::move(contents)});
      return OkStatus();
    }
    if (name == "tokenizer.model") return OkStatus();  // usually a binary protocol buffer
    return Fail(ErrorCode::kBadHeader, path, "expected UTF-8 text");
  }

  // Adds the tensors of one file. `names`, if given, is what the index says the file holds.
  Status AddShard(const fs::path& path, const std::set<std::string, std::less<>>* names) {
    if (!IsRegularFile(path)) {
      return Fail(ErrorCode::kNotFound, path, "the index names this file, but it is not there");
    }
    ECQ_TRY(MappedFile file, MappedFile::Open(path));
    ECQ_TRY(const Safetensors parsed, Safetensors::Parse(file.bytes(), file.path()));
    if (names != nullptr) {
      for (const std::string& name : *names) {
        if (parsed.Find(name) == nullptr) {
          return Fail(ErrorCode::kBadLayout, path,
                      fmt::format("no tensor {}, which the index says is here", Json(name).dump()));
        }
      }
    }
    for (const SafetensorsEntry& entry : parsed.tensors()) {
      if (names != nullptr && names->find(entry.name) == names->end()) {
        return Fail(ErrorCode::kBadLayout, path,
                    fmt::format("holds tensor {}, which the index does not place here",
                                Json(entry.name).dump()));
      }
      if (!IsBuffer(entry.name, is_gpt2_)) stored_.push_back(entry);
    }
    weight_paths_.push_back(file.path());
    files_.push_back(std::move(file));
    return OkStatus();
  }

  fs::path directory_;
  bool is_gpt2_ = false;
  std::vector<MappedFile> files_;
  std::vector<std::string> weight_paths_;
  std::optional<QuantizationConfig> quantization_;
  std::vector<SafetensorsEntry> stored_;                       // the tensors of all shards
  std::vector<SourceTensor> tensors_;                          // what they stand for
  std::vector<std::variant<TensorView, IntegerMatrix>> data_;  // parallel to tensors_
  std::vector<bool> is_transposed_;  // parallel to tensors_: the view is (in, out)
  std::vector<SideFile> side_files_;
};

}  // namespace

Result<std::unique_ptr<ModelSource>> OpenHuggingFace(const fs::path& directory) {
  auto source = std::make_unique<HuggingFaceSource>(directory);
  ECQ_RETURN_IF_ERROR(source->Init());
  return std::unique_ptr<ModelSource>(std::move(source));
}

}  // namespace ecq
