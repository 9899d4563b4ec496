// The C interface: models, text and sessions.
#include <fmt/format.h>

#include <limits>
#include <optional>
#include <span>
#include <utility>

#include "ecq/c/ecq.h"
#include "ecq/c/handles.h"
#include "ecq/model/config.h"
#include "ecq/model/ecq_weights.h"
#include "ecq/runtime/generate.h"
#include "ecq/runtime/sampler.h"

namespace ecq::c {
namespace {

static_assert(static_cast<int>(StopReason::kMaxTokens) == ECQ_STOP_MAX_TOKENS &&
              static_cast<int>(StopReason::kEndToken) == ECQ_STOP_END_TOKEN &&
              static_cast<int>(StopReason::kContextFull) == ECQ_STOP_CONTEXT_FULL &&
              static_cast<int>(StopReason::kCallback) == ECQ_STOP_CALLBACK);

std::string_view AsText(std::span<const uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

template <typename T>
Result<T> InFile(const std::string& path, Result<T> result) {
  if (result.ok()) return result;
  return Error{result.error().code, path + ": " + result.error().message};
}

Result<std::shared_ptr<const LoadedModel>> Load(const ecq_file& handle) {
  const EcqFile& file = handle.file;
  std::vector<NamedFile> side_files;
  for (const std::string& name : file.side_files()) {
    ECQ_TRY(const auto contents, file.side_file(name));
    side_files.push_back({name, AsText(contents)});
  }
  ECQ_TRY(const auto config_bytes, file.side_file("config.json"));
  ECQ_TRY(const ModelConfig config, InFile(handle.path, ParseModelConfig(AsText(config_bytes))));
  EcqWeights weights(file);
  ECQ_TRY(Model model, InFile(handle.path, Model::Load(config, weights)));
  auto tokenizer = InFile(handle.path, LoadTokenizer(side_files));
  std::vector<uint32_t> end_tokens = tokenizer.ok() ? (*tokenizer)->eos_ids() : config.eos_ids;
  return std::shared_ptr<const LoadedModel>(std::make_shared<LoadedModel>(
      LoadedModel{std::move(model), std::move(tokenizer), std::move(end_tokens)}));
}

// The tokenizer, or why there is none. The result points into `model`.
Result<const Tokenizer*> TokenizerOf(const ecq_model& model) {
  const auto& tokenizer = model.loaded->tokenizer;
  if (!tokenizer.ok()) return tokenizer.error();
  return static_cast<const Tokenizer*>(tokenizer->get());
}

// Errors: kInvalidArgument.
Result<KvFormat> ParseKv(ecq_kv kv) {
  switch (kv) {
    case ECQ_KV_F32:
      return KvFormat::kF32;
    case ECQ_KV_F16:
      return KvFormat::kF16;
    case ECQ_KV_Q8:
      return KvFormat::kI8;
    default:
      return Error{ErrorCode::kInvalidArgument,
                   fmt::format("the numbers of the cache are {}, expected an ECQ_KV_ value", kv)};
  }
}

// Sets *size to `items`' and copies them, unless `out` is null.
// Errors: kInvalidArgument if they do not fit.
template <typename T>
Status CopyOut(std::span<const T> items, T* out, size_t capacity, size_t* size) {
  *size = items.size();
  if (out == nullptr) return OkStatus();
  if (capacity < items.size()) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("capacity is {}, expected {} or more", capacity, items.size())};
  }
  std::copy(items.begin(), items.end(), out);
  return OkStatus();
}

// Takes a session and its pool for one call, and takes back what the call appended to the session
// unless Keep() is called.
class SessionCall {
 public:
  explicit SessionCall(ecq_session& handle)
      : use_session_(handle.in_use), use_pool_(handle.pool->in_use), session_(handle.session) {
    if (status().ok()) length_ = session_.length();
  }
  ~SessionCall() {
    if (length_) session_.Truncate(*length_);
  }

  Status status() const {
    ECQ_RETURN_IF_ERROR(use_session_.status("session"));
    return use_pool_.status("pool");
  }
  void Keep() { length_.reset(); }

