#include "operations/delivery.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include "base/files.h"
#include "base/scratch.h"
#include "model/database_url.h"

namespace polysome {
namespace fs = std::filesystem;
namespace {

Error output_error(std::string message, std::string hint) {
  return Error(Code::kUserData, std::move(message), std::move(hint)).at("/output/path");
}

bool lies_below(const fs::path& path, const fs::path& root) {
  std::error_code ec;
  const fs::path real_root = fs::weakly_canonical(root, ec);
  const fs::path real = fs::weakly_canonical(path, ec);
  const fs::path relative = real.lexically_relative(real_root);
  return !relative.empty() && *relative.begin() != ".." && relative != ".";
}

Result<std::string> resolve_output(const JobDescription& job, const std::string& asked) {
  if (job.output_roots.empty())
    return fail(output_error("no folder for outputs is configured", "serve --output-dir DIR"));
  fs::path path(asked);
  if (path.is_relative()) path = fs::path(job.output_roots.front()) / path;
  path = path.lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  for (const auto& root : job.output_roots)
    if (lies_below(path, root)) return path.string();
  return fail(
      output_error(fmt::format("output path {} lies outside the output folders", asked),
                   fmt::format("give a path relative to {}, or one below {}",
                               job.output_roots.front(), fmt::join(job.output_roots, ", "))));
}

Error exists_error(const std::string& path) {
  return output_error(fmt::format("{} exists already", path),
                      "choose another path, or say \"if_exists\": \"replace\"");
}

// Which file an earlier attempt of this job published: device and inode, noted before publishing.
std::string claim_path(const TaskEnv& env) { return env.spec.job_folder + "/output.claim"; }

std::string identity(const std::string& path) {
  struct stat st{};
  if (::lstat(path.c_str(), &st) != 0) return {};
  return fmt::format("{} {}", st.st_dev, st.st_ino);
}

bool is_ours(const TaskEnv& env, const std::string& path) {
  const auto claim = read_file(claim_path(env));
  return claim && !claim->empty() && *claim == identity(path);
}

Status rename_over(const std::string& temporary, const std::string& path, bool folder) {
  const std::string aside = temporary + ".old";
  std::error_code ec;
  // rename(2) does not replace a folder that holds something, or a folder by a file.
  const auto there = fs::symlink_status(path, ec);
  const bool move_away = fs::exists(there) && (folder || fs::is_directory(there));
  if (move_away && ::rename(path.c_str(), aside.c_str()) != 0)
    return fail(errno_error("cannot replace", path, errno));
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    const int reason = errno;
    if (move_away) (void)::rename(aside.c_str(), path.c_str());
    return fail(errno_error("cannot rename to", path, reason));
  }
  // Renaming one name of a file over another of the same does nothing.
  if (!folder) ::unlink(temporary.c_str());
  return move_away ? remove_all(aside) : Status{};
}

Status publish_new(const std::string& temporary, const std::string& path, bool folder) {
  if (folder) {
    if (::renameat2(AT_FDCWD, temporary.c_str(), AT_FDCWD, path.c_str(), RENAME_NOREPLACE) == 0)
      return {};
  } else if (::link(temporary.c_str(), path.c_str()) == 0) {
    ::unlink(temporary.c_str());
    return {};
  }
  if (errno == EEXIST) return fail(exists_error(path));
  return fail(errno_error("cannot publish", path, errno));
}

}  // namespace

Json Delivery::to_json() const {
  return {{"path", path},   {"format", format.format}, {"compression", format.compression},
          {"parts", parts}, {"replace", replace},      {"database", database}};
}

std::optional<Delivery> Delivery::from_json(const Json& j) {
  if (!j.is_object()) return std::nullopt;
  Delivery d;
  d.path = j.value("path", std::string());
  d.format.format = j.value("format", std::string("csv"));
  d.format.compression = j.value("compression", std::string("none"));
  d.parts = j.value("parts", false);
  d.replace = j.value("replace", false);
  d.database = j.value("database", std::string());
  return d;
}

Result<std::optional<Delivery>> delivery_of(const JobDescription& job, const FileFormat& fallback) {
  const Json& output = job.spec.output;
  if (output.is_object() && output.contains("database")) {
    Delivery d;
    POLYSOME_ASSIGN(DatabaseUrl url, parse_database_url(output["database"].get<std::string>()));
    if (url.kind == DatabaseUrl::Kind::kSqlite) {
      // One slash too few is what most people write.
      const bool meant = std::ranges::any_of(job.output_roots, [&](const std::string& root) {
        return !url.path.starts_with('/') && lies_below("/" + url.path, root);
      });
      POLYSOME_ASSIGN(url.path, resolve_output(job, meant ? "/" + url.path : url.path));
    }
    d.database = url.text();
    d.format.format = "parquet";  // no text is made on the way
    d.replace = output.value("if_exists", std::string("error")) == "replace";
    return d;
  }
  if (!output.is_object() || !output.contains("path")) return std::optional<Delivery>{};
  const auto asked = output["path"].get<std::string>();
  Delivery d;
  POLYSOME_ASSIGN(d.path, resolve_output(job, asked));
  const FileFormat by_name = format_of_name(asked);
  const auto choose = [&](const char* key, const std::string& named, const std::string& other) {
    return output.value(key, named.empty() ? other : named);
  };
  d.format.format = choose("format", by_name.format, fallback.format);
  d.format.compression = choose("compression", by_name.compression, fallback.compression);
  if (d.format.format == "arrow" && d.format.compression == "gzip")
    return fail(Error(Code::kUserData, "Arrow files are compressed inside, and not by gzip",
                      "compression zstd or none")
                    .at("/output/compression"));
  d.parts = output.value("files", std::string("one")) == "parts";
  d.replace = output.value("if_exists", std::string("error")) == "replace";
  std::error_code ec;
  if (!d.replace && fs::exists(fs::symlink_status(d.path, ec))) return fail(exists_error(d.path));
  if (!d.parts && fs::is_directory(d.path, ec))
    return fail(output_error(d.path + " is a folder", "name a file, or say \"files\": \"parts\""));
  return d;
}

Status deliver(const TaskEnv& env, const Delivery& delivery,
               const std::function<Status(const std::string&)>& write) {
  const fs::path target(delivery.path);
  POLYSOME_TRY(make_folders(target.parent_path()));
  const std::string temporary =
      (target.parent_path() / fmt::format(".{}.{}.{}.tmp", target.filename().string(),
                                          env.spec.task.job.text(), env.spec.attempt.text()))
          .string();
  POLYSOME_ASSIGN(const auto note, NoteOfTemporary::make(env.context.scratch, temporary));
  POLYSOME_TRY(remove_all(temporary));
  if (delivery.parts) POLYSOME_TRY(make_folders(temporary));
  Status written = write(temporary);
  if (written && delivery.parts) written = sync_folder(temporary);
  if (written) {
    const bool ours = is_ours(env, delivery.path);
    if (!ours) written = write_file(claim_path(env), identity(temporary), true);
    if (written)
      written = delivery.replace || ours ? rename_over(temporary, delivery.path, delivery.parts)
                                         : publish_new(temporary, delivery.path, delivery.parts);
  }
  if (!written) {
    (void)remove_all(temporary);
    return written;
  }
  return sync_folder(target.parent_path());
}

}  // namespace polysome
