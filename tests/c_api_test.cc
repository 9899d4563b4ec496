// The C interface as a caller sees it: libecq.so alone, on a coded stories260K.
#include <ecq.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

constexpr char kEmbedding[] = "model.embed_tokens.weight";
constexpr char kPrompt[] = "Once upon a time";
constexpr char kContinuation[] = ", there was a little girl named Lily. She loved to play outside";

#define ASSERT_ECQ_OK(call) ASSERT_EQ(call, ECQ_OK) << ecq_error_message()
#define EXPECT_REFUSED(call)             \
  EXPECT_EQ(call, ECQ_INVALID_ARGUMENT); \
  EXPECT_NE(std::string(ecq_error_message()), "")

// A file, a pool of two threads, a model and a session.
class CApi : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_ECQ_OK(ecq_file_open(ECQ_TEST_FILE, &file_));
    ASSERT_ECQ_OK(ecq_pool_create(2, &pool_));
    ASSERT_ECQ_OK(ecq_model_load(file_, &model_));
    ASSERT_ECQ_OK(ecq_session_create(model_, pool_, 0, ECQ_ACTIVATIONS_F32, &session_));
  }

  void TearDown() override {
    ecq_session_free(session_);
    ecq_model_free(model_);
    ecq_pool_free(pool_);
    ecq_file_free(file_);
  }

  std::vector<uint32_t> Tokenize(const std::string& text, uint32_t flags) const {
    size_t n = 0;
    EXPECT_EQ(ecq_model_tokenize(model_, text.data(), text.size(), flags, nullptr, 0, &n), ECQ_OK);
    std::vector<uint32_t> ids(n);
    EXPECT_EQ(ecq_model_tokenize(model_, text.data(), text.size(), flags, ids.data(), n, &n),
              ECQ_OK);
    return ids;
  }

  std::string Detokenize(const std::vector<uint32_t>& ids, int continues) const {
    size_t n = 0;
    EXPECT_EQ(ecq_model_detokenize(model_, ids.data(), ids.size(), continues, nullptr, 0, &n),
              ECQ_OK);
    std::string text(n, '\0');
    EXPECT_EQ(ecq_model_detokenize(model_, ids.data(), ids.size(), continues, text.data(), n, &n),
              ECQ_OK);
    return text;
  }

  uint32_t vocab_size() const {
    ecq_model_info info{};
    info.struct_size = sizeof info;
    EXPECT_EQ(ecq_model_get_info(model_, &info), ECQ_OK);
    return info.vocab_size;
  }

  ecq_file* file_ = nullptr;
  ecq_pool* pool_ = nullptr;
  ecq_model* model_ = nullptr;
  ecq_session* session_ = nullptr;
};

struct Heard {
  std::vector<uint32_t> tokens;
  std::string text;
  size_t stop_after = SIZE_MAX;
};

int Listen(uint32_t token, const char* text, size_t size, void* user_data) {
  auto* heard = static_cast<Heard*>(user_data);
  heard->tokens.push_back(token);
  heard->text.append(text, size);
  return heard->tokens.size() >= heard->stop_after;
}

TEST(CApiVersion, IsThatOfTheHeader) {
  EXPECT_EQ(ecq_api_version(), ECQ_API_VERSION);
  EXPECT_EQ(std::string(ecq_version()), ECQ_VERSION);
  EXPECT_STREQ(ecq_status_name(ECQ_OK), "ok");
  EXPECT_STREQ(ecq_status_name(ECQ_NOT_FOUND), "not found");
  EXPECT_NE(ecq_status_name(12345), nullptr);
}

TEST(CApiErrors, BelongToTheirThread) {
  ecq_file* file = reinterpret_cast<ecq_file*>(1);
  EXPECT_EQ(ecq_file_open("no/such/file.ecq", &file), ECQ_NOT_FOUND);
  EXPECT_EQ(file, nullptr);
  const std::string here = ecq_error_message();
  EXPECT_NE(here.find("no/such/file.ecq"), std::string::npos) << here;
  std::string there = "?";
  std::thread([&] { there = ecq_error_message(); }).join();
  EXPECT_EQ(there, "");
  EXPECT_EQ(ecq_error_message(), here);
}

