// A made-up omics study with planted effects: samples in two conditions and three batches,
// over-dispersed counts, and a few genes whose level really differs between the conditions. The
// same seed gives the same bytes on every machine: only additions, multiplications, divisions and
// square roots, which IEEE 754 fixes to the bit, and integers. Nothing is read; write_study writes
// into one folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"

namespace polysome::cli {

struct StudySpec {
  std::uint64_t seed = 1;
  std::uint32_t samples = 200;
  std::uint32_t genes = 2000;
};

struct PlantedGene {
  std::uint32_t gene = 0;
  double log2_fold_change = 0;  // of treated over control
};

class Study {
 public:
  explicit Study(const StudySpec& spec);

  const std::vector<PlantedGene>& planted() const { return planted_; }  // by gene
  std::string gene_name(std::uint32_t gene) const;                      // from 0: GENE0001
  std::string sample_name(std::uint32_t sample) const;                  // from 0: S001
  const char* condition(std::uint32_t sample) const {
    return samples_[sample].treated ? "treated" : "control";
  }
  std::uint32_t batch(std::uint32_t sample) const { return samples_[sample].batch; }
  const char* sex(std::uint32_t sample) const { return samples_[sample].female ? "F" : "M"; }
  // Sequencing depth relative to the mean of all samples, about 0.7 to 1.4.
  double size_factor(std::uint32_t sample) const { return samples_[sample].size_factor; }
  // Counts of one gene in every sample.
  std::vector<std::uint32_t> counts(std::uint32_t gene) const;
  // A count without its sample's depth, in thousandths.
  std::uint64_t expression_milli(std::uint32_t count, std::uint32_t sample) const;

 private:
  struct Sample {
    bool treated = false, female = false;
    std::uint32_t batch = 1;
    double size_factor = 1;
  };
  StudySpec spec_;
  std::vector<Sample> samples_;
  std::vector<PlantedGene> planted_;
};

struct StudyFile {
  std::string name;
  std::string what;  // for people
  std::uint64_t rows = 0;
  std::uint64_t bytes = 0;
};

// counts.tsv, samples.tsv, my_dataset.csv and truth.tsv; existing ones are overwritten. `progress`
// is called with the number of genes done.
Result<std::vector<StudyFile>> write_study(
    const StudySpec& spec, const std::filesystem::path& folder,
    const std::function<void(std::uint32_t genes)>& progress);
const std::vector<std::string>& study_file_names();

}  // namespace polysome::cli
