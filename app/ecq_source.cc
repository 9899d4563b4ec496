// Lists the tensors of an .ecq file and dequantizes them.
#include "app/ecq_source.h"

#include <fmt/format.h>

#include <string_view>
#include <utility>
#include <vector>

#include "ecq/backend/packed_matrix.h"

namespace ecq {
namespace {

class EcqSource final : public ModelSource {
 public:
  EcqSource(const EcqFile& file, std::string path) : file_(file), paths_{std::move(path)} {}

  Status Init() {
    FileCost cost;
    for (const std::string& name : file_.matrices()) {
      ECQ_TRY(const PackedTensor tensor, file_.matrix(name));
      tensors_.push_back({name,
                          {tensor.desc.rows, tensor.desc.cols},
                          fmt::format("ecq:{}", tensor.grid),
                          cost.Add(tensor)});
    }
    for (const SafetensorsEntry& entry : file_.plain_tensors()) {
      tensors_.push_back({entry.name, entry.view.shape, std::string(DTypeName(entry.view.dtype)),
                          entry.view.bytes.size()});
    }
    for (const std::string& name : file_.side_files()) {
      ECQ_TRY(const auto contents, file_.side_file(name));
      files_.push_back({name, {reinterpret_cast<const char*>(contents.data()), contents.size()}});
    }
    return OkStatus();
  }

  std::string_view kind() const override { return "ecq"; }
  const std::vector<SourceTensor>& tensors() const override { return tensors_; }
  const std::vector<SideFile>& side_files() const override { return files_; }
  const std::vector<std::string>& weight_paths() const override { return paths_; }

  Status ReadF32(size_t index, std::span<float> out) const override {
    const SourceTensor& tensor = tensors_[index];
    if (index >= file_.matrices().size()) {
      ECQ_TRY(const TensorView view, file_.plain_tensor(tensor.name));
      return ConvertToF32(view, out);
    }
    ECQ_TRY(PackedTensor packed, file_.matrix(tensor.name));
    ThreadPool pool(1);
    std::vector<uint32_t> rows(tensor.shape[0]);
    for (uint32_t r = 0; r < rows.size(); ++r) rows[r] = r;
    return PackedMatrix(std::move(packed)).GatherRows(pool, rows, out.data());
  }

 private:
  const EcqFile& file_;
  std::vector<SourceTensor> tensors_;  // the matrices first
  std::vector<SideFile> files_;
  std::vector<std::string> paths_;
};

}  // namespace

Result<std::unique_ptr<ModelSource>> MakeEcqSource(const EcqFile& file, std::string path) {
  auto source = std::make_unique<EcqSource>(file, std::move(path));
  ECQ_RETURN_IF_ERROR(source->Init());
  return std::unique_ptr<ModelSource>(std::move(source));
}

}  // namespace ecq
