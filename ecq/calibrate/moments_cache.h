// Moments on disk, so that a second rate or a resumed run needs no second pass.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ecq/base/mapped_file.h"
#include "ecq/base/result.h"
#include "ecq/calibrate/calibration_pass.h"
#include "ecq/model/config.h"

namespace ecq {

// One file for each layer and one for the head, written whole or not at all, in a directory that
// may hold the files of many models and texts. A file is believed only if its name, its header and
// the hash of its content fit what is asked for.
class MomentsCache {
 public:
  // Creates the directory if needed. `model_identity` names the weights: a hash of the model file,
  // or its path, size and time. Errors: kIo, kNoSpace.
  static Result<MomentsCache> Open(const std::filesystem::path& directory,
                                   const ModelConfig& config, std::string_view model_identity,
                                   std::span<const TokenWindow> windows,
                                   const CalibrationOptions& options);

  // Reads all files. Nothing if each is there and whole, so that no pass is needed; else why not.
  std::optional<std::string> WhyIncomplete() const;

  // Errors: kNotFound, kCorrupt (damaged, or of something else), kIo, kOutOfMemory.
  Result<LayerMoments> LoadLayer(size_t layer) const;
  Result<InputMoments> LoadHead() const;

  // Replaces what is there. Errors: kNoSpace, kIo; kInvalidArgument for moments of other sizes.
  Status StoreLayer(size_t layer, const LayerMoments& moments) const;
  Status StoreHead(const InputMoments& moments) const;

 private:
  using Key = std::array<uint8_t, 16>;

  MomentsCache(std::filesystem::path directory, const ModelConfig& config, const Key& key)
      : directory_(std::move(directory)), config_(config), key_(key) {}

  // `index` is a layer, or num_layers for the head.
  std::filesystem::path PathOf(size_t index) const;
  std::vector<uint32_t> ColsOf(size_t index) const;  // of each matrix
  Result<MappedFile> OpenFile(size_t index) const;
  Result<std::vector<InputMoments>> Load(size_t index) const;
  Status Store(size_t index, std::span<const InputMoments* const> all) const;
  Status CheckLayer(size_t layer) const;

  std::filesystem::path directory_;
  ModelConfig config_;
  Key key_;  // hash of all that the moments depend on
};

}  // namespace ecq
