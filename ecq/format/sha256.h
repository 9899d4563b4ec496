// SHA-256 of bytes and files, as 64 lower-case hex digits.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "ecq/base/result.h"

namespace ecq {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;

  void Update(std::span<const uint8_t> bytes);
  std::string HexDigest();  // to be called once, last

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

std::string Sha256Hex(std::span<const uint8_t> bytes);
// Reads the file in pieces. Errors: kNotFound, kIo.
Result<std::string> Sha256OfFile(const std::filesystem::path& path);

}  // namespace ecq