 private:
  Use use_session_;
  Use use_pool_;
  Session& session_;
  std::optional<size_t> length_;  // to go back to
};

Status Forward(ecq_session& handle, std::span<const uint32_t> tokens, size_t num_logits,
               float* logits) {
  const Model& model = handle.loaded->model;
  Session& session = handle.session;
  const size_t hidden_size = model.config().hidden_size;
  const size_t vocab_size = model.config().vocab_size;
  const size_t first_logits = tokens.size() - num_logits;  // index of a token
  const size_t block = std::min(tokens.size(), Session::kMaxBlockTokens);
  std::vector<float> hidden(block * hidden_size);
  for (size_t done = 0; done < tokens.size(); done += block) {
    const size_t t = std::min(block, tokens.size() - done);
    ECQ_RETURN_IF_ERROR(model.Forward(session, tokens.subspan(done, t), hidden.data()));
    if (done + t <= first_logits) continue;
    const size_t skip = first_logits > done ? first_logits - done : 0;
    ECQ_RETURN_IF_ERROR(model.Logits(session, t - skip, hidden.data() + skip * hidden_size,
                                     logits + (done + skip - first_logits) * vocab_size));
  }
  return OkStatus();
}

// Errors: kInvalidArgument, so that a long input fails before anything is computed.
Status CheckFits(const Session& session, size_t num_tokens) {
  if (num_tokens == 0) return Error{ErrorCode::kInvalidArgument, "there are no tokens"};
  const size_t left = session.max_context() - session.length();
  if (num_tokens <= left) return OkStatus();
  return Error{ErrorCode::kInvalidArgument,
               fmt::format("{} tokens do not fit the {} positions left of {}", num_tokens, left,
                           session.max_context())};
}

Result<StopReason> Continue(ecq_session& handle, std::span<const uint32_t> prompt,
                            size_t max_tokens, ecq_token_callback callback, void* user_data) {
  const LoadedModel& loaded = *handle.loaded;
  const Tokenizer* tokenizer = loaded.tokenizer.ok() ? loaded.tokenizer->get() : nullptr;
  bool is_first = tokenizer != nullptr && tokenizer->bos_id() == prompt.back();
  const auto report = [&](uint32_t token) {
    const std::string text =
        tokenizer == nullptr ? "" : tokenizer->DecodePiece(token, std::exchange(is_first, false));
    return callback(token, text.data(), text.size(), user_data) == 0;
  };
  ECQ_TRY(Sampler sampler, Sampler::Create({}));
  ECQ_TRY(const GenerateStats stats, Generate(loaded.model, handle.session, prompt,
                                              {max_tokens, loaded.end_tokens}, sampler, report));
  return stats.stop_reason;
}

}  // namespace
}  // namespace ecq::c

using ecq::Error;
using ecq::ErrorCode;
using ecq::OkStatus;
using ecq::Status;
using ecq::c::Call;
using ecq::c::NotNull;

ecq_status ecq_model_load(const ecq_file* file, ecq_model** model) {
  if (model != nullptr) *model = nullptr;
  return Call(__func__, [&]() -> Status {
    ECQ_RETURN_IF_ERROR(NotNull(file, "file"));
    ECQ_RETURN_IF_ERROR(NotNull(model, "model"));
    ECQ_TRY(auto loaded, ecq::c::Load(*file));
    *model = new ecq_model{std::move(loaded)};
    return OkStatus();
  });
}

void ecq_model_free(ecq_model* model) { delete model; }

ecq_status ecq_model_get_info(const ecq_model* model, ecq_model_info* info) {
  return Call(__func__, [&]() -> Status {
    ECQ_RETURN_IF_ERROR(NotNull(model, "model"));
    const ecq::ModelConfig& config = model->loaded->model.config();
    ecq_model_info filled{};
    filled.architecture = config.architecture.c_str();
    filled.num_layers = config.num_layers;
    filled.hidden_size = config.hidden_size;
    filled.vocab_size = config.vocab_size;
    filled.max_context = config.max_positions;
    filled.resident_bytes = model->loaded->model.resident_bytes();
    return ecq::c::FillInfo(filled, info);
  });
}

