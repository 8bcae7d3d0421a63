// jobs/{id}/logs: what was said about a job's tasks, in pages or as a stream of JSON lines that
// goes on to the job's end.
#include <fmt/format.h>

#include <memory>

#include "api/answers.h"
#include "api/request_reader.h"
#include "api/routes.h"

namespace polysome::api {
namespace {

constexpr std::size_t kLinesAtOnce = 1000;

// Sends what is there, then lines as they come. Lives as long as its stream's callbacks hold it.
class LogFollower : public std::enable_shared_from_this<LogFollower> {
 public:
  LogFollower(Backend& backend, JobId job, std::string task)
      : backend_(backend), job_(job), task_(std::move(task)) {}

  void open(const Responder& to) {
    stream_ = to->open_stream({"application/x-ndjson", "\n", Millis(15'000)});
    const auto self = shared_from_this();
    subscription_ = backend_.follow_log(job_, [weak = weak_from_this()](bool over) {
      if (const auto follower = weak.lock()) follower->more(over);
    });
    stream_->watch([self] { self->leave(); }, [self] { self->more(self->over_); });
    more(!subscription_);
  }

 private:
  // Reads on in the log where this client stopped; `over`: nothing comes after what is there.
  void more(bool over) {
    over_ = over_ || over;
    while (open_) {
      if (stream_->buffered() > kMostWaiting) return;  // goes on when that is taken
      const auto page = backend_.job_log(job_, {at_, kLinesAtOnce, task_});
      if (!page) break;
      std::string text;
      for (const auto& line : page->lines) text += dump(line) + "\n";
      at_ = page->next;
      stream_->write(text);
      if (!page->more) break;
    }
    if (open_ && over_) {
      leave();
      stream_->close();
    }
  }
  void leave() {
    open_ = false;
    if (subscription_) backend_.unfollow_log(*subscription_);
    subscription_.reset();
  }

  static constexpr std::size_t kMostWaiting = 262'144;

  Backend& backend_;
  JobId job_;
  std::string task_;
  std::shared_ptr<EventStream> stream_;
  std::optional<std::uint64_t> subscription_;
  std::uint64_t at_ = 0;
  bool open_ = true;
  bool over_ = false;
};

void logs(Backend& backend, const Call& call, const Responder& to) {
  QueryReader query(call.request);
  LogQuery asked;
  asked.task = query.text("task").value_or("");
  asked.limit = query.limit();
  const bool follow =
      query.choice("follow", {"true", "false", "1", "0"}).value_or("false").find_first_of("t1") ==
      0;
  asked.from = query.page_offset();
  if (const auto ok = query.status(); !ok) return to->send(problem_answer(ok.error()));
  const auto id = own_job_of_path(call, backend, "see its log");
  if (!id) return to->send(problem_answer(id.error()));
  const auto status = backend.job_status(*id);
  if (!status) return to->send(problem_answer(status.error()));
  if (follow) return std::make_shared<LogFollower>(backend, *id, asked.task)->open(to);
  auto page = backend.job_log(*id, asked);
  if (!page) return to->send(problem_answer(page.error()));
  to->send(
      json_answer({{"job_id", id->text()},
                   {"status", status->value("status", "")},
                   {"logs", std::move(page->lines)},
                   {"next_page_token", page->more ? Json(std::to_string(page->next)) : Json()}}));
}

}  // namespace

void add_log_routes(Router& router, Backend& backend) {
  router.add({"GET",
              std::string(kBase) + "/jobs/{id}/logs",
              "what was said about a job's tasks; follow=true streams it to the job's end",
              {"task", "follow", "limit", "page_token"},
              [&backend](const Call& call, const Responder& to) { logs(backend, call, to); }});
}

}  // namespace polysome::api
