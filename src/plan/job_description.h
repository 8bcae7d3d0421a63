// The job as its tasks read it: job.json in the job's work folder, written by the daemon before the
// planner task starts. Read by every slot that runs a task of the job; never changed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/job.h"

namespace polysome {

struct JobDescription {
  JobSpec spec;
  int slots = 1;                        // of the whole cluster
  std::uint64_t memory = 0;             // default grant of a task, bytes
  std::vector<std::string> read_roots;  // data may be read below these; empty: anywhere
  std::vector<std::string>
      output_roots;  // results may be written below these; the first is default
  std::string result_folder;
  std::string program;  // version of the service that wrote it
  // The result's table is asked for after the job. Where not (polysome run), it need not outlive
  // the machine, nor what was delivered be there twice.
  bool keep_table = true;
  // Value counts of about so many input bytes are finished by one task of a shuffle.
  std::uint64_t bucket_size = 64'000'000;

  Json to_json() const;
  static Result<JobDescription> from_json(const Json& j);
};

inline constexpr const char* kJobFile = "job.json";

// Errors: kIo when absent, kInternal when unreadable.
Result<JobDescription> read_job_description(const std::string& job_folder);

}  // namespace polysome