TEST(CApiErrors, LongMessagesAreCut) {
  ecq_file* file = nullptr;
  EXPECT_NE(ecq_file_open(std::string(5000, 'x').c_str(), &file), ECQ_OK);
  EXPECT_EQ(std::strlen(ecq_error_message()), 1023u);
}

TEST(CApiErrors, NullAndForeignFilesAreRefused) {
  ecq_file* file = nullptr;
  ecq_pool* pool = nullptr;
  ecq_model* model = nullptr;
  ecq_matrix* matrix = nullptr;
  ecq_session* session = nullptr;
  EXPECT_REFUSED(ecq_file_open(nullptr, &file));
  EXPECT_REFUSED(ecq_file_open(ECQ_TEST_FILE, nullptr));
  EXPECT_REFUSED(ecq_pool_create(1, nullptr));
  EXPECT_REFUSED(ecq_pool_create(SIZE_MAX, &pool));
  EXPECT_REFUSED(ecq_model_load(nullptr, &model));
  EXPECT_REFUSED(ecq_matrix_open(nullptr, "x", &matrix));
  EXPECT_REFUSED(ecq_session_create(nullptr, nullptr, 0, 0, &session));
  EXPECT_REFUSED(ecq_session_forward(nullptr, nullptr, 0, 0, nullptr, 0));
  EXPECT_REFUSED(ecq_session_generate(nullptr, nullptr, 0, 0, nullptr, nullptr, nullptr));
  EXPECT_REFUSED(ecq_session_truncate(nullptr, 0));
  EXPECT_REFUSED(ecq_file_verify(nullptr, nullptr));
  EXPECT_EQ(ecq_file_num_matrices(nullptr), 0u);
  EXPECT_EQ(ecq_file_side_file_name(nullptr, 0), nullptr);
  EXPECT_EQ(ecq_session_length(nullptr), 0u);
  EXPECT_EQ(ecq_model_is_end_token(nullptr, 2), 0);
  ecq_file_free(nullptr);
  ecq_pool_free(nullptr);
  ecq_model_free(nullptr);
  ecq_matrix_free(nullptr);
  ecq_session_free(nullptr);
  EXPECT_EQ(ecq_file_open(ECQ_SOURCE_DIR "/data/models/stories260K/stories260K.bin", &file),
            ECQ_BAD_MAGIC);
}

TEST_F(CApi, FileListsWhatIsInIt) {
  ASSERT_GT(ecq_file_num_matrices(file_), 0u);
  bool embedding_seen = false;
  for (size_t i = 0; i < ecq_file_num_matrices(file_); ++i) {
    ecq_matrix_info info{};
    info.struct_size = sizeof info;
    ASSERT_ECQ_OK(ecq_file_matrix_info(file_, i, &info));
    EXPECT_STREQ(info.grid, "ecq");
    EXPECT_STREQ(info.codec, "rans");
    EXPECT_GT(info.bits_per_weight, 1);
    EXPECT_LT(info.bits_per_weight, 12);
    if (std::string(info.name) != kEmbedding) continue;
    embedding_seen = true;
    EXPECT_EQ(info.rows, 512u);
    EXPECT_EQ(info.cols, 64u);
  }
  EXPECT_TRUE(embedding_seen);
  ecq_matrix_info info{};
  info.struct_size = sizeof info;
  EXPECT_EQ(ecq_file_matrix_info(file_, SIZE_MAX, &info), ECQ_NOT_FOUND);
  info.struct_size = sizeof info - 1;
  EXPECT_REFUSED(ecq_file_matrix_info(file_, 0, &info));
  EXPECT_REFUSED(ecq_file_matrix_info(file_, 0, nullptr));
  EXPECT_EQ(ecq_file_verify(file_, pool_), ECQ_OK);
}

