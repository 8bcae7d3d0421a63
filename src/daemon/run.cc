// `polysome run`: one job with everything in this process but the workers. The work folder is a
// state folder of its own, so the same command goes on where it stopped.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <set>

#include "base/files.h"
#include "base/log.h"
#include "base/unique_fd.h"
#include "daemon/host.h"
#include "daemon/service.h"
#include "model/database_url.h"

namespace polysome {
namespace {

constexpr std::size_t kBlockBytes = 1 << 18;

RunOutcome refused(const Error& error) {
  RunOutcome out;
  out.exit_code = info(error.code).exit_code;
  out.problem = problem_json(error);
  return out;
}

int exit_code_of(const Json& status) {
  const std::string s = status.value("status", "");
  return s == "completed" ? 0 : s == "cancelled" ? 3 : 1;
}

// Runs the loop until `reply` was called; nullopt when it never is (the loop ran dry).
template <class Call>
Result<Json> ask(boost::asio::io_context& loop, Call call) {
  std::optional<Result<Json>> answer;
  call([&](Result<Json> r) { answer = std::move(r); });
  while (!answer && loop.run_one() > 0) {
  }
  if (!answer) return fail(Code::kInternal, "the loop ended before an answer came");
  return *answer;
}

std::uint64_t finished_tasks(const Json& status) {
  std::uint64_t n = 0;
  for (const auto& s : status.value("stages", Json::array()))
    n += s.value("tasks_done", std::uint64_t{0});
  return n;
}

// The names the files go by in the job: one file by its path, several files of one dataset together
// as "input", layers each by its file's stem (sql calls them so), with a number where stems repeat.
Json name_files(const RunRequest& request, Engine& engine) {
  if (request.files.size() == 1) return request.files.front();
  if (!request.files_are_layers) {
    engine.add_files("input", request.files);
    return "input";
  }
  Json names = Json::array();
  std::set<std::string> used;
  for (const auto& file : request.files) {
    const std::string stem = stem_of_name(std::filesystem::path(file).filename().string());
    std::string name = stem;
    for (int n = 2; !used.insert(name).second; ++n) name = fmt::format("{}_{}", stem, n);
    engine.add_files(name, {file});
    names.push_back(name);
  }
  return names;
}

// The one folder that the job may write its answer to.
std::string output_dir_of(const RunRequest& request, const std::string& otherwise) {
  std::string file = request.out;
  if (const auto output = request.submit_body.find("output");
      output != request.submit_body.end() && output->is_object())
    if (const auto url = parse_database_url(output->value("database", "")))
      file = url->path;  // empty: a server
  return file.empty() ? otherwise : std::filesystem::path(file).parent_path().string();
}

// What a file holds, in blocks; the file is removed.
Status take_file(const std::string& path, const RunOutcome::TextSink& sink) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail(errno_error("cannot open", path, errno));
  ::unlink(path.c_str());
  const auto block = std::make_unique_for_overwrite<char[]>(kBlockBytes);
  for (;;) {
    const ssize_t n = ::read(fd.get(), block.get(), kBlockBytes);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(errno_error("cannot read", path, errno));
    if (n == 0) return {};
    POLYSOME_TRY(sink({block.get(), static_cast<std::size_t>(n)}));
  }
}

// The next piece is made while the one before is taken.
Status take_text(Host& host, const JobId& id, const std::string& format,
                 const RunOutcome::TextSink& sink) {
  using Piece = Result<Engine::ResultText>;
  const auto begin = [&](std::uint64_t offset) {
    auto answer = std::make_shared<std::optional<Piece>>();
    host.engine().result_text(id, format, offset, [answer](Piece p) { *answer = std::move(p); });
    return answer;
  };
  auto next = begin(0);
  for (;;) {
    while (!*next && host.loop().run_one() > 0) {
    }
    if (!*next) return fail(Code::kInternal, "the loop ended before an answer came");
    const Piece piece = std::move(**next);
    if (!piece) return fail(piece.error());
    if (piece->next_offset) next = begin(*piece->next_offset);
    // What was asked for leaves before the piece is printed, which may take long.
    host.loop().poll();
    POLYSOME_TRY(take_file(piece->file, sink));
    if (!piece->next_offset) return {};
  }
}

}  // namespace