ecq_status ecq_model_tokenize(const ecq_model* model, const char* text, size_t text_size,
                              uint32_t flags, uint32_t* ids, size_t capacity, size_t* num_ids) {
  return Call(__func__, [&]() -> Status {
    ECQ_RETURN_IF_ERROR(NotNull(model, "model"));
    ECQ_RETURN_IF_ERROR(NotNull(num_ids, "num_ids"));
    *num_ids = 0;
    ECQ_RETURN_IF_ERROR(ecq::c::CheckBuffer(text, text_size, "text", text_size, 1));
    if (text_size > std::numeric_limits<uint32_t>::max()) {
      return Error{ErrorCode::kInvalidArgument,
                   fmt::format("text_size is {}, at most 2^32 - 1 are possible", text_size)};
    }
    if ((flags & ~uint32_t{ECQ_TEXT_BOS | ECQ_TEXT_SPECIAL}) != 0) {
      return Error{ErrorCode::kInvalidArgument,
                   fmt::format("flags are {}, expected a sum of ECQ_TEXT_ values", flags)};
    }
    ECQ_TRY(const ecq::Tokenizer* tokenizer, ecq::c::TokenizerOf(*model));
    std::vector<uint32_t> result =
        tokenizer->Encode(text_size > 0 ? std::string_view(text, text_size) : std::string_view(),
                          (flags & ECQ_TEXT_SPECIAL) != 0);
    if ((flags & ECQ_TEXT_BOS) != 0 && tokenizer->add_bos()) {
      result.insert(result.begin(), *tokenizer->bos_id());
    }
    return ecq::c::CopyOut<uint32_t>(result, ids, capacity, num_ids);
  });
}

ecq_status ecq_model_detokenize(const ecq_model* model, const uint32_t* ids, size_t num_ids,
                                int continues, char* text, size_t capacity, size_t* text_size) {
  return Call(__func__, [&]() -> Status {
    ECQ_RETURN_IF_ERROR(NotNull(model, "model"));
    ECQ_RETURN_IF_ERROR(NotNull(text_size, "text_size"));
    *text_size = 0;
    ECQ_RETURN_IF_ERROR(ecq::c::CheckBuffer(ids, num_ids, "ids", num_ids, 1));
    ECQ_TRY(const ecq::Tokenizer* tokenizer, ecq::c::TokenizerOf(*model));
    std::span<const uint32_t> rest(ids, num_ids);
    std::string result;
    if (continues != 0 && !rest.empty()) {
      result = tokenizer->DecodePiece(rest.front(), /*is_first=*/false);
      rest = rest.subspan(1);
      for (const uint32_t id : rest) result += tokenizer->DecodePiece(id, /*is_first=*/false);
    } else {
      result = tokenizer->Decode(rest);
    }
    return ecq::c::CopyOut<char>(result, text, capacity, text_size);
  });
}

int ecq_model_is_end_token(const ecq_model* model, uint32_t token) {
  if (model == nullptr) return 0;
  const std::vector<uint32_t>& ends = model->loaded->end_tokens;
  return std::find(ends.begin(), ends.end(), token) != ends.end() ? 1 : 0;
}

ecq_status ecq_session_create(const ecq_model* model, ecq_pool* pool, size_t max_context,
                              ecq_activations activations, ecq_session** session) {
  return ecq_session_create_with_kv(model, pool, max_context, activations, ECQ_KV_F32, session);
}

