// The models behind the golden files of tests/golden/files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "ecq/base/result.h"
#include "ecq/format/ecq_format.h"
#include "ecq/pack/packed_tensor.h"

namespace ecq {

struct GoldenMatrix {
  std::string name;
  PackedTensor packed;
  std::vector<int32_t> integers;  // levels plus fixes, row-major in stored column order
};

struct GoldenModel {
  std::string file;  // "rans.ecq"
  std::vector<GoldenMatrix> matrices;
};

// Everything is spelled out (tables, tiling, scales), so that the bytes depend on the format alone
// and not on what a planner would choose.
std::vector<GoldenModel> GoldenModels();

// SHA-256 of the weights in f32, row-major, columns as in the model.
Result<std::string> WeightsSha256(const PackedTensor& matrix);

// Adds the matrices, a plain tensor and config.json.
Status WriteGoldenModel(const GoldenModel& model, const std::filesystem::path& path);

}  // namespace ecq
