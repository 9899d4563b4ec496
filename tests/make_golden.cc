// make_golden DIRECTORY: writes the golden files and their manifest (file, matrix, SHA-256 of the
// integers, of rotated matrices also that of the weights). columns-resaved.ecq comes from
// columns.ecq by "tests/reference/ecq_ref.py resave".
#include <cstdio>
#include <filesystem>
#include <string>

#include "ecq/format/sha256.h"
#include "tests/golden_models.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: make_golden DIRECTORY\n");
    return 2;
  }
  const std::filesystem::path directory = argv[1];
  std::FILE* manifest = std::fopen((directory / "manifest.txt").c_str(), "w");
  if (manifest == nullptr) {
    std::perror("make_golden: manifest.txt");
    return 1;
  }
  for (const ecq::GoldenModel& model : ecq::GoldenModels()) {
    const ecq::Status status = ecq::WriteGoldenModel(model, directory / model.file);
    if (!status.ok()) {
      std::fprintf(stderr, "make_golden: %s\n", status.error().message.c_str());
      return 1;
    }
    for (const ecq::GoldenMatrix& matrix : model.matrices) {
      const std::string sha =
          ecq::Sha256Hex({reinterpret_cast<const uint8_t*>(matrix.integers.data()),
                          matrix.integers.size() * sizeof(int32_t)});
      std::fprintf(manifest, "%s %s %s", model.file.c_str(), matrix.name.c_str(), sha.c_str());
      if (matrix.packed.desc.rotation != 0) {
        const auto weights = ecq::WeightsSha256(matrix.packed);
        if (!weights.ok()) {
          std::fprintf(stderr, "make_golden: %s\n", weights.error().message.c_str());
          return 1;
        }
        std::fprintf(manifest, " %s", weights->c_str());
      }
      std::fprintf(manifest, "\n");
    }
  }
  return std::fclose(manifest) == 0 ? 0 : 1;
}
