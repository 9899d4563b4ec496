// ecq verify: is a file whole, and is it made from that source?
#include <fmt/format.h>

#include <atomic>
#include <cmath>
#include <string>
#include <vector>

#include "app/commands.h"
#include "app/ecq_source.h"
#include "app/opened_model.h"
#include "app/progress.h"
#include "ecq/backend/packed_matrix.h"
#include "ecq/base/aligned_buffer.h"

namespace ecq {
namespace {

// Decodes every tile, which checks that each codestream ends as it must.
Status DecodeAll(const EcqFile& file, ThreadPool& pool) {
  Progress progress("Decoding", "matrices");
  uint64_t done = 0;
  for (const std::string& name : file.matrices()) {
    ECQ_TRY(PackedTensor tensor, file.matrix(name));
    const PackedMatrix matrix(std::move(tensor));
    const PackedDesc& desc = matrix.tensor().desc;
    std::atomic<uint32_t> first_bad{desc.num_tiles};
    pool.Run(desc.num_tiles, [&](size_t task, size_t) {
      const uint32_t tile = static_cast<uint32_t>(task);
      const uint32_t begin = TileRowBegin(desc, tile);
      const uint32_t end = TileRowEnd(desc, tile);
      std::vector<int32_t> integers(size_t{end - begin} * desc.cols);
      if (matrix.DecodeIntegers(begin, end, integers.data()).ok()) return;
      for (uint32_t bad = first_bad; tile < bad && !first_bad.compare_exchange_weak(bad, tile);) {
      }
    });
    if (first_bad < desc.num_tiles) {
      return Error{ErrorCode::kCorrupt,
                   fmt::format("{}: tile {} of {} does not decode; the file is damaged", name,
                               first_bad.load(), desc.num_tiles)};
    }
    progress.Update(++done, file.matrices().size(), name);
  }
  return OkStatus();
}

// Index in `model` of a tensor of `owner`.
Result<size_t> FindIn(const OpenedModel& model, const SourceTensor& tensor,
                      const OpenedModel& owner) {
  const auto& tensors = model.source().tensors();
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (tensors[i].name == tensor.name && tensors[i].shape == tensor.shape) return i;
  }
  return Error{ErrorCode::kCorrupt,
               fmt::format("{} {} of {} is not in {}; expected the same tensors", tensor.name,
                           ShapeToString(tensor.shape), owner.path(), model.path())};
}

// Plain tensors must be equal, coded matrices as close as a quantizer can leave them: an error of a
// whole standard deviation means that the file belongs to another model. Returns a line of report.
Result<std::string> CompareWith(const OpenedModel& model, const OpenedModel& against) {
  constexpr double kMaxRelativeError = 1.0;
  const auto& theirs = against.source().tensors();
  for (const SourceTensor& tensor : model.source().tensors()) {
    ECQ_RETURN_IF_ERROR(FindIn(against, tensor, model));
  }
  Progress progress("Comparing", "tensors");
  double worst = 0;
  std::string worst_name;
  for (size_t i = 0; i < theirs.size(); ++i) {
    ECQ_TRY(const size_t ours, FindIn(model, theirs[i], against));
    const uint64_t size = *NumElements(theirs[i].shape);
    AlignedBuffer<float> a(size);
    AlignedBuffer<float> b(size);
    ECQ_RETURN_IF_ERROR(model.source().ReadF32(ours, a.span()));
    ECQ_RETURN_IF_ERROR(against.source().ReadF32(i, b.span()));
    double error = 0;
    double energy = 0;
    for (uint64_t j = 0; j < size; ++j) {
      error += (double{a[j]} - b[j]) * (double{a[j]} - b[j]);
      energy += double{b[j]} * b[j];
    }
    const bool plain = !model.ecq()->matrix(theirs[i].name).ok();
    const double relative = energy > 0 ? std::sqrt(error / energy) : error > 0 ? INFINITY : 0;
    if ((plain && error != 0) || !(relative < kMaxRelativeError)) {
      return Error{
          ErrorCode::kCorrupt,
          fmt::format("{}: relative difference {:.4f} from {}; expected {}", theirs[i].name,
                      relative, against.path(), plain ? "none" : "a quantized copy, below 1")};
    }
    if (relative > worst) {
      worst = relative;
      worst_name = theirs[i].name;
    }
    progress.Update(i + 1, theirs.size(), theirs[i].name);
  }
  return fmt::format("source: all {} tensors there; largest relative error {:.4f} ({})\n",
                     theirs.size(), worst, worst_name.empty() ? "none" : worst_name);
}

}  // namespace

Status RunVerify(const VerifyArgs& args) {
  ECQ_TRY(const OpenedModel model, OpenedModel::Open(args.file));
  if (!model.coded()) {
    return Error{ErrorCode::kInvalidArgument, args.file + ": expected an .ecq file"};
  }
  ThreadPool pool(args.threads > 0 ? args.threads : DefaultThreadCount());
  ECQ_RETURN_IF_ERROR(model.ecq()->VerifyHashes(pool));
  ECQ_RETURN_IF_ERROR(DecodeAll(*model.ecq(), pool));
  std::string comparison;
  if (!args.against.empty()) {
    ECQ_TRY(const OpenedModel against, OpenedModel::Open(args.against));
    ECQ_TRY(comparison, CompareWith(model, against));
  }
  fmt::print("hashes: all tensors match\n");
  fmt::print("codestreams: all {} matrices decode to their end\n", model.ecq()->matrices().size());
  fmt::print("{}", comparison);
  fmt::print("{}: ok\n", args.file);
  return OkStatus();
}

}  // namespace ecq
