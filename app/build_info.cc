// Collects versions from the build and from the libraries that are loaded.
#include "app/build_info.h"

#define PCRE2_CODE_UNIT_WIDTH 8

#include <cblas.h>
#include <fmt/format.h>
#include <openssl/crypto.h>
#include <pcre2.h>
#include <utf8proc.h>
#include <xxhash.h>

#include <CLI/Version.hpp>
#include <nlohmann/json.hpp>
#include <string_view>

#include "ecq/base/cpu_target.h"

namespace ecq {
namespace {

#if defined(__clang__)
constexpr char kCompiler[] = "Clang " __clang_version__;
#else
constexpr char kCompiler[] = "GCC " __VERSION__;
#endif

#if defined(__x86_64__)
constexpr char kArchitecture[] = "x86_64";
#elif defined(__aarch64__)
constexpr char kArchitecture[] = "aarch64";
#else
constexpr char kArchitecture[] = "unknown architecture";
#endif

// "1.2.3" of "1.2.3 and more".
std::string_view FirstWord(std::string_view text) { return text.substr(0, text.find(' ')); }

// "OpenBLAS 0.3.21 ..." without its list of build options.
std::string BlasVersion() {
  const std::string_view config = openblas_get_config();
  const size_t name = config.find(' ');
  return std::string(name == std::string_view::npos ? config : FirstWord(config.substr(name + 1)));
}

std::string PcreVersion() {
  char version[64] = "";
  const int size = pcre2_config_8(PCRE2_CONFIG_VERSION, nullptr);
  if (size <= 0 || size > static_cast<int>(sizeof(version))) return "?";
  pcre2_config_8(PCRE2_CONFIG_VERSION, version);
  return std::string(FirstWord(version));
}

std::string Targets() {
  std::string names;
  for (const CpuTarget target : kAllCpuTargets) {
    if (!CpuTargetSupported(target)) continue;
    names += (names.empty() ? "" : ", ") + std::string(CpuTargetName(target));
  }
  return names;
}

}  // namespace

std::string BuildInfo() {
  const unsigned xxhash = XXH_versionNumber();
  return fmt::format(
      "ecq {}\n"
      "commit: {}\n"
      "build: {}, {}, {}\n"
      "targets: {}\n"
      "libraries: CLI11 {}, fmt {}.{}.{}, nlohmann-json {}.{}.{}, OpenBLAS {}, OpenSSL {}, "
      "PCRE2 {}, utf8proc {}, xxHash {}.{}.{}",
      ECQ_VERSION, ECQ_COMMIT, ECQ_BUILD_TYPE, kCompiler, kArchitecture, Targets(), CLI11_VERSION,
      FMT_VERSION / 10000, FMT_VERSION / 100 % 100, FMT_VERSION % 100, NLOHMANN_JSON_VERSION_MAJOR,
      NLOHMANN_JSON_VERSION_MINOR, NLOHMANN_JSON_VERSION_PATCH, BlasVersion(),
      OpenSSL_version(OPENSSL_VERSION_STRING), PcreVersion(), utf8proc_version(), xxhash / 10000,
      xxhash / 100 % 100, xxhash % 100);
}

}  // namespace ecq
