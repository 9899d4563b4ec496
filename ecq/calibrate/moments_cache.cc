// Files of moments, little-endian:
//
//   char[16]  magic
//   u8[16]    key: hash of what the moments depend on
//   u32       index: of the layer; the number of layers for the head
//   u32       number of matrices
//   of each matrix: u32 cols, u32 0, f64 weight
//   of each matrix: f32, its lower triangle row by row
//   u8[16]    XXH3 (128 bits, canonical) of all bytes before
#include "ecq/calibrate/moments_cache.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <new>
#include <system_error>
#include <utility>

#include "ecq/base/atomic_file.h"
#include "ecq/base/bytes.h"
#include "ecq/calibrate/tensor_moments.h"

namespace ecq {
namespace {

constexpr char kMagic[16] = "ecq moments 1\n";
constexpr size_t kKeyBytes = 16;
constexpr size_t kIndexAt = sizeof(kMagic) + kKeyBytes;
constexpr size_t kMatricesAt = kIndexAt + 8;
constexpr size_t kMatrixBytes = 16;
constexpr size_t kHashBytes = 16;
// Bytes that are gathered for one call to the system.
constexpr size_t kWriteBytes = size_t{1} << 20;

using Key = std::array<uint8_t, kKeyBytes>;

// XXH3 of bytes that come in pieces. Throws std::bad_alloc.
class Hasher {
 public:
  Hasher() : state_(XXH3_createState()) {
    if (state_ == nullptr) throw std::bad_alloc();
    XXH3_128bits_reset(state_.get());
  }

  void Add(const void* data, size_t bytes) { XXH3_128bits_update(state_.get(), data, bytes); }
  template <typename T>
  void AddValue(T value) {
    Add(&value, sizeof(value));
  }

  Key Digest() const {
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state_.get()));
    Key key;
    std::copy_n(canonical.digest, key.size(), key.begin());
    return key;
  }

 private:
  struct Free {
    void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
  };
  std::unique_ptr<XXH3_state_t, Free> state_;
};

constexpr uint64_t TriangleBytes(uint64_t cols) { return cols * (cols + 1) / 2 * sizeof(float); }

// Appends to a file in large pieces, and hashes them.
class HashedWriter {
 public:
  explicit HashedWriter(AtomicFile& file) : file_(file) { buffer_.reserve(kWriteBytes); }

  Status Add(const void* data, size_t bytes) {
    const auto* const p = static_cast<const uint8_t*>(data);
    buffer_.insert(buffer_.end(), p, p + bytes);
    return buffer_.size() < kWriteBytes ? OkStatus() : Flush();
  }
  template <typename T>
  Status AddValue(T value) {
    return Add(&value, sizeof(value));
  }

  // Appends the hash and gives the file its name.
  Status Finish() {
    ECQ_RETURN_IF_ERROR(Flush());
    const Key digest = hasher_.Digest();
    ECQ_RETURN_IF_ERROR(file_.Append(digest));
    return file_.Commit();
  }

 private:
  Status Flush() {
    hasher_.Add(buffer_.data(), buffer_.size());
    Status status = file_.Append(buffer_);
    buffer_.clear();
    return status;
  }

  AtomicFile& file_;
  Hasher hasher_;
  std::vector<uint8_t> buffer_;
};

void HashText(std::string_view text, Hasher* hasher) {
  hasher->AddValue<uint64_t>(text.size());
  hasher->Add(text.data(), text.size());
}

Key MakeKey(std::string_view model_identity, std::span<const TokenWindow> windows,
            const CalibrationOptions& options) {
  Hasher hasher;
  HashText({kMagic, sizeof(kMagic)}, &hasher);
  HashText(model_identity, &hasher);
  hasher.AddValue(options.sink_weight);
  for (const TokenWindow& window : windows) {
    hasher.AddValue<uint64_t>(window.size());
    hasher.Add(window.data(), window.size() * sizeof(uint32_t));
  }
  return hasher.Digest();
}

// The matrices of a layer, in the order of the file.
std::vector<MomentsKind> KindsOf(const ModelConfig& config, size_t index) {
  using enum MomentsKind;
  if (index == config.num_layers) return {kHead};
  if (!config.tensors.qkv.empty()) return {kAttention, kOutput, kUp, kDown};
  return {kAttention, kValue, kOutput, kUp, kDown};
}

