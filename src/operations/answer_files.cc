#include "operations/answer_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

namespace polysome {
namespace fs = std::filesystem;

Result<std::unique_ptr<Session>> open_session(const TaskContext& context,
                                              std::vector<std::string> folders) {
  SessionConfig config;
  if (context.memory > 0) config.memory = context.memory / 10 * 7;
  config.temp_folder = context.scratch;
  config.allowed_directories = std::move(folders);
  config.allowed_directories.push_back(context.scratch);
  std::erase(config.allowed_directories, std::string());
  POLYSOME_ASSIGN(auto session, Session::open(config));
  POLYSOME_TRY(session->lock());
  if (context.set_interrupt) context.set_interrupt([raw = session.get()] { raw->interrupt(); });
  return session;
}

Result<AnswerSession> session_for(const std::vector<std::string>& paths, const TaskContext& context,
                                  const KeptSession& kept) {
  AnswerSession out;
  if (kept) out.use = kept(paths);
  if (out.use == nullptr) {
    POLYSOME_ASSIGN(out.own, open_session(context, parents_of(paths)));
    out.use = out.own.get();
  } else if (context.set_interrupt) {
    context.set_interrupt([raw = out.use] { raw->interrupt(); });
  }
  return out;
}

Result<std::vector<std::string>> paths_of(const Json& request) {
  std::vector<std::string> out;
  for (const auto& f : request.value("files", Json::array())) {
    if (f.is_string())
      out.push_back(f.get<std::string>());
    else if (f.is_object() && f.contains("path"))
      out.push_back(f["path"].get<std::string>());
  }
  if (out.empty()) return fail(Code::kInvalid, "the request names no files");
  std::error_code ec;
  for (const auto& path : out)
    if (!fs::exists(path, ec)) return fail(Code::kGone, fmt::format("{} is no longer there", path));
  return out;
}

std::vector<std::string> parents_of(const std::vector<std::string>& paths) {
  std::vector<std::string> out;
  for (const auto& p : paths) out.push_back(fs::path(p).parent_path().string());
  std::ranges::sort(out);
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

}  // namespace polysome