TEST_F(CApi, PlainTensorsAndSideFiles) {
  ASSERT_GT(ecq_file_num_tensors(file_), 0u);
  ecq_tensor_info info{};
  info.struct_size = sizeof info;
  ASSERT_ECQ_OK(ecq_file_tensor_info(file_, 0, &info));
  ASSERT_EQ(info.rank, 1u);
  EXPECT_EQ(info.shape[0], 64u);
  EXPECT_EQ(info.num_elements, 64u);
  std::vector<float> values(64, NAN);
  ASSERT_ECQ_OK(ecq_file_read_tensor(file_, info.name, values.data(), values.size()));
  for (const float v : values) EXPECT_TRUE(std::isfinite(v));
  EXPECT_REFUSED(ecq_file_read_tensor(file_, info.name, values.data(), 63));
  EXPECT_REFUSED(ecq_file_read_tensor(file_, info.name, nullptr, 64));
  EXPECT_EQ(ecq_file_read_tensor(file_, "nothing", values.data(), 64), ECQ_NOT_FOUND);

  const uint8_t* bytes = nullptr;
  size_t size = 0;
  ASSERT_ECQ_OK(ecq_file_side_file(file_, "config.json", &bytes, &size));
  EXPECT_NE(std::string(bytes, bytes + size).find("LlamaForCausalLM"), std::string::npos);
  EXPECT_EQ(ecq_file_side_file(file_, "../config.json", &bytes, &size), ECQ_NOT_FOUND);
  size_t i = 0;
  while (ecq_file_side_file_name(file_, i) != nullptr) ++i;
  EXPECT_EQ(i, ecq_file_num_side_files(file_));
}

TEST_F(CApi, ProductsAreThoseOfTheRows) {
  ecq_matrix* matrix = nullptr;
  ASSERT_ECQ_OK(ecq_matrix_open(file_, kEmbedding, &matrix));
  constexpr size_t kRows = 512, kCols = 64, kBatch = 3;
  std::vector<uint32_t> ids(kRows);
  for (size_t r = 0; r < kRows; ++r) ids[r] = static_cast<uint32_t>(r);
  std::vector<float> w(kRows * kCols);
  ASSERT_ECQ_OK(ecq_matrix_get_rows(matrix, pool_, ids.data(), kRows, w.data(), w.size()));
  std::vector<float> x(kBatch * kCols);
  for (size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<float>(i));

  for (const size_t m : {size_t{1}, kBatch}) {
    std::vector<float> y(m * kRows, NAN);
    ASSERT_ECQ_OK(ecq_matrix_multiply(matrix, pool_, ECQ_ACTIVATIONS_F32, m, x.data(), m * kCols,
                                      y.data(), y.size()));
    for (size_t i = 0; i < m; ++i) {
      for (size_t r = 0; r < kRows; ++r) {
        double sum = 0;
        for (size_t k = 0; k < kCols; ++k) sum += double{x[i * kCols + k]} * w[r * kCols + k];
        ASSERT_NEAR(y[i * kRows + r], sum, 1e-4) << i << ' ' << r;
      }
    }
  }
  std::vector<float> y(kRows);
  const auto multiply = [&](ecq_activations mode, size_t m, const float* in, size_t in_len,
                            float* out, size_t out_len) {
    return ecq_matrix_multiply(matrix, pool_, mode, m, in, in_len, out, out_len);
  };
  EXPECT_EQ(multiply(ECQ_ACTIVATIONS_I8, 1, x.data(), kCols, y.data(), kRows), ECQ_OK);
  EXPECT_EQ(multiply(ECQ_ACTIVATIONS_F32, 0, nullptr, 0, nullptr, 0), ECQ_OK);
  EXPECT_REFUSED(multiply(7, 1, x.data(), kCols, y.data(), kRows));
  EXPECT_REFUSED(multiply(ECQ_ACTIVATIONS_F32, 1, x.data(), kCols - 1, y.data(), kRows));
  EXPECT_REFUSED(multiply(ECQ_ACTIVATIONS_F32, 1, x.data(), kCols, y.data(), kRows + 1));
  EXPECT_REFUSED(multiply(ECQ_ACTIVATIONS_F32, 1, nullptr, kCols, y.data(), kRows));
  EXPECT_REFUSED(multiply(ECQ_ACTIVATIONS_F32, size_t{1} << 60, x.data(), 0, y.data(), 0));
  const uint32_t beyond = kRows;
  EXPECT_REFUSED(ecq_matrix_get_rows(matrix, pool_, &beyond, 1, w.data(), kCols));
  EXPECT_REFUSED(ecq_matrix_get_rows(matrix, nullptr, ids.data(), 1, w.data(), kCols));
  EXPECT_EQ(ecq_matrix_get_rows(matrix, pool_, nullptr, 0, nullptr, 0), ECQ_OK);
  ecq_matrix_free(matrix);
  EXPECT_EQ(ecq_matrix_open(file_, "nothing", &matrix), ECQ_NOT_FOUND);
  EXPECT_EQ(matrix, nullptr);
}

