// ecq inspect: what is in a file.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "app/commands.h"
#include "app/json_text.h"
#include "app/opened_model.h"
#include "app/shard_report.h"
#include "app/units.h"
#include "ecq/codec/codec.h"

namespace ecq {
namespace {

std::string_view ScaleName(const PackedTensor& t) {
  switch (t.scale_kind) {
    case ScaleKind::kTensor:
      return "tensor";
    case ScaleKind::kRow:
      return "row";
    case ScaleKind::kGroup:
      return "group";
  }
  return "?";
}

nlohmann::ordered_json DescribeMatrix(const std::string& name, const PackedTensor& t) {
  nlohmann::ordered_json json;
  json["name"] = name;
  json["shape"] = {t.desc.rows, t.desc.cols};
  json["grid"] = t.grid;
  json["codec"] = GetCodec(t.desc.codec).name;
  if (t.desc.codec == CodecId::kWindow) {
    json["window"] = t.desc.has_memory ? 12 : 8;
    for (size_t s = 0; s < t.spans.size(); ++s) {
      const WindowTable& table = t.windows[s];
      json["rates"].push_back({{"columns", t.spans[s].end - t.spans[s].begin},
                               {"bits", (table.code_bits + table.raw_bits) / double{kTupleCols}}});
    }
  }
  if (t.desc.rotation != 0) json["rotation"] = t.desc.rotation;
  json["scale"] = ScaleName(t);
  json["lanes"] = t.desc.lanes;
  json["blocks_per_tile"] = t.desc.blocks_per_tile;
  json["tiles"] = t.desc.num_tiles;
  json["payload_bytes"] = t.payload.size();
  json["side_bytes"] = t.total_bytes() - t.payload.size();
  json["fixes"] = t.fixes.size();
  json["bits_per_weight"] =
      8.0 * static_cast<double>(t.total_bytes()) / static_cast<double>(t.num_weights());
  return json;
}

Result<nlohmann::ordered_json> Describe(const OpenedModel& model) {
  nlohmann::ordered_json json;
  json["file"] = model.path();
  json["kind"] = model.source().kind();
  json["file_bytes"] = model.file_bytes();
  json["bits_per_weight"] = model.bits_per_weight();
  if (const EcqFile* const ecq = model.ecq(); ecq != nullptr) {
    json["producer"] = ecq->info().producer;
    json["source"]["kind"] = ecq->info().source_kind;
    for (const EcqSourceFile& file : ecq->info().source_files) {
      json["source"]["files"].push_back(
          {{"name", file.name}, {"bytes", file.bytes}, {"sha256", file.sha256}});
    }
    json["header_bytes"] = ecq->header_bytes();
    json["table_bytes"] = ecq->table_bytes();
    for (const std::string& name : ecq->matrices()) {
      ECQ_TRY(const PackedTensor tensor, ecq->matrix(name));
      json["matrices"].push_back(DescribeMatrix(name, tensor));
    }
  }
  for (const SourceTensor& tensor : model.source().tensors()) {
    if (model.coded() && model.ecq()->matrix(tensor.name).ok()) continue;
    json["tensors"].push_back({{"name", tensor.name},
                               {"shape", tensor.shape},
                               {"type", tensor.source_type},
                               {"bytes", tensor.source_bytes}});
  }
  for (const SideFile& file : model.source().side_files()) {
    json["files"].push_back({{"name", file.name}, {"bytes", file.contents.size()}});
  }
  return json;
}

std::string Text(const nlohmann::ordered_json& json) { return Printable(json.get<std::string>()); }

// "  3.5 x 64, 3 x 512": bits a weight and columns of the spans of a window code, or nothing.
std::string RatesText(const nlohmann::ordered_json& matrix) {
  std::string text;
  for (const auto& rate : matrix.value("rates", nlohmann::ordered_json::array())) {
    text += fmt::format("{}{:g} x {}", text.empty() ? "  " : ", ", rate["bits"].get<double>(),
                        rate["columns"].get<uint64_t>());
  }
  return text;
}

void PrintText(const nlohmann::ordered_json& json) {
  fmt::print("{}: {}, {}, {:.3f} bits per weight\n", Text(json["file"]), Text(json["kind"]),
             FormatBytes(json["file_bytes"].get<uint64_t>()),
             json["bits_per_weight"].get<double>());
  if (json.contains("producer")) {
    fmt::print("made by {} from {}\n", Text(json["producer"]), Text(json["source"]["kind"]));
    for (const auto& file : json["source"].value("files", nlohmann::ordered_json::array())) {
      fmt::print("  {} ({}), SHA-256 {}\n", Text(file["name"]),
                 FormatBytes(file["bytes"].get<uint64_t>()), Text(file["sha256"]));
    }
  }
  if (json.contains("matrices")) {
    fmt::print("{:<48} {:>16} {:>10} {:>6} {:>7} {:>6} {:>6} {:>8}  {}\n", "matrix", "shape",
               "grid", "codec", "scale", "tiles", "fixes", "bpw", "window code: bits x columns");
    for (const auto& m : json["matrices"]) {
      const std::string shape =
          fmt::format("{} x {}", m["shape"][0].get<uint64_t>(), m["shape"][1].get<uint64_t>());
      fmt::print("{:<48} {:>16} {:>10} {:>6} {:>7} {:>6} {:>6} {:>8.3f}{}\n", Text(m["name"]),
                 shape, Text(m["grid"]), Text(m["codec"]), Text(m["scale"]),
                 m["tiles"].get<uint64_t>(), m["fixes"].get<uint64_t>(),
                 m["bits_per_weight"].get<double>(), RatesText(m));
    }
  }
  for (const auto& t : json.value("tensors", nlohmann::ordered_json::array())) {
    fmt::print("{:<48} {:>16} {:>10} {:>12}\n", Text(t["name"]), t["shape"].dump(), Text(t["type"]),
               FormatBytes(t["bytes"].get<uint64_t>()));
  }
  for (const auto& file : json.value("files", nlohmann::ordered_json::array())) {
    fmt::print("file {:<43} {:>12}\n", Text(file["name"]),
               FormatBytes(file["bytes"].get<uint64_t>()));
  }
}

nlohmann::ordered_json ShardJson(const OpenedModel& model, const ShardReport& report) {
  nlohmann::ordered_json json;
  json["file"] = model.path();
  json["ranks"] = report.ranks;
  json["even"] = report.Obstacle().empty();
  json["even_ranks"] = report.even_ranks;
  for (const ShardedType& type : report.types) {
    json["matrices"].push_back({{"type", type.type},
                                {"number", type.number},
                                {"shape", {type.rows, type.cols}},
                                {"cut", type.by_columns ? "columns" : "rows"},
                                {"per_rank", type.per_rank},
                                {"obstacle", type.obstacle},
                                {"recode", type.recode}});
  }
  return json;
}

void PrintShards(const OpenedModel& model, const ShardReport& report) {
  fmt::print("{:<14} {:>6} {:>16} {:<8} {:>8}\n", "matrices", "number", "shape", "cut by",
             "per rank");
  for (const ShardedType& type : report.types) {
    const std::string note = !type.obstacle.empty() ? "  uneven: " + type.obstacle
                             : !type.recode.empty() ? "  recode: " + type.recode
                             : report.coded         ? "  parts of the file"
                                                    : "";
    fmt::print("{:<14} {:>6} {:>16} {:<8} {:>8}{}\n", Printable(type.type), type.number,
               fmt::format("{} x {}", type.rows, type.cols), type.by_columns ? "columns" : "rows",
               type.obstacle.empty() ? std::to_string(type.per_rank) : "-", note);
  }
  fmt::print("{} over {} rank{}: {}; equal shares for {} ranks\n", Printable(model.path()),
             report.ranks, report.ranks == 1 ? "" : "s",
             report.Obstacle().empty() ? "even" : "uneven", fmt::join(report.even_ranks, ", "));
}

// Errors besides those of ReportShards(): kBadLayout if the shares are unequal.
Status InspectShards(const OpenedModel& model, const InspectArgs& args) {
  ECQ_TRY(const ShardReport report, ReportShards(model, args.ranks));
  if (args.json) {
    fmt::print("{}\n", JsonText(ShardJson(model, report)));
  } else {
    PrintShards(model, report);
  }
  const std::string obstacle = report.Obstacle();
  if (obstacle.empty()) return OkStatus();
  return Error{ErrorCode::kBadLayout,
               fmt::format("{}: does not shard evenly over {} ranks: {}; at most {} ranks work",
                           model.path(), args.ranks, obstacle, report.even_ranks.back())};
}

}  // namespace

Status RunInspect(const InspectArgs& args) {
  ECQ_TRY(const OpenedModel model, OpenedModel::Open(args.file));
  if (args.ranks > 0) return InspectShards(model, args);
  ECQ_TRY(const nlohmann::ordered_json json, Describe(model));
  if (args.json) {
    fmt::print("{}\n", JsonText(json));
  } else {
    PrintText(json);
  }
  return OkStatus();
}

}  // namespace ecq
