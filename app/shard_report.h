// Whether a model can be cut evenly over the ranks of tensor parallelism.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "app/opened_model.h"
#include "ecq/base/result.h"

namespace ecq {

inline constexpr uint32_t kMaxRanks = 1024;

// All matrices of one type: q, k, v, gate, up, embedding and head are cut by rows, o and down by
// columns. Everything else is on every rank.
struct ShardedType {
  std::string type;  // TensorTypeOf()
  uint64_t number = 0;
  uint64_t rows = 0;
  uint64_t cols = 0;
  bool by_columns = false;
  uint64_t per_rank = 0;  // rows or columns; 0 if they do not divide
  std::string obstacle;   // why the ranks would get unequal shares; empty if they do not
  std::string recode;     // why shards cannot be copied out of the file as they are coded
};

struct ShardReport {
  uint32_t ranks = 0;
  bool coded = false;  // else `recode` says nothing
  std::vector<ShardedType> types;
  std::vector<uint32_t> even_ranks;  // all numbers up to kMaxRanks that work; 1 always does

  std::string Obstacle() const;  // the first one; empty if the shares are equal
};

// Errors: those of OpenedModel::LoadConfig(); kNotFound and kBadLayout for a matrix that is missing
// or of another shape than config.json says.
Result<ShardReport> ReportShards(const OpenedModel& model, uint32_t ranks);

}  // namespace ecq
