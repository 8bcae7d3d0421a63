#include "cli/demo_study.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <utility>

#include "base/files.h"

namespace polysome::cli {
namespace {

// SplitMix64 (Steele, Lea, Flood 2014): one multiplication chain a number, any seed is good.
class Random {
 public:
  Random(std::uint64_t seed, std::uint64_t stream)
      : state_(seed * 0x9E3779B97F4A7C15ULL + stream * 0xD1B54A32D192ED03ULL) {
    next();
  }
  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9E3779B97F4A7C15ULL);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
  }
  // 0 up to, not including, 1.
  double uniform() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }
  std::uint32_t below(std::uint32_t n) {
    return static_cast<std::uint32_t>(((next() >> 32) * n) >> 32);
  }
  // About normal: the sum of four uniforms, centred, with variance 1.
  double normal() {
    const std::uint64_t r = next();
    const auto sum =
        static_cast<double>((r & 0xFFFF) + ((r >> 16) & 0xFFFF) + ((r >> 32) & 0xFFFF) + (r >> 48));
    constexpr double kMean = 131'070;          // 4 · 65535 / 2
    constexpr double kDeviation = 37'837.227;  // √(4 · (65536² − 1) / 12)
    return (sum - kMean) / kDeviation;
  }
  // About gamma with mean 1 and variance 1/3: the mean of six squares.
  double gamma() {
    double sum = 0;
    for (int i = 0; i < 6; ++i) {
      const double z = normal();
      sum += z * z;
    }
    return sum / 6;
  }

 private:
  std::uint64_t state_;
};

constexpr std::uint64_t kSampleStream = 0, kPlantStream = 1, kGeneStream = 1000;
// Planted effects, and two to their power.
constexpr std::array<std::pair<double, double>, 6> kEffects{{
    {2.0, 4.0},
    {-2.0, 0.25},
    {1.5, 2.8284271247461903},
    {-1.5, 0.35355339059327379},
    {1.0, 2.0},
    {-1.0, 0.5},
}};

double effect_of(double log2_fold_change) {
  for (const auto& [log2, factor] : kEffects)
    if (log2 == log2_fold_change) return factor;
  return 1;
}

// A file written through a large buffer, with its size counted.
class Writer {
 public:
  explicit Writer(std::filesystem::path path) : path_(std::move(path)) {
    fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd_ < 0) error_ = errno;
    buffer_.reserve(kBuffer + 4096);
  }
  ~Writer() {
    if (fd_ >= 0) ::close(fd_);
  }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  Writer& add(std::string_view text) {
    buffer_ += text;
    return *this;
  }
  Writer& add(std::uint64_t n) {
    std::array<char, 20> digits;
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), n).ptr;
    buffer_.append(digits.data(), end);
    return *this;
  }
  void end_row() {
    buffer_ += '\n';
    ++rows_;
    if (buffer_.size() >= kBuffer) flush();
  }
  Result<StudyFile> finish(std::string what) {
    flush();
    if (fd_ >= 0 && ::close(std::exchange(fd_, -1)) != 0 && error_ == 0) error_ = errno;
    if (error_ != 0) return fail(errno_error("cannot write", path_, error_));
    return StudyFile{path_.filename().string(), std::move(what), rows_ - 1, bytes_};
  }
  bool good() const { return error_ == 0; }

 private:
  static constexpr std::size_t kBuffer = 1 << 20;

  void flush() {
    std::string_view rest = buffer_;
    while (!rest.empty() && error_ == 0) {
      const ssize_t n = ::write(fd_, rest.data(), rest.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) {
        error_ = errno;
      } else {
        bytes_ += static_cast<std::uint64_t>(n);
        rest.remove_prefix(static_cast<std::size_t>(n));
      }
    }
    buffer_.clear();
  }

  std::filesystem::path path_;
  int fd_ = -1;
  int error_ = 0;
  std::string buffer_;
  std::uint64_t rows_ = 0, bytes_ = 0;
};

std::string numbered(std::string_view prefix, std::uint32_t n, std::uint32_t most,
                     int least_digits) {
  const int digits = std::max(least_digits, static_cast<int>(std::to_string(most).size()));
  return fmt::format("{}{:0{}}", prefix, n, digits);
}

void add_long_rows(Writer& out, const Study& study, const std::vector<std::string>& tails,
                   std::uint32_t gene, const std::vector<std::uint32_t>& counts) {
  const std::string name = study.gene_name(gene);
  for (std::uint32_t s = 0; s < counts.size(); ++s) {
    const std::uint64_t milli = study.expression_milli(counts[s], s);
    const std::uint64_t rest = milli % 1000;
    const std::array<char, 4> fraction{'.', static_cast<char>('0' + rest / 100),
                                       static_cast<char>('0' + rest / 10 % 10),
                                       static_cast<char>('0' + rest % 10)};
    out.add(name).add(tails[s]).add(milli / 1000).add({fraction.data(), fraction.size()});
    out.end_row();
  }
}

}  // namespace

const std::vector<std::string>& study_file_names() {
  static const std::vector<std::string> names{"my_dataset.csv", "counts.tsv", "samples.tsv",
                                              "truth.tsv"};
  return names;
}

