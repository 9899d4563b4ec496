#include "ecq/format/metadata.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "ecq/base/bytes.h"
#include "ecq/base/hadamard.h"
#include "ecq/codec/codec.h"
#include "ecq/portable/rans16.h"

namespace ecq {
namespace {

using Json = nlohmann::json;

constexpr int kMaxDepth = 8;

constexpr char kRotation[] = "rotation";
constexpr char kLowBits[] = "low_bits";
// Values of "window": how many of the last bits of a stream a tuple depends on.
constexpr int64_t kWindowBitsPlain = 8;    // those of its byte
constexpr int64_t kWindowBitsMemory = 12;  // and four of the byte above

struct ScaleName {
  ScaleKind kind;
  std::string_view name;
};
constexpr ScaleName kScaleNames[] = {
    {ScaleKind::kTensor, "tensor"}, {ScaleKind::kRow, "row"}, {ScaleKind::kGroup, "group"}};

Error BadHeader(const std::string& where, const std::string& what) {
  return Error{ErrorCode::kBadHeader, where + ": " + what};
}

// Parses one JSON object; refuses duplicate keys, which the library would merge silently, and deep
// nesting.
Result<Json> ParseObject(std::string_view text, const std::string& where) {
  // The lexer takes NUL for the end of its input, which would hide what follows.
  if (text.find('\0') != std::string_view::npos) return BadHeader(where, "NUL in a JSON text");
  std::vector<std::set<std::string>> keys_by_depth(kMaxDepth + 2);
  std::string problem;
  const Json::parser_callback_t check = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (depth > kMaxDepth) {
      problem = "JSON is nested too deeply";
      return false;
    }
    if (event == Json::parse_event_t::object_start) keys_by_depth[depth + 1].clear();
    if (event == Json::parse_event_t::key &&
        !keys_by_depth[depth].insert(parsed.get_ref<const std::string&>()).second) {
      problem = "duplicate key \"" + parsed.get_ref<const std::string&>() + "\"";
    }
    return true;
  };
  Json json = Json::parse(text.begin(), text.end(), check, /*allow_exceptions=*/false);
  if (!problem.empty()) return BadHeader(where, problem);
  if (json.is_discarded() || !json.is_object()) {
    return BadHeader(where, "expected a JSON object, got something else or invalid JSON");
  }
  return json;
}

// Typed access to the members of one object.
class Members {
 public:
  Members(const Json& object, std::string where) : object_(object), where_(std::move(where)) {}

  const std::string& where() const { return where_; }
  bool Has(const char* key) const { return object_.contains(key); }

  Result<const Json*> Find(const char* key, Json::value_t type, const char* type_name) const {
    const auto it = object_.find(key);
    if (it == object_.end()) {
      return BadHeader(where_, "member \"" + std::string(key) + "\" is missing");
    }
    if (it->type() != type) {
      return BadHeader(where_, fmt::format("member \"{}\": expected {}", key, type_name));
    }
    return &*it;
  }
  Result<std::string> String(const char* key) const {
    ECQ_TRY(const Json* value, Find(key, Json::value_t::string, "a string"));
    return value->get_ref<const std::string&>();
  }
  Result<const Json*> Array(const char* key) const {
    return Find(key, Json::value_t::array, "an array");
  }
  // An integer in [low, high]; out of that range is `range_error`.
  Result<int64_t> Integer(const char* key, int64_t low, int64_t high,
                          ErrorCode range_error = ErrorCode::kBadLayout) const {
    const auto it = object_.find(key);
    if (it == object_.end()) {
      return BadHeader(where_, "member \"" + std::string(key) + "\" is missing");
    }
    return IntegerOf(*it, where_ + ": member \"" + key + "\"", low, high, range_error);
  }

  static Result<int64_t> IntegerOf(const Json& value, const std::string& where, int64_t low,
                                   int64_t high, ErrorCode range_error) {
    if (!value.is_number_integer()) return BadHeader(where, "expected an integer");
    constexpr uint64_t kMax = std::numeric_limits<int64_t>::max();
    const bool huge = value.is_number_unsigned() && value.get<uint64_t>() > kMax;
    const int64_t number = huge ? 0 : value.get<int64_t>();
    if (huge || number < low || number > high) {
      return Error{range_error, fmt::format("{}: expected an integer in [{}, {}], got {}", where,
                                            low, high, value.dump())};
    }
    return number;
  }

  Status RefuseOthers(std::initializer_list<std::string_view> known) const {
    for (const auto& item : object_.items()) {
      if (std::find(known.begin(), known.end(), item.key()) != known.end()) continue;
      return Error{ErrorCode::kUnsupportedVersion,
                   where_ + ": member \"" + item.key() +
                       "\" is not known here; the file needs a newer reader"};
    }
    return OkStatus();
  }

