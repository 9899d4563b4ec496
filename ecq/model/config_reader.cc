// Typed access to the fields of config.json.
#include "ecq/model/config_reader.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace ecq {
namespace {

using Json = nlohmann::json;

// A value for a message: short, on one line.
std::string Shown(const Json& value) {
  std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

bool IsIn(const Json& value, double min, double max) {
  // Written so that NaN fails.
  return value.is_number() && value.get<double>() >= min && value.get<double>() <= max;
}

}  // namespace

const Json* ConfigReader::Find(std::string_view key) const {
  const auto it = object_.find(key);
  return it == object_.end() || it->is_null() ? nullptr : &*it;
}

Error ConfigReader::FieldError(std::string_view key, const Json& value,
                               std::string_view expected) const {
  return Error{ErrorCode::kBadHeader, fmt::format("config.json: \"{}{}\" is {}, expected {}", path_,
                                                  key, Shown(value), expected)};
}

Error ConfigReader::Unsupported(std::string_view key, std::string_view supported) const {
  const Json* value = Find(key);
  return Error{ErrorCode::kUnsupportedArchitecture,
               fmt::format("config.json: \"{}{}\" is {}, which is not supported; supported: {}",
                           path_, key, value == nullptr ? "null" : Shown(*value), supported)};
}

bool ConfigReader::Has(std::string_view key) const { return Find(key) != nullptr; }

bool ConfigReader::IsNull(std::string_view key) const {
  return object_.contains(key) && Find(key) == nullptr;
}

Result<uint32_t> ConfigReader::Count(std::string_view key, uint32_t max,
                                     std::optional<uint32_t> absent) const {
  const Json* value = Find(key);
  if (value == nullptr) {
    if (absent) return *absent;
    return Error{ErrorCode::kBadHeader,
                 fmt::format("config.json: \"{}{}\" is missing", path_, key)};
  }
  if (!value->is_number_unsigned() || value->get<uint64_t>() == 0 || value->get<uint64_t>() > max) {
    return FieldError(key, *value, fmt::format("an integer in [1, {}]", max));
  }
  return static_cast<uint32_t>(value->get<uint64_t>());
}

Result<double> ConfigReader::Number(std::string_view key, double min, double max,
                                    std::optional<double> absent) const {
  const Json* value = Find(key);
  if (value == nullptr) {
    if (absent) return *absent;
    return Error{ErrorCode::kBadHeader,
                 fmt::format("config.json: \"{}{}\" is missing", path_, key)};
  }
  if (!IsIn(*value, min, max)) {
    return FieldError(key, *value, fmt::format("a number in [{}, {}]", min, max));
  }
  return value->get<double>();
}

Result<bool> ConfigReader::Flag(std::string_view key, bool absent) const {
  const Json* value = Find(key);
  if (value == nullptr) return absent;
  if (!value->is_boolean()) return FieldError(key, *value, "true or false");
  return value->get<bool>();
}

Result<std::string> ConfigReader::Text(std::string_view key, std::string_view absent) const {
  const Json* value = Find(key);
  if (value == nullptr) return std::string(absent);
  if (!value->is_string()) return FieldError(key, *value, "a text");
  return value->get<std::string>();
}

Result<std::vector<double>> ConfigReader::Numbers(std::string_view key, size_t size, double min,
                                                  double max) const {
  const std::string expected = fmt::format("a list of {} numbers in [{}, {}]", size, min, max);
  const Json* value = Find(key);
  if (value == nullptr) {
    return Error{ErrorCode::kBadHeader, fmt::format("config.json: \"{}{}\" is missing, expected {}",
                                                    path_, key, expected)};
  }
  if (!value->is_array() || value->size() != size) return FieldError(key, *value, expected);
  std::vector<double> numbers;
  for (const Json& element : *value) {
    if (!IsIn(element, min, max)) return FieldError(key, element, expected);
    numbers.push_back(element.get<double>());
  }
  return numbers;
}

Result<std::vector<std::string>> ConfigReader::Texts(std::string_view key, size_t size) const {
  const std::string expected = fmt::format("a list of {} texts", size);
  const Json* value = Find(key);
  if (value == nullptr || !value->is_array() || value->size() != size) {
    return FieldError(key, value == nullptr ? Json() : *value, expected);
  }
  std::vector<std::string> texts;
  for (const Json& element : *value) {
    if (!element.is_string()) return FieldError(key, element, expected);
    texts.push_back(element.get<std::string>());
  }
  return texts;
}

Result<std::vector<uint32_t>> ConfigReader::TokenIds(std::string_view key,
                                                     uint32_t vocab_size) const {
  std::vector<uint32_t> ids;
  const Json* value = Find(key);
  if (value == nullptr) return ids;
  for (const Json& id : value->is_array() ? *value : Json::array({*value})) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() >= vocab_size) {
      return FieldError(key, id, fmt::format("a token id below {}", vocab_size));
    }
    ids.push_back(static_cast<uint32_t>(id.get<uint64_t>()));
  }
  return ids;
}

Result<std::optional<ConfigReader>> ConfigReader::Object(std::string_view key) const {
  const Json* value = Find(key);
  if (value == nullptr) return std::optional<ConfigReader>();
  if (!value->is_object()) return FieldError(key, *value, "an object or null");
  return std::optional<ConfigReader>(std::in_place, *value, fmt::format("{}{}.", path_, key));
}

Status ConfigReader::RequireText(std::string_view key,
                                 std::initializer_list<std::string_view> supported) const {
  const Json* value = Find(key);
  if (value == nullptr) return OkStatus();
  std::string names;
  for (const std::string_view name : supported) {
    if (*value == name) return OkStatus();
    names += names.empty() ? "" : ", ";
    names += name;
  }
  return Unsupported(key, names);
}

Status ConfigReader::RequireFalse(std::string_view key) const {
  ECQ_TRY(const bool set, Flag(key, false));
  if (set) return Unsupported(key, "false");
  return OkStatus();
}

Status ConfigReader::RequireAbsent(std::string_view key) const {
  if (Has(key)) return Unsupported(key, "null");
  return OkStatus();
}

}  // namespace ecq