TEST_F(CApi, TextSurvivesTokens) {
  const std::string text("One \xff day\0, she", 15);
  EXPECT_EQ(Detokenize(Tokenize(text, 0), 0), text);
  EXPECT_EQ(Tokenize("", ECQ_TEXT_BOS), std::vector<uint32_t>{1});
  const std::vector<uint32_t> ids = Tokenize(kPrompt, 0);
  EXPECT_EQ(Detokenize(ids, 1), std::string(" ") + kPrompt);

  size_t n = 0;
  uint32_t one[1] = {77};
  EXPECT_REFUSED(ecq_model_tokenize(model_, kPrompt, std::strlen(kPrompt), 0, one, 1, &n));
  EXPECT_EQ(n, ids.size());
  EXPECT_EQ(one[0], 77u);
  EXPECT_REFUSED(ecq_model_tokenize(model_, nullptr, 3, 0, nullptr, 0, &n));
  EXPECT_REFUSED(ecq_model_tokenize(model_, "a", 1, 64, nullptr, 0, &n));
  EXPECT_REFUSED(ecq_model_detokenize(model_, nullptr, 3, 0, nullptr, 0, &n));
  const uint32_t foreign = 0xffffffff;
  EXPECT_EQ(ecq_model_detokenize(model_, &foreign, 1, 0, nullptr, 0, &n), ECQ_OK);
  EXPECT_EQ(n, 0u);
  EXPECT_EQ(ecq_model_is_end_token(model_, 2), 1);
  EXPECT_EQ(ecq_model_is_end_token(model_, 5), 0);
}

TEST_F(CApi, LogitsDoNotDependOnHowTokensCome) {
  const std::vector<uint32_t> ids = Tokenize(kPrompt, ECQ_TEXT_BOS);
  const size_t vocab = vocab_size();
  std::vector<float> all(ids.size() * vocab);
  ASSERT_ECQ_OK(
      ecq_session_forward(session_, ids.data(), ids.size(), ids.size(), all.data(), all.size()));
  EXPECT_EQ(ecq_session_length(session_), ids.size());
  ASSERT_ECQ_OK(ecq_session_truncate(session_, 0));
  std::vector<float> last(2 * vocab);
  ASSERT_ECQ_OK(ecq_session_forward(session_, ids.data(), ids.size(), 2, last.data(), last.size()));
  for (size_t i = 0; i < last.size(); ++i)
    ASSERT_NEAR(last[i], all[all.size() - last.size() + i], 1e-3);
  ASSERT_ECQ_OK(ecq_session_truncate(session_, 0));
  for (size_t i = 0; i < ids.size(); ++i) {
    ASSERT_ECQ_OK(ecq_session_forward(session_, &ids[i], 1, 1, last.data(), vocab));
    for (size_t v = 0; v < vocab; ++v) ASSERT_NEAR(last[v], all[i * vocab + v], 1e-3);
  }
}

// Which cache a session has shows in its logits; what that costs, tests/cli/quality_tests.py says.
TEST_F(CApi, CachesOfFewerBitsRoundMore) {
  const std::vector<uint32_t> ids = Tokenize(kPrompt, ECQ_TEXT_BOS);
  const size_t vocab = vocab_size();
  std::vector<float> exact(vocab), logits(vocab);
  ASSERT_ECQ_OK(ecq_session_forward(session_, ids.data(), ids.size(), 1, exact.data(), vocab));
  double largest[3] = {};
  double magnitude = 0;
  for (const ecq_kv kv : {ECQ_KV_F32, ECQ_KV_F16, ECQ_KV_Q8}) {
    ecq_session* session = nullptr;
    ASSERT_ECQ_OK(ecq_session_create_with_kv(model_, pool_, 64, ECQ_ACTIVATIONS_F32, kv, &session));
    ASSERT_ECQ_OK(ecq_session_forward(session, ids.data(), ids.size(), 1, logits.data(), vocab));
    ecq_session_free(session);
    for (size_t v = 0; v < vocab; ++v) {
      largest[kv] = std::max(largest[kv], double{std::abs(logits[v] - exact[v])});
      magnitude = std::max(magnitude, double{std::abs(exact[v])});
    }
  }
  EXPECT_EQ(largest[ECQ_KV_F32], 0);
  EXPECT_GT(largest[ECQ_KV_F16], 0);
  EXPECT_GT(largest[ECQ_KV_Q8], 4 * largest[ECQ_KV_F16]);  // a step is at least 2^3 as large
  EXPECT_LT(largest[ECQ_KV_Q8], 0.1 * magnitude);
}

