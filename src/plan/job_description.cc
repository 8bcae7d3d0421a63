#include "plan/job_description.h"

#include <algorithm>
#include <filesystem>

#include "base/files.h"

namespace polysome {

Json JobDescription::to_json() const {
  return {{"spec", spec.to_json()},
          {"options",
           {{"slots", slots},
            {"memory", memory},
            {"read_roots", read_roots},
            {"output_roots", output_roots},
            {"result_folder", result_folder},
            {"program", program},
            {"keep_table", keep_table},
            {"bucket_size", bucket_size}}}};
}

Result<JobDescription> JobDescription::from_json(const Json& j) {
  try {
    JobDescription out;
    POLYSOME_ASSIGN(out.spec, JobSpec::from_json(j.at("spec")));
    const Json& options = j.at("options");
    out.slots = options.value("slots", 1);
    out.memory = options.value("memory", std::uint64_t{0});
    out.read_roots = options.value("read_roots", std::vector<std::string>{});
    out.output_roots = options.value("output_roots", std::vector<std::string>{});
    out.result_folder = options.value("result_folder", std::string());
    out.program = options.value("program", std::string());
    out.keep_table = options.value("keep_table", true);
    out.bucket_size = std::max<std::uint64_t>(options.value("bucket_size", out.bucket_size), 1);
    return out;
  } catch (const std::exception& e) {
    return fail(Code::kInternal, std::string("unreadable job description: ") + e.what());
  }
}

Result<JobDescription> read_job_description(const std::string& job_folder) {
  POLYSOME_ASSIGN(const std::string text, read_file(std::filesystem::path(job_folder) / kJobFile));
  POLYSOME_ASSIGN(const Json j, parse_trusted_json(text));
  return JobDescription::from_json(j);
}

}  // namespace polysome
