#include "app/shard_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <string_view>
#include <utility>

#include "app/tensor_type.h"

namespace ecq {
namespace {

// A run of rows or columns that is divided among the ranks, whole units each.
struct Section {
  uint64_t units;
  uint64_t unit_size;  // rows or columns
  std::string_view what;

  uint64_t size() const { return units * unit_size; }
};

// The matrices that one name pattern stands for, and how they are cut.
struct Cut {
  std::vector<std::string> names;
  std::vector<Section> sections;  // cover the axis in order
  bool by_columns;
  uint64_t other_axis;

  uint64_t size() const {
    return std::accumulate(sections.begin(), sections.end(), uint64_t{0},
                           [](uint64_t sum, const Section& s) { return sum + s.size(); });
  }
};

std::vector<Cut> CutsOf(const ModelConfig& config, std::string_view root) {
  const TensorNames& names = config.tensors;
  const uint64_t hidden = config.hidden_size;
  const Section heads{config.num_heads, config.head_dim, "heads"};
  const Section kv_heads{config.num_kv_heads, config.head_dim, "KV heads"};
  const Section inner{config.intermediate_size, 1, "inner units of the MLP"};
  const Section vocab{config.vocab_size, 1, "tokens of the vocabulary"};
  std::vector<Cut> cuts;
  const auto add = [&](std::string_view name, std::vector<Section> sections, bool by_columns) {
    std::vector<std::string> all;
    for (uint32_t i = 0; i < config.num_layers; ++i) {
      all.push_back(fmt::format("{}{}{}.{}.weight", root, names.layers, i, name));
    }
    cuts.push_back({std::move(all), std::move(sections), by_columns, hidden});
  };
  if (names.qkv.empty()) {
    add(names.query, {heads}, false);
    add(names.key, {kv_heads}, false);
    add(names.value, {kv_heads}, false);
  } else {
    add(names.qkv, {heads, kv_heads, kv_heads}, false);
  }
  add(names.output, {heads}, true);
  if (!names.gate_up.empty()) {
    add(names.gate_up, {inner, inner}, false);
  } else {
    if (config.mlp != MlpKind::kGelu) add(names.gate, {inner}, false);
    add(names.up, {inner}, false);
  }
  add(names.down, {inner}, true);
  cuts.push_back({{fmt::format("{}{}.weight", root, names.embedding)}, {vocab}, false, hidden});
  if (!config.tie_word_embeddings) cuts.push_back({{"lm_head.weight"}, {vocab}, false, hidden});
  return cuts;
}

// Why equal shares are not possible.
std::string ObstacleOf(const Cut& cut, const std::vector<PackedTensor>& coded, uint32_t ranks) {
  for (const Section& section : cut.sections) {
    if (section.units % ranks != 0) {
      return fmt::format("{} {} do not divide by {}", section.units, section.what, ranks);
    }
  }
  if (!cut.by_columns || ranks == 1) return {};
  const uint64_t share = cut.size() / ranks;
  for (const PackedTensor& tensor : coded) {
    if (tensor.desc.scale_groups > 1 && share % tensor.desc.group_size != 0) {
      return fmt::format("a share of {} columns cuts a group of {} with one scale", share,
                         tensor.desc.group_size);
    }
    if (tensor.desc.rotation != 0 && share % tensor.desc.rotation != 0) {
      return fmt::format("a share of {} columns cuts a block of {} that is rotated as one", share,
                         tensor.desc.rotation);
    }
  }
  return {};
}

// Whether all shares of the rows begin where a tile does.
bool BeginAtTiles(const Cut& cut, uint32_t ranks, uint64_t tile_rows) {
  uint64_t begin = 0;
  for (const Section& section : cut.sections) {
    for (uint32_t rank = 0; rank < ranks; ++rank) {
      if ((begin + section.size() / ranks * rank) % tile_rows != 0) return false;
    }
    begin += section.size();
  }
  return true;
}

// Why the shares, equal ones, are not parts of the file.
std::string RecodeReason(const Cut& cut, const std::vector<PackedTensor>& coded, uint32_t ranks) {
  if (ranks == 1) return {};
  for (const PackedTensor& tensor : coded) {
    if (cut.by_columns && tensor.desc.codec != CodecId::kRaw) {
      return "a codestream runs over all columns";
    }
    if (cut.by_columns && cut.size() / ranks % kRawGroupCols != 0) {
      return fmt::format("a share cuts a group of {} columns", kRawGroupCols);
    }
    if (!cut.by_columns && !BeginAtTiles(cut, ranks, TileRows(tensor.desc))) {
      return fmt::format("a share begins inside a tile of {} rows", TileRows(tensor.desc));
    }
  }
  return {};
}

class Sharding {
 public:
  static Result<Sharding> Create(const OpenedModel& model) {
    ECQ_TRY(const ModelConfig config, model.LoadConfig());
    Sharding sharding;
    std::map<std::string_view, const Shape*> shapes;
    for (const SourceTensor& tensor : model.source().tensors()) shapes[tensor.name] = &tensor.shape;
    const std::string embedding =
        fmt::format("{}{}.weight", config.tensors.root, config.tensors.embedding);
    sharding.cuts_ = CutsOf(config, shapes.count(embedding) != 0 ? config.tensors.root : "");
    for (const Cut& cut : sharding.cuts_) {
      Shape expected{cut.size(), cut.other_axis};
      if (cut.by_columns) std::swap(expected[0], expected[1]);
      std::vector<PackedTensor> coded;
      for (const std::string& name : cut.names) {
        ECQ_RETURN_IF_ERROR(CheckShape(model, shapes, name, expected));
        if (!model.coded()) continue;
        // A matrix that is kept can be cut anywhere.
        if (auto tensor = model.ecq()->matrix(name); tensor.ok()) coded.push_back(*tensor);
      }
      sharding.coded_.push_back(std::move(coded));
    }
    return sharding;
  }