Study::Study(const StudySpec& spec) : spec_(spec) {
  Random random(spec.seed, kSampleStream);
  for (std::uint32_t i = 0; i < spec.samples; ++i) {
    Sample s;
    s.treated = i % 2 == 1;
    s.batch = i / 2 % 3 + 1;
    s.female = (random.next() >> 63) != 0;
    s.size_factor = 0.7 + 0.7 * random.uniform();
    samples_.push_back(s);
  }
  Random plant(spec.seed, kPlantStream);
  const std::uint32_t wanted =
      std::min(spec.genes, std::clamp<std::uint32_t>(spec.genes / 100, 4, 40));
  while (planted_.size() < wanted) {
    const std::uint32_t gene = plant.below(spec.genes);
    if (std::ranges::find(planted_, gene, &PlantedGene::gene) == planted_.end())
      planted_.push_back({gene, kEffects[planted_.size() % kEffects.size()].first});
  }
  std::ranges::sort(planted_, {}, &PlantedGene::gene);
}

std::string Study::gene_name(std::uint32_t gene) const {
  return numbered("GENE", gene + 1, spec_.genes, 4);
}

std::string Study::sample_name(std::uint32_t sample) const {
  return numbered("S", sample + 1, spec_.samples, 3);
}

std::vector<std::uint32_t> Study::counts(std::uint32_t gene) const {
  Random random(spec_.seed, kGeneStream + gene);
  const auto found = std::ranges::lower_bound(planted_, gene, {}, &PlantedGene::gene);
  const bool planted = found != planted_.end() && found->gene == gene;
  // Levels spread over ten doublings with most in the middle; planted genes are well expressed.
  const std::uint32_t doublings = planted ? 6 + random.below(3) : random.below(6) + random.below(5);
  const double level = static_cast<double>(1U << doublings) * (1 + random.uniform());
  std::array<double, 3> batch_effect;
  for (auto& b : batch_effect) b = 0.85 + 0.3 * random.uniform();
  const double effect = planted ? effect_of(found->log2_fold_change) : 1;
  std::vector<std::uint32_t> out;
  out.reserve(samples_.size());
  for (const auto& s : samples_) {
    const double mean =
        level * batch_effect[s.batch - 1] * s.size_factor * (s.treated ? effect : 1);
    const double rate = mean * random.gamma();
    const double count = rate + std::sqrt(rate) * random.normal() + 0.5;
    out.push_back(count <= 0 ? 0 : static_cast<std::uint32_t>(std::min(count, 4e9)));
  }
  return out;
}

std::uint64_t Study::expression_milli(std::uint32_t count, std::uint32_t sample) const {
  return static_cast<std::uint64_t>(
      static_cast<double>(count) * 1000 / samples_[sample].size_factor + 0.5);
}

Result<std::vector<StudyFile>> write_study(const StudySpec& spec,
                                           const std::filesystem::path& folder,
                                           const std::function<void(std::uint32_t)>& progress) {
  POLYSOME_TRY(make_folders(folder));
  const Study study(spec);
  Writer samples(folder / "samples.tsv"), counts(folder / "counts.tsv"),
      table(folder / "my_dataset.csv"), truth(folder / "truth.tsv");
  samples.add("sample_id\tcondition\tbatch\tsex").end_row();
  counts.add("gene");
  table.add("gene,sample,condition,batch,expression").end_row();
  std::vector<std::string> tails;  // of the long table's rows, between gene and expression
  for (std::uint32_t s = 0; s < spec.samples; ++s) {
    const std::string name = study.sample_name(s), condition = study.condition(s);
    const std::string batch = fmt::format("B{}", study.batch(s));
    samples.add(fmt::format("{}\t{}\t{}\t{}", name, condition, batch, study.sex(s))).end_row();
    counts.add("\t").add(name);
    tails.push_back(fmt::format(",{},{},{},", name, condition, batch));
  }
  counts.end_row();
  truth.add("gene\tlog2_fold_change").end_row();
  for (const auto& p : study.planted())
    truth.add(fmt::format("{}\t{:.1f}", study.gene_name(p.gene), p.log2_fold_change)).end_row();
  for (std::uint32_t gene = 0; gene < spec.genes && table.good() && counts.good(); ++gene) {
    const auto row = study.counts(gene);
    counts.add(study.gene_name(gene));
    for (const std::uint32_t n : row) counts.add("\t").add(std::uint64_t{n});
    counts.end_row();
    add_long_rows(table, study, tails, gene, row);
    if (progress && gene % 64 == 63) progress(gene + 1);
  }
  std::vector<StudyFile> out;
  const auto finish = [&](Writer& writer, const char* what) -> Status {
    POLYSOME_ASSIGN(StudyFile file, writer.finish(what));
    out.push_back(std::move(file));
    return {};
  };
  POLYSOME_TRY(finish(table, "long table: a row for each gene and sample"));
  POLYSOME_TRY(finish(counts, "count matrix: genes in rows, samples in columns"));
  POLYSOME_TRY(finish(samples, "sample sheet: condition, batch, sex"));
  POLYSOME_TRY(finish(truth, "the genes that were planted, and how much"));
  return out;
}

}  // namespace polysome::cli