TEST_F(CApi, ForwardThatFailsChangesNothing) {
  const std::vector<uint32_t> ids = Tokenize(kPrompt, ECQ_TEXT_BOS);
  ASSERT_ECQ_OK(ecq_session_forward(session_, ids.data(), ids.size(), 0, nullptr, 0));
  const uint32_t outside[2] = {5, vocab_size()};
  const std::vector<uint32_t> too_many(ecq_session_max_context(session_), 5);
  std::vector<float> logits(vocab_size());
  EXPECT_REFUSED(ecq_session_forward(session_, outside, 2, 0, nullptr, 0));
  EXPECT_REFUSED(ecq_session_forward(session_, too_many.data(), too_many.size(), 0, nullptr, 0));
  EXPECT_REFUSED(ecq_session_forward(session_, nullptr, 0, 0, nullptr, 0));
  EXPECT_REFUSED(ecq_session_forward(session_, nullptr, 1, 0, nullptr, 0));
  EXPECT_REFUSED(ecq_session_forward(session_, ids.data(), 1, 1, logits.data(), 3));
  EXPECT_REFUSED(ecq_session_forward(session_, ids.data(), 1, 2, logits.data(), logits.size()));
  EXPECT_REFUSED(ecq_session_truncate(session_, ids.size() + 1));
  EXPECT_EQ(ecq_session_length(session_), ids.size());
}

TEST_F(CApi, GeneratesTheKnownText) {
  const std::vector<uint32_t> ids = Tokenize(kPrompt, ECQ_TEXT_BOS);
  Heard heard;
  ecq_stop_reason reason = -1;
  ASSERT_ECQ_OK(
      ecq_session_generate(session_, ids.data(), ids.size(), 40, Listen, &heard, &reason));
  EXPECT_EQ(heard.text.substr(0, std::strlen(kContinuation)), kContinuation);
  EXPECT_EQ(heard.tokens.size(), 40u);
  EXPECT_EQ(reason, ECQ_STOP_MAX_TOKENS);
  EXPECT_EQ(Detokenize(heard.tokens, 1), heard.text);

  ASSERT_ECQ_OK(ecq_session_truncate(session_, 0));
  Heard short_of_breath;
  short_of_breath.stop_after = 3;
  ASSERT_ECQ_OK(ecq_session_generate(session_, ids.data(), ids.size(), 40, Listen, &short_of_breath,
                                     &reason));
  EXPECT_EQ(reason, ECQ_STOP_CALLBACK);
  EXPECT_EQ(short_of_breath.tokens.size(), 3u);
  EXPECT_REFUSED(
      ecq_session_generate(session_, ids.data(), ids.size(), 1, nullptr, nullptr, nullptr));
  EXPECT_REFUSED(ecq_session_generate(session_, nullptr, 0, 1, Listen, &heard, nullptr));
}