Error Damaged(const std::string& path, std::string_view what) {
  return Error{ErrorCode::kCorrupt, fmt::format("{}: {}", path, what)};
}

// Whether `bytes` is the file of these matrices. The sizes come first, so that all else can be
// read.
Status CheckFile(const std::string& path, std::span<const uint8_t> bytes, const Key& key,
                 size_t index, std::span<const uint32_t> cols) {
  const size_t data_at = kMatricesAt + cols.size() * kMatrixBytes;
  uint64_t expected = data_at + kHashBytes;
  for (const uint32_t n : cols) expected += TriangleBytes(n);
  if (bytes.size() != expected) {
    return Damaged(path, fmt::format("expected {} bytes, got {}", expected, bytes.size()));
  }
  if (!std::equal(std::begin(kMagic), std::end(kMagic), bytes.begin())) {
    return Damaged(path, "not moments of this version of ecq");
  }
  if (!std::equal(key.begin(), key.end(), &bytes[sizeof(kMagic)]) ||
      LoadLe<uint32_t>(&bytes[kIndexAt]) != index ||
      LoadLe<uint32_t>(&bytes[kIndexAt + 4]) != cols.size()) {
    return Damaged(path, "moments of another model, text or layer");
  }
  Hasher hasher;
  hasher.Add(bytes.data(), bytes.size() - kHashBytes);
  const Key digest = hasher.Digest();
  if (!std::equal(digest.begin(), digest.end(), bytes.end() - kHashBytes)) {
    return Damaged(path, "damaged: the hash of its content does not match");
  }
  for (size_t i = 0; i < cols.size(); ++i) {
    const uint8_t* const matrix = &bytes[kMatricesAt + i * kMatrixBytes];
    const auto weight = LoadLe<double>(matrix + 8);
    if (LoadLe<uint32_t>(matrix) != cols[i] || !(std::isfinite(weight) && weight > 0)) {
      return Damaged(path, fmt::format("matrix {} has another size, or no weight", i));
    }
  }
  return OkStatus();
}

// The matrix whose lower triangle starts at `data`.
Result<InputMoments> ReadMoments(const std::string& path, uint32_t cols, double weight,
                                 const uint8_t* data) {
  InputMoments moments{cols, weight, AlignedBuffer<float>(size_t{cols} * cols)};
  for (size_t i = 0; i < cols; ++i) {
    float* const row = &moments.sums[i * cols];
    std::memcpy(row, data, (i + 1) * sizeof(float));
    data += (i + 1) * sizeof(float);
    for (size_t j = 0; j <= i; ++j) {
      if (!std::isfinite(row[j])) return Damaged(path, "a moment is not a finite number");
      moments.sums[j * cols + i] = row[j];
    }
  }
  return moments;
}

}  // namespace

Result<MomentsCache> MomentsCache::Open(const std::filesystem::path& directory,
                                        const ModelConfig& config, std::string_view model_identity,
                                        std::span<const TokenWindow> windows,
                                        const CalibrationOptions& options) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error || !std::filesystem::is_directory(directory, error)) {
    return Error{error == std::errc::no_space_on_device ? ErrorCode::kNoSpace : ErrorCode::kIo,
                 fmt::format("{}: cannot keep moments there: {}", directory.string(),
                             error ? error.message() : "not a directory")};
  }
  return MomentsCache(directory, config, MakeKey(model_identity, windows, options));
}

std::filesystem::path MomentsCache::PathOf(size_t index) const {
  const std::string place = index == config_.num_layers ? "head" : fmt::format("layer{:04}", index);
  return directory_ / fmt::format("{:02x}-{}.moments", fmt::join(key_, ""), place);
}

Result<MappedFile> MomentsCache::OpenFile(size_t index) const {
  ECQ_TRY(MappedFile file, MappedFile::Open(PathOf(index)));
  ECQ_RETURN_IF_ERROR(CheckFile(file.path(), file.bytes(), key_, index, ColsOf(index)));
  return file;
}

std::vector<uint32_t> MomentsCache::ColsOf(size_t index) const {
  std::vector<uint32_t> cols;
  for (const MomentsKind kind : KindsOf(config_, index)) cols.push_back(MomentsCols(config_, kind));
  return cols;
}