ecq_status ecq_session_create_with_kv(const ecq_model* model, ecq_pool* pool, size_t max_context,
                                      ecq_activations activations, ecq_kv kv,
                                      ecq_session** session) {
  if (session != nullptr) *session = nullptr;
  return Call(__func__, [&]() -> Status {
    ECQ_RETURN_IF_ERROR(NotNull(model, "model"));
    ECQ_RETURN_IF_ERROR(NotNull(pool, "pool"));
    ECQ_RETURN_IF_ERROR(NotNull(session, "session"));
    ECQ_TRY(const ecq::ActivationMode mode, ecq::c::ParseActivations(activations));
    ECQ_TRY(const ecq::KvFormat format, ecq::c::ParseKv(kv));
    const ecq::Model& m = model->loaded->model;
    const size_t context = max_context > 0 ? max_context : m.config().max_positions;
    ECQ_TRY(ecq::Session made, m.NewSession(pool->pool->threads, {context, mode, format}));
    *session = new ecq_session{pool->pool, model->loaded, std::move(made)};
    return OkStatus();
  });
}

void ecq_session_free(ecq_session* session) { delete session; }

size_t ecq_session_length(const ecq_session* session) {
  return session == nullptr ? 0 : session->session.length();
}

size_t ecq_session_max_context(const ecq_session* session) {
  return session == nullptr ? 0 : session->session.max_context();
}

ecq_status ecq_session_truncate(ecq_session* session, size_t length) {
  return Call(__func__, [&]() -> Status {
    ECQ_RETURN_IF_ERROR(NotNull(session, "session"));
    const ecq::c::Use use(session->in_use);
    ECQ_RETURN_IF_ERROR(use.status("session"));
    if (length > session->session.length()) {
      return Error{ErrorCode::kInvalidArgument, fmt::format("length is {}, the session has {}",
                                                            length, session->session.length())};
    }
    session->session.Truncate(length);
    return OkStatus();
  });
}

ecq_status ecq_session_forward(ecq_session* session, const uint32_t* tokens, size_t num_tokens,
                               size_t num_logits, float* logits, size_t logits_len) {
  return Call(__func__, [&]() -> Status {
    ECQ_RETURN_IF_ERROR(NotNull(session, "session"));
    ECQ_RETURN_IF_ERROR(ecq::c::CheckBuffer(tokens, num_tokens, "tokens", num_tokens, 1));
    if (num_logits > num_tokens) {
      return Error{ErrorCode::kInvalidArgument,
                   fmt::format("num_logits is {}, there are {} tokens", num_logits, num_tokens)};
    }
    const uint64_t vocab_size = session->loaded->model.config().vocab_size;
    ECQ_RETURN_IF_ERROR(ecq::c::CheckBuffer(logits, logits_len, "logits", num_logits, vocab_size));
    ecq::c::SessionCall call(*session);
    ECQ_RETURN_IF_ERROR(call.status());
    ECQ_RETURN_IF_ERROR(ecq::c::CheckFits(session->session, num_tokens));
    ECQ_RETURN_IF_ERROR(ecq::c::Forward(*session, {tokens, num_tokens}, num_logits, logits));
    call.Keep();
    return OkStatus();
  });
}

ecq_status ecq_session_generate(ecq_session* session, const uint32_t* prompt, size_t num_prompt,
                                size_t max_tokens, ecq_token_callback callback, void* user_data,
                                ecq_stop_reason* stop_reason) {
  return Call(__func__, [&]() -> Status {
    ECQ_RETURN_IF_ERROR(NotNull(session, "session"));
    ECQ_RETURN_IF_ERROR(ecq::c::CheckBuffer(prompt, num_prompt, "prompt", num_prompt, 1));
    ECQ_RETURN_IF_ERROR(NotNull(reinterpret_cast<const void*>(callback), "callback"));
    ecq::c::SessionCall call(*session);
    ECQ_RETURN_IF_ERROR(call.status());
    ECQ_RETURN_IF_ERROR(ecq::c::CheckFits(session->session, num_prompt));
    ECQ_TRY(const ecq::StopReason reason,
            ecq::c::Continue(*session, {prompt, num_prompt}, max_tokens, callback, user_data));
    if (stop_reason != nullptr) *stop_reason = static_cast<ecq_stop_reason>(reason);
    call.Keep();
    return OkStatus();
  });
}