TEST_F(CApi, GeneratesUntilTheContextIsFull) {
  ecq_session* small = nullptr;
  ASSERT_ECQ_OK(ecq_session_create(model_, pool_, 8, ECQ_ACTIVATIONS_I8, &small));
  EXPECT_EQ(ecq_session_max_context(small), 8u);
  const std::vector<uint32_t> ids = Tokenize("Once", ECQ_TEXT_BOS);
  Heard heard;
  ecq_stop_reason reason = -1;
  EXPECT_EQ(ecq_session_generate(small, ids.data(), ids.size(), 100, Listen, &heard, &reason),
            ECQ_OK);
  EXPECT_EQ(reason, ECQ_STOP_CONTEXT_FULL);
  EXPECT_EQ(ecq_session_length(small), 8u);
  ecq_session_free(small);
  EXPECT_REFUSED(ecq_session_create(model_, pool_, SIZE_MAX, ECQ_ACTIVATIONS_I8, &small));
  EXPECT_REFUSED(ecq_session_create(model_, pool_, 8, -1, &small));
  EXPECT_REFUSED(ecq_session_create_with_kv(model_, pool_, 8, ECQ_ACTIVATIONS_F32, 3, &small));
  EXPECT_EQ(small, nullptr);
}

// What a callback must not do is refused, and what it throws comes back as a status.
TEST_F(CApi, CallbackCannotDisturbTheSession) {
  struct Intruder {
    ecq_session* session;
    const ecq_file* file;
    ecq_pool* pool;
    ecq_status truncate = ECQ_OK;
    ecq_status verify = ECQ_OK;
  } intruder{session_, file_, pool_};
  const auto truncate = [](uint32_t, const char*, size_t, void* user_data) {
    auto* self = static_cast<Intruder*>(user_data);
    self->truncate = ecq_session_truncate(self->session, 0);
    self->verify = ecq_file_verify(self->file, self->pool);
    return 0;
  };
  const std::vector<uint32_t> ids = Tokenize(kPrompt, ECQ_TEXT_BOS);
  EXPECT_EQ(ecq_session_generate(session_, ids.data(), ids.size(), 2, truncate, &intruder, nullptr),
            ECQ_OK);
  EXPECT_EQ(intruder.truncate, ECQ_INVALID_ARGUMENT);
  EXPECT_EQ(intruder.verify, ECQ_INVALID_ARGUMENT);

  ASSERT_ECQ_OK(ecq_session_truncate(session_, 0));
  const auto throws = [](uint32_t, const char*, size_t, void*) -> int { throw 1; };
  EXPECT_EQ(ecq_session_generate(session_, ids.data(), ids.size(), 2, throws, nullptr, nullptr),
            ECQ_INTERNAL);
  EXPECT_EQ(ecq_session_length(session_), 0u);
  ASSERT_ECQ_OK(ecq_session_forward(session_, ids.data(), ids.size(), 0, nullptr, 0));
}

TEST_F(CApi, HandlesMayBeReleasedInAnyOrder) {
  ecq_matrix* matrix = nullptr;
  ASSERT_ECQ_OK(ecq_matrix_open(file_, kEmbedding, &matrix));
  const std::vector<uint32_t> ids = Tokenize(kPrompt, ECQ_TEXT_BOS);
  ecq_file_free(std::exchange(file_, nullptr));
  std::vector<float> row(64);
  EXPECT_EQ(ecq_matrix_get_rows(matrix, pool_, &ids[1], 1, row.data(), row.size()), ECQ_OK);
  ecq_matrix_free(matrix);
  ecq_model_free(std::exchange(model_, nullptr));
  ecq_pool_free(std::exchange(pool_, nullptr));
  Heard heard;
  EXPECT_EQ(ecq_session_generate(session_, ids.data(), ids.size(), 5, Listen, &heard, nullptr),
            ECQ_OK);
  EXPECT_EQ(heard.text, std::string(kContinuation).substr(0, heard.text.size()));
}

// A file that ends anywhere is refused, never read beyond its end.
TEST(CApiHostile, TruncatedFilesAreRefused) {
  std::ifstream in(ECQ_TEST_FILE, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(in)), {});
  ASSERT_GT(bytes.size(), 1000u);
  const std::string path = ::testing::TempDir() + "c_api_truncated.ecq";
  for (const size_t size :
       {size_t{0}, size_t{7}, size_t{200}, bytes.size() / 2, bytes.size() - 1}) {
    std::ofstream(path, std::ios::binary) << bytes.substr(0, size);
    ecq_file* file = nullptr;
    EXPECT_NE(ecq_file_open(path.c_str(), &file), ECQ_OK) << size;
    EXPECT_EQ(file, nullptr);
  }
  std::remove(path.c_str());
}

}  // namespace