  std::vector<ShardedType> Types(uint32_t ranks) const {
    std::vector<ShardedType> types;
    for (size_t i = 0; i < cuts_.size(); ++i) {
      const Cut& cut = cuts_[i];
      ShardedType type{TensorTypeOf(cut.names.front()),
                       cut.names.size(),
                       cut.size(),
                       cut.other_axis,
                       cut.by_columns,
                       0,
                       {},
                       {}};
      if (cut.by_columns) std::swap(type.rows, type.cols);
      type.obstacle = ObstacleOf(cut, coded_[i], ranks);
      if (type.obstacle.empty()) {
        type.per_rank = cut.size() / ranks;
        type.recode = RecodeReason(cut, coded_[i], ranks);
      }
      types.push_back(std::move(type));
    }
    return types;
  }

  bool Even(uint32_t ranks) const {
    for (size_t i = 0; i < cuts_.size(); ++i) {
      if (!ObstacleOf(cuts_[i], coded_[i], ranks).empty()) return false;
    }
    return true;
  }

 private:
  static Status CheckShape(const OpenedModel& model,
                           const std::map<std::string_view, const Shape*>& shapes,
                           const std::string& name, const Shape& expected) {
    const auto found = shapes.find(name);
    if (found == shapes.end()) {
      return Error{ErrorCode::kNotFound,
                   fmt::format("{}: the model has no tensor {}", model.path(), name)};
    }
    if (*found->second == expected) return OkStatus();
    return Error{ErrorCode::kBadLayout,
                 fmt::format("{}: tensor {} has shape {}, config.json calls for {}", model.path(),
                             name, ShapeToString(*found->second), ShapeToString(expected))};
  }

  std::vector<Cut> cuts_;
  std::vector<std::vector<PackedTensor>> coded_;  // of each cut
};

}  // namespace

std::string ShardReport::Obstacle() const {
  for (const ShardedType& type : types) {
    if (!type.obstacle.empty()) return type.obstacle;
  }
  return {};
}

Result<ShardReport> ReportShards(const OpenedModel& model, uint32_t ranks) {
  ECQ_TRY(const Sharding sharding, Sharding::Create(model));
  ShardReport report{ranks, model.coded(), sharding.Types(ranks), {}};
  for (uint32_t n = 1; n <= kMaxRanks; ++n) {
    if (sharding.Even(n)) report.even_ranks.push_back(n);
  }
  return report;
}

}  // namespace ecq