RunOutcome run_job(const RunRequest& request, std::string_view operations_json) {
  log::configure(log::Format::kText, log::Level::kError);
  Host::Options options;
  options.config = request.base;
  options.any_path = true;
  options.workers_answer = true;
  // What is printed afterwards is read from the table.
  options.keep_tables = request.out.empty();
  auto& c = options.config;
  const std::string folder = absolute_path(request.work_folder);
  c.state_dir = folder;
  c.work_dir = folder + "/work";
  // Spills of several runs may share one folder: each has its own below it.
  c.scratch = c.scratch.empty()
                  ? folder + "/scratch"
                  : fmt::format("{}/polysome-{}", absolute_path(c.scratch), ::getpid());
  c.output_dirs = {output_dir_of(request, folder + "/results")};
  c.cluster = request.cluster;
  auto host = Host::open(std::move(options), operations_json);
  if (!host) return refused(host.error());
  const std::shared_ptr<Host> owner = std::move(*host);
  Engine& engine = owner->engine();
  if (auto started = engine.start(true, true); !started) return refused(started.error());

  JobId id;
  RunOutcome out;
  const auto known = engine.active_jobs();
  if (!known.empty()) {
    id = known.front();
    if (const auto status = engine.job_status(id)) out.resumed_tasks = finished_tasks(*status);
  } else {
    Json body = request.submit_body;
    if (!request.files.empty()) body["dataset_id"] = name_files(request, engine);
    if (!request.out.empty()) body["output"]["path"] = request.out;
    auto parsed = parse_submit(body, engine.catalog(), engine.submit_defaults());
    if (!parsed) return refused(parsed.error());
    const auto answer = ask(owner->loop(), [&](auto reply) {
      engine.submit(std::move(*parsed), "", "", [reply](Result<api::SubmitAnswer> r) {
        if (r)
          reply(r->body);
        else
          reply(std::unexpected(r.error()));
      });
    });
    if (!answer) return refused(answer.error());
    id = *JobId::parse((*answer)["job_id"].get<std::string>());
  }

  boost::asio::steady_timer timer(owner->loop());
  std::optional<Json> end;
  // Interrupted: the workers end with this process, the job stays unfinished in its work folder,
  // and the same command goes on from the tasks that are done.
  bool stopped = false;
  std::function<void()> look = [&] {
    const auto status = engine.job_status(id);
    if (!status) return;
    if (request.on_progress) request.on_progress(*status);
    if (request.stop_requested && request.stop_requested()) {
      stopped = true;
      return;
    }
    timer.expires_after(Millis(200));
    timer.async_wait([&](const boost::system::error_code& ec) {
      if (!ec && !end) look();
    });
  };
  engine.wait_job(id, 1e9, std::nullopt, [&](Result<Json> r) {
    if (r) end = std::move(*r);
  });
  if (!end) look();
  while (!end && !stopped && owner->loop().run_one() > 0) {
  }
  timer.cancel();
  if (stopped) {
    if (auto status = engine.job_status(id)) out.status = std::move(*status);
    out.exit_code = 3;
    return out;
  }
  if (!end) return refused(Error(Code::kInternal, "the job's loop ended before the job did"));
  if (request.on_progress) request.on_progress(*end);
  out.status = std::move(*end);
  out.exit_code = exit_code_of(out.status);
  if (out.status.contains("error")) out.problem = out.status["error"];
  out.text = [owner, id](const std::string& format, const RunOutcome::TextSink& sink) {
    return take_text(*owner, id, format, sink);
  };
  out.page = [owner, id](std::uint64_t limit, const std::vector<std::string>& columns) {
    api::ResultQuery query;
    query.limit = limit;
    query.columns = columns;
    return ask(owner->loop(), [&](auto reply) {
      owner->engine().job_result(id, query, [reply](Result<api::Download> r) {
        if (r)
          reply(std::move(r->body));
        else
          reply(std::unexpected(r.error()));
      });
    });
  };
  out.clean = [owner, folder] { (void)remove_all(folder); };
  return out;
}

}  // namespace polysome