 private:
  const Json& object_;
  std::string where_;
};

Status ParseShape(const Members& members, PackedDesc* desc) {
  ECQ_TRY(const Json* shape, members.Array("shape"));
  const std::string where = members.where() + ": shape";
  if (shape->size() != 2) return BadHeader(where, "expected [rows, columns]");
  ECQ_TRY(const int64_t rows,
          Members::IntegerOf((*shape)[0], where, 1, kMaxDimension, ErrorCode::kBadLayout));
  ECQ_TRY(const int64_t cols,
          Members::IntegerOf((*shape)[1], where, 1, kMaxDimension, ErrorCode::kBadLayout));
  if (static_cast<uint64_t>(rows) * static_cast<uint64_t>(cols) > kMaxWeights) {
    return Error{ErrorCode::kBadLayout, where + ": expected less than 2^40 weights"};
  }
  desc->rows = static_cast<uint32_t>(rows);
  desc->cols = static_cast<uint32_t>(cols);
  return OkStatus();
}

Status ParseTiling(const Members& members, PackedDesc* desc) {
  ECQ_TRY(const int64_t lanes, members.Integer("lanes", 1, kMaxLanes));
  if ((lanes & (lanes - 1)) != 0) {
    return Error{ErrorCode::kBadLayout,
                 members.where() + ": lanes must be a power of two, got " + std::to_string(lanes)};
  }
  ECQ_TRY(const int64_t blocks, members.Integer("blocks_per_tile", 1, kMaxBlocksPerTile));
  desc->lanes = static_cast<uint32_t>(lanes);
  desc->blocks_per_tile = static_cast<uint32_t>(blocks);
  desc->num_tiles = static_cast<uint32_t>(DivideRoundUp(desc->rows, TileRows(*desc)));
  return OkStatus();
}

Status ParseRaw(const Members& members, MatrixRecord* record) {
  ECQ_TRY(const int64_t bits, members.Integer("bits", 1, 8));
  ECQ_TRY(const int64_t level_min,
          members.Integer("level_min", FrequencyTable::kMinLevel, FrequencyTable::kMaxLevel));
  record->desc.raw_bits = static_cast<uint32_t>(bits);
  record->desc.raw_level_min = static_cast<int32_t>(level_min);
  record->spans.push_back({0, record->desc.cols, 0, 0});
  return OkStatus();
}

Status ParseWindow(const Members& members, PackedDesc* desc) {
  ECQ_TRY(const int64_t bits, members.Integer("window", kWindowBitsPlain, kWindowBitsMemory));
  if (bits != kWindowBitsPlain && bits != kWindowBitsMemory) {
    return Error{ErrorCode::kBadLayout,
                 members.where() + ": window must be 8 or 12, got " + std::to_string(bits)};
  }
  desc->has_memory = bits == kWindowBitsMemory ? 1 : 0;
  return OkStatus();
}

Status ParseLowBits(const Members& members, PackedDesc* desc) {
  ECQ_TRY(const int64_t bits, members.Integer(kLowBits, 0, kRans16MaxLowBits));
  desc->low_bits = static_cast<uint32_t>(bits);
  return OkStatus();
}

// Optional: most matrices are not rotated.
Status ParseRotation(const Members& members, PackedDesc* desc) {
  if (!members.Has(kRotation)) return OkStatus();
  ECQ_TRY(const int64_t block, members.Integer(kRotation, 2, kMaxHadamardBlock));
  desc->rotation = static_cast<uint32_t>(block);
  if (IsHadamardBlock(desc->cols, desc->rotation)) return OkStatus();
  return Error{ErrorCode::kBadLayout,
               fmt::format("{}: rotation in blocks of {} does not fit {} columns", members.where(),
                           block, desc->cols)};
}

Status ParseSpans(const Members& members, MatrixRecord* record) {
  ECQ_TRY(const Json* spans, members.Array("spans"));
  const std::string where = members.where() + ": spans";
  uint32_t begin = 0;
  for (const Json& span : *spans) {
    if (!span.is_array() || span.size() != 2) {
      return BadHeader(where, "expected pairs [columns, table]");
    }
    ECQ_TRY(const int64_t columns, Members::IntegerOf(span[0], where, 1, record->desc.cols - begin,
                                                      ErrorCode::kBadLayout));
    ECQ_TRY(const int64_t table, Members::IntegerOf(span[1], where + ": table number", 0,
                                                    kMaxTables - 1, ErrorCode::kBadTable));
    const uint32_t end = begin + static_cast<uint32_t>(columns);
    record->spans.push_back({begin, end, static_cast<uint32_t>(table), 0});
    begin = end;
  }
  if (begin != record->desc.cols) {
    return Error{ErrorCode::kBadLayout,
                 fmt::format("{}: they cover {} of {} columns", where, begin, record->desc.cols)};
  }
  return OkStatus();
}

Status ParseScale(const Members& members, MatrixRecord* record) {
  ECQ_TRY(const std::string name, members.String("scale"));
  const auto it = std::find_if(std::begin(kScaleNames), std::end(kScaleNames),
                               [&](const ScaleName& row) { return row.name == name; });
  if (it == std::end(kScaleNames)) {
    return BadHeader(members.where(),
                     "member \"scale\": expected tensor, row or group, got \"" + name + "\"");
  }
  record->scale_kind = it->kind;
  PackedDesc& desc = record->desc;
  desc.group_size = desc.cols;
  desc.scale_groups = 1;
  if (it->kind == ScaleKind::kGroup) {
    ECQ_TRY(const int64_t group_size, members.Integer("group_size", 4, kMaxDimension));
    if (group_size % 4 != 0) {
      return Error{ErrorCode::kBadLayout, members.where() + ": group_size must be a multiple of 4"};
    }
    desc.group_size = static_cast<uint32_t>(group_size);
    desc.scale_groups = static_cast<uint32_t>(DivideRoundUp(desc.cols, desc.group_size));
  }
  ECQ_TRY(const int64_t exponent, members.Integer("scale_exponent", -64, 64));
  record->scale_exponent = static_cast<int32_t>(exponent);
  return OkStatus();
}

Status RefuseUnknownMembers(const Members& members, const MatrixRecord& record) {
  const bool raw = record.desc.codec == CodecId::kRaw;
  const bool window = record.desc.codec == CodecId::kWindow;
  const bool rans16 = record.desc.codec == CodecId::kRans16;
  const bool group = record.scale_kind == ScaleKind::kGroup;
  return members.RefuseOthers(
      {"shape", "grid", "codec", "lanes", "blocks_per_tile", "scale", "scale_exponent",
       raw ? "bits" : "spans", raw ? "level_min" : "spans", window ? "window" : "spans",
       rans16 ? kLowBits : "spans", group ? "group_size" : "scale", kRotation});
}

Result<MatrixRecord> ParseRecord(const Json& object, const std::string& where) {
  if (!object.is_object()) return BadHeader(where, "expected an object");
  const Members members(object, where);
  MatrixRecord record;
  ECQ_TRY(const std::string codec_name, members.String("codec"));
  auto codec = CodecFromName(codec_name);
  if (!codec.ok()) return Error{codec.error().code, where + ": " + codec.error().message};
  record.desc.codec = *codec;
  ECQ_TRY(record.grid, members.String("grid"));
  ECQ_RETURN_IF_ERROR(ParseShape(members, &record.desc));
  ECQ_RETURN_IF_ERROR(ParseTiling(members, &record.desc));
  ECQ_RETURN_IF_ERROR(ParseScale(members, &record));
  ECQ_RETURN_IF_ERROR(ParseRotation(members, &record.desc));
  ECQ_RETURN_IF_ERROR(RefuseUnknownMembers(members, record));
  if (*codec == CodecId::kWindow) ECQ_RETURN_IF_ERROR(ParseWindow(members, &record.desc));
  if (*codec == CodecId::kRans16) ECQ_RETURN_IF_ERROR(ParseLowBits(members, &record.desc));
  ECQ_RETURN_IF_ERROR(*codec == CodecId::kRaw ? ParseRaw(members, &record)
                                              : ParseSpans(members, &record));
  record.desc.num_spans = static_cast<uint32_t>(record.spans.size());
  return record;
}

bool IsLowerHex(std::string_view text, size_t digits) {
  const auto hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  return text.size() == digits && std::all_of(text.begin(), text.end(), hex);
}

}  // namespace

