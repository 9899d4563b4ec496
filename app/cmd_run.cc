// ecq run: continues a prompt.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "app/commands.h"
#include "app/model_options.h"
#include "app/opened_model.h"
#include "app/speeds.h"
#include "ecq/runtime/generate.h"
#include "ecq/runtime/sampler.h"

namespace ecq {

Status RunGenerate(const RunArgs& args) {
  ECQ_TRY(const ActivationMode activations, ParseActivationMode(args.activations));
  ECQ_TRY(const KvFormat kv, ParseKvFormat(args.kv));
  ECQ_TRY(Sampler sampler, Sampler::Create({args.temperature, args.top_k, args.top_p, args.seed}));
  ECQ_TRY(const OpenedModel opened, OpenedModel::Open(args.model));
  ECQ_RETURN_IF_ERROR(opened.LoadConfig());  // says what an encoder cannot, before its tokenizer
  ECQ_TRY(const auto tokenizer, opened.LoadTokenizer());
  ECQ_TRY(const Model model, opened.LoadModel());

  std::vector<uint32_t> prompt;
  if (tokenizer->add_bos()) prompt.push_back(*tokenizer->bos_id());
  const std::vector<uint32_t> text_ids = tokenizer->Encode(args.prompt, /*parse_special=*/true);
  prompt.insert(prompt.end(), text_ids.begin(), text_ids.end());
  if (prompt.empty()) {
    return Error{ErrorCode::kInvalidArgument, "the prompt is empty; give some text with -p"};
  }

  ThreadPool pool(args.threads > 0 ? args.threads : DefaultThreadCount());
  const size_t needed = prompt.size() + args.max_tokens;
  const size_t limit = model.config().max_positions;
  const size_t context = args.context > 0 ? args.context : std::min(needed, limit);
  if (prompt.size() > context) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("the prompt has {} tokens, the context {}; shorten the prompt{}",
                             prompt.size(), context, context < limit ? " or raise --ctx" : "")};
  }
  ECQ_TRY(Session session, model.NewSession(pool, {context, activations, kv}));

  GenerateOptions options;
  options.max_tokens = args.max_tokens;
  options.end_tokens = tokenizer->eos_ids();
  const auto print = [](const std::string& text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  };
  print(args.prompt);
  bool is_first = args.prompt.empty();
  const auto print_token = [&](uint32_t id) {
    print(tokenizer->DecodePiece(id, std::exchange(is_first, false)));
    return std::ferror(stdout) == 0;
  };
  ECQ_TRY(const GenerateStats stats,
          Generate(model, session, prompt, options, sampler, print_token));
  print("\n");
  if (args.verbose) {
    fmt::print(stderr, "{}\n", SpeedLine(stats, model, pool.num_threads()));
  }
  return OkStatus();
}

}  // namespace ecq