std::optional<std::string> MomentsCache::WhyIncomplete() const {
  for (size_t index = 0; index <= config_.num_layers; ++index) {
    const auto file = OpenFile(index);
    if (!file.ok()) return file.error().message;
  }
  return std::nullopt;
}

Result<std::vector<InputMoments>> MomentsCache::Load(size_t index) const {
  ECQ_TRY(const MappedFile file, OpenFile(index));
  const std::vector<uint32_t> cols = ColsOf(index);
  const uint8_t* header = &file.bytes()[kMatricesAt];
  const uint8_t* data = header + cols.size() * kMatrixBytes;
  std::vector<InputMoments> all;
  try {
    for (const uint32_t n : cols) {
      ECQ_TRY(InputMoments moments, ReadMoments(file.path(), n, LoadLe<double>(header + 8), data));
      all.push_back(std::move(moments));
      header += kMatrixBytes;
      data += TriangleBytes(n);
    }
  } catch (const std::bad_alloc&) {
    return Error{ErrorCode::kOutOfMemory, file.path() + ": no memory for its moments"};
  }
  return all;
}

Status MomentsCache::Store(size_t index, std::span<const InputMoments* const> all) const {
  const std::filesystem::path path = PathOf(index);
  const std::vector<uint32_t> cols = ColsOf(index);
  for (size_t i = 0; i < all.size(); ++i) {
    if (all[i]->cols == cols[i] && all[i]->sums.size() == size_t{cols[i]} * cols[i]) continue;
    return Error{ErrorCode::kInvalidArgument, fmt::format("{}: moments of {} inputs, expected {}",
                                                          path.string(), all[i]->cols, cols[i])};
  }
  ECQ_TRY(AtomicFile file, AtomicFile::Create(path, /*overwrite=*/true));
  HashedWriter out(file);
  ECQ_RETURN_IF_ERROR(out.Add(kMagic, sizeof(kMagic)));
  ECQ_RETURN_IF_ERROR(out.Add(key_.data(), key_.size()));
  ECQ_RETURN_IF_ERROR(out.AddValue(static_cast<uint32_t>(index)));
  ECQ_RETURN_IF_ERROR(out.AddValue(static_cast<uint32_t>(all.size())));
  for (const InputMoments* moments : all) {
    ECQ_RETURN_IF_ERROR(out.AddValue<uint64_t>(moments->cols));
    ECQ_RETURN_IF_ERROR(out.AddValue(moments->weight));
  }
  for (const InputMoments* moments : all) {
    for (size_t i = 0; i < moments->cols; ++i) {
      ECQ_RETURN_IF_ERROR(out.Add(&moments->sums[i * moments->cols], (i + 1) * sizeof(float)));
    }
  }
  return out.Finish();
}

Result<LayerMoments> MomentsCache::LoadLayer(size_t layer) const {
  ECQ_RETURN_IF_ERROR(CheckLayer(layer));
  ECQ_TRY(std::vector<InputMoments> all, Load(layer));
  LayerMoments moments;
  const std::vector<MomentsKind> kinds = KindsOf(config_, layer);
  for (size_t i = 0; i < kinds.size(); ++i) SelectMoments(moments, kinds[i]) = std::move(all[i]);
  return moments;
}

Result<InputMoments> MomentsCache::LoadHead() const {
  ECQ_TRY(std::vector<InputMoments> all, Load(config_.num_layers));
  return std::move(all.front());
}

Status MomentsCache::StoreLayer(size_t layer, const LayerMoments& moments) const {
  ECQ_RETURN_IF_ERROR(CheckLayer(layer));
  std::vector<const InputMoments*> all;
  for (const MomentsKind kind : KindsOf(config_, layer)) {
    all.push_back(&SelectMoments(moments, kind));
  }
  return Store(layer, all);
}

Status MomentsCache::StoreHead(const InputMoments& moments) const {
  const InputMoments* const all[] = {&moments};
  return Store(config_.num_layers, all);
}

Status MomentsCache::CheckLayer(size_t layer) const {
  if (layer < config_.num_layers) return OkStatus();
  return Error{ErrorCode::kInvalidArgument,
               fmt::format("moments of layer {} of a model with {}", layer, config_.num_layers)};
}

}  // namespace ecq