Result<std::string> JsonString(std::string_view text) {
  // Invalid UTF-8 is dropped on the way out, which the way back shows.
  const std::string quoted =
      Json(text).dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::ignore);
  const Json back = Json::parse(quoted, nullptr, /*allow_exceptions=*/false);
  if (!back.is_string() || back.get_ref<const std::string&>() != text) {
    return Error{ErrorCode::kInvalidArgument, "expected UTF-8, got " + quoted};
  }
  return quoted;
}

std::string MatrixRecordText(const MatrixRecord& record) {
  const PackedDesc& d = record.desc;
  std::string text = fmt::format(
      R"({{"shape":[{},{}],"grid":{},"codec":"{}","lanes":{},"blocks_per_tile":{},)", d.rows,
      d.cols, Json(record.grid).dump(-1, ' ', false, Json::error_handler_t::ignore),
      GetCodec(d.codec).name, d.lanes, d.blocks_per_tile);
  if (d.codec == CodecId::kRaw) {
    text += fmt::format(R"("bits":{},"level_min":{},)", d.raw_bits, d.raw_level_min);
  } else {
    if (d.codec == CodecId::kWindow) {
      text += fmt::format(R"("window":{},)", d.has_memory ? kWindowBitsMemory : kWindowBitsPlain);
    }
    if (d.codec == CodecId::kRans16) text += fmt::format(R"("{}":{},)", kLowBits, d.low_bits);
    text += R"("spans":[)";
    for (const ColumnSpan& span : record.spans) {
      text +=
          fmt::format("{}[{},{}]", span.begin == 0 ? "" : ",", span.end - span.begin, span.table);
    }
    text += "],";
  }
  for (const ScaleName& row : kScaleNames) {
    if (row.kind == record.scale_kind) text += fmt::format(R"("scale":"{}",)", row.name);
  }
  if (record.scale_kind == ScaleKind::kGroup) {
    text += fmt::format(R"("group_size":{},)", d.group_size);
  }
  if (d.rotation != 0) text += fmt::format(R"("{}":{},)", kRotation, d.rotation);
  return text + fmt::format(R"("scale_exponent":{}}})", record.scale_exponent);
}

