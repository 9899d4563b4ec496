// Typed access to the fields of config.json, each checked where it is read.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ecq/base/result.h"

namespace ecq {

// Several times the largest published models; small enough that no product of sizes overflows.
inline constexpr uint32_t kMaxHiddenSize = 1u << 17;
inline constexpr uint32_t kMaxIntermediateSize = 1u << 20;
inline constexpr uint32_t kMaxLayers = 1024;
inline constexpr uint32_t kMaxHeads = 1024;
inline constexpr uint32_t kMaxHeadDim = 1024;
inline constexpr uint32_t kMaxVocabSize = 1u << 22;
inline constexpr uint32_t kMaxPositions = 1u << 24;
inline constexpr double kMaxRopeTheta = 1e12;

// One JSON object. A field that is null counts as absent. Errors are kBadHeader for a field that is
// missing without a default, of a wrong type or out of bounds, and name the field.
class ConfigReader {
 public:
  // `object` must outlive this; `path` stands before field names in messages, "rope_scaling.".
  explicit ConfigReader(const nlohmann::json& object, std::string path = "")
      : object_(object), path_(std::move(path)) {}

  bool Has(std::string_view key) const;
  // Written as null, which some fields distinguish from being absent.
  bool IsNull(std::string_view key) const;

  // An integer in [1, max].
  Result<uint32_t> Count(std::string_view key, uint32_t max,
                         std::optional<uint32_t> absent = std::nullopt) const;
  // A number in [min, max], never NaN.
  Result<double> Number(std::string_view key, double min, double max,
                        std::optional<double> absent = std::nullopt) const;
  Result<bool> Flag(std::string_view key, bool absent) const;
  Result<std::string> Text(std::string_view key, std::string_view absent) const;
  // A list of exactly `size` numbers in [min, max].
  Result<std::vector<double>> Numbers(std::string_view key, size_t size, double min,
                                      double max) const;
  // A list of exactly `size` texts.
  Result<std::vector<std::string>> Texts(std::string_view key, size_t size) const;
  // The ids of one field, below vocab_size: none, one, or a list.
  Result<std::vector<uint32_t>> TokenIds(std::string_view key, uint32_t vocab_size) const;
  // Nothing if absent.
  Result<std::optional<ConfigReader>> Object(std::string_view key) const;

  // kUnsupportedArchitecture unless the field is absent or one of `supported`.
  Status RequireText(std::string_view key, std::initializer_list<std::string_view> supported) const;
  Status RequireFalse(std::string_view key) const;
  Status RequireAbsent(std::string_view key) const;
  Error Unsupported(std::string_view key, std::string_view supported) const;

 private:
  const nlohmann::json* Find(std::string_view key) const;
  Error FieldError(std::string_view key, const nlohmann::json& value,
                   std::string_view expected) const;

  const nlohmann::json& object_;
  std::string path_;
};

}  // namespace ecq
