// ecq eval: perplexity of a model on a text, and its distance from another model.
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "app/commands.h"
#include "app/json_text.h"
#include "app/model_options.h"
#include "app/opened_model.h"
#include "app/progress.h"
#include "app/units.h"
#include "ecq/base/bytes.h"
#include "ecq/base/mapped_file.h"
#include "ecq/runtime/evaluate.h"

namespace ecq {
namespace {

// A file of little-endian u16 ids; every document starts with the begin token and is one window,
// cut at the context.
Result<EvaluationSet> ReadDocuments(const EvalArgs& args, uint32_t bos, size_t context) {
  ECQ_TRY(const MappedFile file, MappedFile::Open(args.tokens));
  EvaluationSet set;
  for (size_t i = 0; i + 2 <= file.bytes().size(); i += 2) {
    const uint32_t id = LoadLe<uint16_t>(file.bytes().data() + i);
    if (id == bos) {
      if (args.documents > 0 && set.windows.size() == args.documents) break;
      set.windows.emplace_back();
    }
    if (set.windows.empty()) {
      return Error{
          ErrorCode::kInvalidArgument,
          fmt::format("{}: expected the begin token {} first, got {}", args.tokens, bos, id)};
    }
    if (set.windows.back().size() < context) set.windows.back().push_back(id);
  }
  if (set.windows.empty()) {
    return Error{ErrorCode::kInvalidArgument, args.tokens + ": there are no tokens in it"};
  }
  return set;
}

Result<EvaluationSet> ReadText(const EvalArgs& args, const Tokenizer& tokenizer, size_t context) {
  ECQ_TRY(const MappedFile file, MappedFile::Open(args.text));
  std::string_view text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  const bool llama = args.protocol == "llama";
  if (!llama && args.protocol != "full") {
    return Error{ErrorCode::kInvalidArgument,
                 "protocol '" + args.protocol + "': expected full or llama"};
  }
  // llama-perplexity drops one final newline.
  if (llama && !text.empty() && text.back() == '\n') text.remove_suffix(1);
  const std::vector<uint32_t> ids = tokenizer.Encode(text, /*parse_special=*/false);
  std::span<const uint32_t> used(ids);
  if (args.max_tokens > 0 && args.max_tokens < used.size()) used = used.first(args.max_tokens);
  const std::optional<uint32_t> bos = tokenizer.add_bos() ? tokenizer.bos_id() : std::nullopt;
  return SplitIntoWindows(used, context, bos,
                          llama ? WindowProtocol::kLlamaPerplexity : WindowProtocol::kFull);
}

void PrintJson(const OpenedModel& opened, const EvaluationResult& result) {
  nlohmann::ordered_json json;
  json["perplexity"] = result.perplexity.mean;
  json["perplexity_stderr"] = result.perplexity.standard_error;
  json["tokens"] = result.tokens;
  json["kl"] = result.kl ? nlohmann::json(result.kl->mean) : nlohmann::json();
  json["kl_stderr"] = result.kl ? nlohmann::json(result.kl->standard_error) : nlohmann::json();
  json["top1"] = result.top1 ? nlohmann::json(result.top1->mean) : nlohmann::json();
  json["bits_per_weight"] = opened.bits_per_weight();
  json["file_bytes"] = opened.file_bytes();
  fmt::print("{}\n", JsonText(json));
}

void PrintText(const OpenedModel& opened, const EvaluationResult& result) {
  fmt::print("perplexity {:.4f} ± {:.4f} over {} tokens\n", result.perplexity.mean,
             result.perplexity.standard_error, result.tokens);
  if (result.kl) {
    fmt::print("KL to the base {:.5f} ± {:.5f} nats per token, same top token {:.2f} ± {:.2f} %\n",
               result.kl->mean, result.kl->standard_error, 100 * result.top1->mean,
               100 * result.top1->standard_error);
  }
  fmt::print("{:.3f} bits per weight, {} on disk\n", opened.bits_per_weight(),
             FormatBytes(opened.file_bytes()));
}

}  // namespace

Status RunEval(const EvalArgs& args) {
  ECQ_TRY(const ActivationMode activations, ParseActivationMode(args.activations));
  ECQ_TRY(const KvFormat kv, ParseKvFormat(args.kv));
  ECQ_TRY(const OpenedModel opened, OpenedModel::Open(args.model));
  ECQ_TRY(const Model model, opened.LoadModel());
  const size_t context = std::min<size_t>(args.context, model.config().max_positions);

  EvaluationSet set;
  if (!args.tokens.empty()) {
    const uint32_t bos = model.config().bos_id.value_or(1);
    ECQ_TRY(set, ReadDocuments(args, bos, context));
  } else {
    ECQ_TRY(const auto tokenizer, opened.LoadTokenizer());
    ECQ_TRY(set, ReadText(args, *tokenizer, context));
  }

  EvaluateOptions options;
  options.activations = activations;
  options.kv = kv;
  std::optional<OpenedModel> base_opened;
  std::optional<Model> base;
  if (!args.base.empty()) {
    ECQ_TRY(OpenedModel other, OpenedModel::Open(args.base));
    base_opened.emplace(std::move(other));
    ECQ_TRY(Model loaded, base_opened->LoadModel());
    base.emplace(std::move(loaded));
    options.base = &*base;
  }
  ThreadPool pool(args.threads > 0 ? args.threads : DefaultThreadCount());
  Progress progress("Evaluating", "windows");
  options.progress = [&](size_t done, size_t all) { progress.Update(done, all); };
  ECQ_TRY(const EvaluationResult result, Evaluate(model, pool, set, options));
  if (args.json) {
    PrintJson(opened, result);
  } else {
    PrintText(opened, result);
  }
  return OkStatus();
}

}  // namespace ecq