Result<std::string> SourceText(const EcqFileInfo& info) {
  ECQ_TRY(const std::string kind, JsonString(info.source_kind));
  std::string files;
  for (const EcqSourceFile& file : info.source_files) {
    if (!IsLowerHex(file.sha256, 64)) {
      return Error{ErrorCode::kInvalidArgument,
                   file.name + ": expected a SHA-256 of 64 hex digits, got " + file.sha256};
    }
    ECQ_TRY(const std::string name, JsonString(file.name));
    files += fmt::format(R"({}{{"name":{},"bytes":{},"sha256":"{}"}})", files.empty() ? "" : ",",
                         name, file.bytes, file.sha256);
  }
  return fmt::format(R"({{"kind":{},"files":[{}]}})", kind, files);
}

std::string HashText(uint64_t hash) { return fmt::format("{:016x}", hash); }

Result<MatrixRecords> ParseMatrixRecords(std::string_view text, const std::string& where) {
  ECQ_TRY(const Json json, ParseObject(text, where));
  MatrixRecords records;
  uint64_t num_spans = 0;
  for (const auto& item : json.items()) {
    const std::string place = where + ": matrix \"" + item.key() + "\"";
    if (!IsModelTensorName(item.key())) {
      return Error{ErrorCode::kBadLayout, place + ": the name is reserved"};
    }
    ECQ_TRY(MatrixRecord record, ParseRecord(item.value(), place));
    num_spans += record.spans.size();
    if (num_spans > kMaxSpans) {
      return Error{ErrorCode::kBadLayout,
                   fmt::format("{}: more than {} column spans in all", place, kMaxSpans)};
    }
    records.emplace_hint(records.end(), item.key(), std::move(record));
  }
  return records;
}

Status ParseSource(std::string_view text, const std::string& where, EcqFileInfo* info) {
  ECQ_TRY(const Json json, ParseObject(text, where));
  const Members members(json, where);
  ECQ_TRY(info->source_kind, members.String("kind"));
  ECQ_TRY(const Json* files, members.Array("files"));
  for (const Json& item : *files) {
    if (!item.is_object()) return BadHeader(where, "files: expected objects");
    const Members file(item, where + ": files");
    EcqSourceFile& out = info->source_files.emplace_back();
    ECQ_TRY(out.name, file.String("name"));
    ECQ_TRY(const int64_t bytes,
            file.Integer("bytes", 0, std::numeric_limits<int64_t>::max(), ErrorCode::kBadHeader));
    out.bytes = static_cast<uint64_t>(bytes);
    ECQ_TRY(out.sha256, file.String("sha256"));
    if (!IsLowerHex(out.sha256, 64)) {
      return BadHeader(where, "files: sha256: expected 64 lower-case hex digits");
    }
  }
  return OkStatus();
}

Result<TensorHashes> ParseHashes(std::string_view text, const std::string& where) {
  ECQ_TRY(const Json json, ParseObject(text, where));
  TensorHashes hashes;
  for (const auto& item : json.items()) {
    const std::string* value = item.value().get_ptr<const std::string*>();
    if (value == nullptr || !IsLowerHex(*value, 16)) {
      return BadHeader(where, "\"" + item.key() + "\": expected 16 lower-case hex digits");
    }
    hashes.emplace_hint(hashes.end(), item.key(), std::stoull(*value, nullptr, 16));
  }
  return hashes;
}

}  // namespace ecq
