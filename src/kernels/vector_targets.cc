// Which kinds of vector code this CPU can run: the three functions that Google Highway's headers
// take from its library. libhwy measures the CPU's timer whenever it is loaded (15 ms, a third of a
// worker's start), for benchmarks that nobody here runs.
#include <hwy/highway.h>

namespace hwy {
namespace {

std::int64_t only = 0;  // for tests; 0: all

std::int64_t found_targets() {
  std::int64_t out = HWY_STATIC_TARGET | HWY_EMU128 | HWY_SCALAR;
#if HWY_ARCH_X86
  // GCC's builtins ask the system too, whether it keeps the registers.
  __builtin_cpu_init();
  const auto has = [](bool all, std::int64_t target) { return all ? target : 0; };
  const bool ssse3 = __builtin_cpu_supports("ssse3");
  const bool sse4 = ssse3 && __builtin_cpu_supports("sse4.1") && __builtin_cpu_supports("sse4.2") &&
                    __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul");
  const bool avx2 = sse4 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
                    __builtin_cpu_supports("lzcnt") && __builtin_cpu_supports("f16c");
  const bool avx3 = avx2 && __builtin_cpu_supports("avx512f") &&
                    __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                    __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512vl");
  out |= has(ssse3, HWY_SSSE3) | has(sse4, HWY_SSE4) | has(avx2, HWY_AVX2) | has(avx3, HWY_AVX3);
#endif
  return out;
}

}  // namespace

std::int64_t SupportedTargets() {
  static const std::int64_t found = found_targets();
  return only == 0 ? found : only;
}

void SetSupportedTargetsForTest(std::int64_t targets) {
  only = targets;
  GetChosenTarget().DeInit();
}

ChosenTarget& GetChosenTarget() {
  static ChosenTarget chosen;
  return chosen;
}

}  // namespace hwy
