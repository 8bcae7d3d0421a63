// Runs the scripts of tests/scenarios: timed events and, indented below each, exactly the commands
// the core must answer with. Each script is then played again with a restart of the service after
// every one of its events: nothing that was recorded may run again, and every job must come to its
// end. tests/scenarios/README.md tells the words.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/core_story.h"
#include "core/scenario_line.h"

namespace polysome::core {
namespace {

namespace fs = std::filesystem;
using story::Line;
using story::split;

// Beside the source; a relative name in __FILE__ is one from the build folder, where this program
// lies.
fs::path scripts_folder() {
  const fs::path source(__FILE__);
  const fs::path build = fs::read_symlink("/proc/self/exe").parent_path();
  const fs::path here = source.is_absolute() ? source : build / source;
  return (here.parent_path() / ".." / ".." / "tests" / "scenarios").lexically_normal();
}

struct Script {
  std::set<std::string> ignored;  // kinds of commands that are not compared
  std::vector<Line> lines;
};

Script read_script(const fs::path& path) {
  Script script;
  std::ifstream in(path);
  int number = 0;
  for (std::string text; std::getline(in, text);) {
    ++number;
    if (text.starts_with('#')) continue;
    text = text.substr(0, text.find(" #"));
    while (!text.empty() && text.back() == ' ') text.pop_back();
    if (text.empty()) continue;
    if (text.front() == ' ') {
      script.lines.back().expected.push_back(text.substr(text.find_first_not_of(' ')));
      continue;
    }
    Line line;
    line.number = number;
    for (const auto& word : split(text, ' ')) {
      const auto equals = word.find('=');
      if (equals == std::string::npos)
        line.words.push_back(word);
      else
        line.values[word.substr(0, equals)] = word.substr(equals + 1);
    }
    if (line.words[0] == "ignore")
      script.ignored.insert(line.words.begin() + 1, line.words.end());
    else
      script.lines.push_back(std::move(line));
  }
  return script;
}

// name[*tasks][:BYTES of all][@BYTES grant][~ borders][& gang][! final][? planner][/ can split]
// [<stage,stage]
Stage stage_from(const std::string& word) {
  Stage stage;
  const auto after = split(word, '<');
  stage.name = after[0];
  if (after.size() > 1) stage.after = split(after[1], ',');
  for (bool mark = true; mark;) {
    mark = true;
    switch (stage.name.back()) {
      case '~': stage.borders = true; break;
      case '&': stage.gang = true; break;
      case '!': stage.final = true; break;
      case '?': stage.kind = StageKind::kPlanner; break;
      case '/': stage.can_split = true; break;
      default: mark = false;
    }
    if (mark) stage.name.pop_back();
  }
  const auto number_after = [&](char sign, std::uint64_t otherwise) {
    const auto at = stage.name.find(sign);
    if (at == std::string::npos) return otherwise;
    otherwise = std::stoull(stage.name.substr(at + 1));
    stage.name.resize(at);
    return otherwise;
  };
  stage.grant = number_after('@', 0);
  stage.bytes = number_after(':', 0);
  stage.tasks = static_cast<std::uint32_t>(number_after('*', 1));
  return stage;
}

// What the store and the files of a service hold when it is killed.
struct Kept {
  JobSubmitted spec;
  bool cancelling = false;
  std::vector<Stage> stages{stage_from("plan?")};
  std::map<std::pair<std::uint32_t, std::uint32_t>, bool> finished;  // → started inside
  std::map<std::string, std::vector<Stage>> plans;                   // what its planners give
  std::map<std::uint32_t, std::pair<bool, bool>> ends;               // border ends as scripted

  const std::vector<Stage>& plan_of(const std::string& planner) {
    const auto [it, is_new] = plans.try_emplace(planner);
    if (is_new) it->second = {story::final_stage({})};
    return it->second;
  }
};

class Player {
 public:
  explicit Player(std::uint32_t epoch = 1) : core_(config(epoch), 1) {}

  std::vector<std::string> play(const Line& line) {
    if (auto answered = story::answer(core_, line, now_)) return {*std::move(answered)};
    if (line.word(0) == "pass") return pass(std::stol(line.word(1)));
    std::vector<std::string> lines;
    for (const auto& event : events_of(line)) append(lines, take(event));
    return lines;
  }

  // A new service on what this one left. What people had set is set again; then they release what
  // they held, and everything runs to its end, without faults.
  void restart_and_finish() {
    const UsageKnown usage{core_.fair_usage(now_)};
    core_ = Core(config(2), 2);
    now_ += 10'000;
    replies_.clear();
    take(usage);
    for (const auto& [kind, event] : std::map(settings_)) take(event);
    for (const auto& [id, kept] : kept_)
      for (const auto before : kept.spec.depends_on)  // of a service before the script's
        if (!kept_.contains(before)) take(DependencyKnown{before, JobStatus::kCompleted});
    for (const auto& [id, status] : ended_) take(DependencyKnown{id, status});
    for (auto& [id, kept] : kept_) {
      if (ended_.contains(id)) continue;
      take(restored(kept));
    }
    replying_ = true;
    take(ClusterStarted{{4, 2, 8'000'000'000}});
    take(QueueResumed{});
    for (const auto& [id, kept] : kept_)
      if (kept.spec.held) take(JobPatched{id, std::nullopt, false});
    for (int steps = 0; !core_.active_jobs().empty(); ++steps) {
      ASSERT_LT(steps, 1000) << "does not come to its end";
      if (replies_.empty()) {
        now_ = std::max(now_, core_.next_deadline().value_or(now_));
        for (const auto& worker : core_.cluster().workers) take(WorkerHeard{worker.id, 1, 1});
        continue;
      }
      const Event reply = std::move(replies_.front());
      replies_.pop_front();
      take(reply);
    }
    for (const auto& [id, kept] : kept_)
      EXPECT_TRUE(ended_.contains(id)) << "job " << story::job_name(id) << " is left over";
  }

 private:
  static Config config(std::uint32_t epoch) {
    Config c;
    c.epoch = epoch;
    return c;
  }

  std::vector<std::string> take(const Event& event) {
    std::vector<std::string> lines;
    note_event(event);
    for (const auto& command : core_.step(event, now_)) {
      std::string text = story::line(command);
      if (const auto* c = std::get_if<CancelTask>(&command))
        text = "cancel_task " + shown(c->attempt);
      if (!text.empty()) lines.push_back(std::move(text));
      keep(command);
    }
    for (const auto& broken : core_.broken_invariants()) ADD_FAILURE() << broken;
    return lines;
  }

  static void append(std::vector<std::string>& lines, std::vector<std::string> more) {
    std::ranges::move(more, std::back_inserter(lines));
  }

  // Time of a living service: its deadlines are kept and its workers are heard all the while.
  std::vector<std::string> pass(MonoTime ms) {
    std::vector<std::string> lines;
    const MonoTime end = now_ + ms;
    while (now_ < end) {
      const MonoTime due = std::min(core_.next_deadline().value_or(end), now_ + 5000);
      now_ = std::min(end, std::max(due, now_ + 1));
      append(lines, take(Tick{}));
      for (const auto& worker : core_.cluster().workers)
        append(lines, take(WorkerHeard{worker.id, 1, 1}));
    }
    return lines;
  }

  // What the store remembers of events.
  void note_event(const Event& event) {
    if (const auto* s = std::get_if<JobSubmitted>(&event)) kept_[s->id].spec = *s;
    const auto* cancel = std::get_if<CancelRequested>(&event);
    if (cancel != nullptr && kept_.contains(cancel->job)) kept_[cancel->job].cancelling = true;
    const auto* p = std::get_if<JobPatched>(&event);
    if (p != nullptr && kept_.contains(p->job)) {
      JobSubmitted& spec = kept_[p->job].spec;
      spec.priority = p->priority.value_or(spec.priority);
      spec.held = p->held.value_or(spec.held);
    }
    if (std::holds_alternative<QueuePaused>(event)) settings_[0] = event;
    if (std::holds_alternative<QueueResumed>(event)) settings_.erase(0);
    if (std::holds_alternative<LimitsChanged>(event)) settings_[1] = event;
    if (std::holds_alternative<AutoscaleChanged>(event)) settings_[2] = event;
  }

  // The newest attempt of a task by the task's name, an older one with its number.
  std::string shown(AttemptId id) const {
    const std::string& name = names_.at(id);
    const auto& all = attempts_.at(name);
    if (all.back() == id) return name;
    return fmt::format("{}#{}", name, std::ranges::find(all, id) - all.begin() + 1);
  }

  // What a faultless cluster answers.
  void reply_to(const Command& command) {
    if (const auto* c = std::get_if<StartTask>(&command)) replies_.emplace_back(good_result(*c));
    if (const auto* c = std::get_if<StartWorker>(&command))
      replies_.emplace_back(WorkerReady{c->worker, 1});
    if (const auto* c = std::get_if<StopWorker>(&command))
      replies_.emplace_back(WorkerLost{c->worker, c->force, "stopped"});
    if (const auto* c = std::get_if<CancelTask>(&command)) {
      TaskFailed cancelled;
      cancelled.failure.attempt = c->attempt;
      cancelled.failure.error = Error(Code::kCancelled, "cancelled");
      replies_.emplace_back(cancelled);
    }
  }

  void keep(const Command& command) {
    if (replying_) reply_to(command);
    if (const auto* c = std::get_if<StartTask>(&command)) {
      const std::string name =
          story::job_name(c->task.job) + "/" + c->stage_name + "/" + std::to_string(c->task.index);
      names_[c->attempt] = name;
      attempts_[name].push_back(c->attempt);
      inside_[c->attempt] = c->start_inside_quotes;
      EXPECT_FALSE(kept_[c->task.job].finished.contains({c->task.stage, c->task.index}))
          << name << " had been finished";
    }
    if (const auto* c = std::get_if<RecordTask>(&command)) {
      Kept& kept = kept_[c->task.job];
      kept.finished[{c->task.stage, c->task.index}] = inside_[c->attempt];
      if (!c->planned) return;
      const auto& plan = kept.plan_of(kept.stages[c->task.stage].name);
      kept.stages.insert(kept.stages.end(), plan.begin(), plan.end());
    }
    if (const auto* c = std::get_if<ForgetTask>(&command))
      kept_[c->task.job].finished.erase({c->task.stage, c->task.index});
    if (const auto* c = std::get_if<JobEnded>(&command)) ended_[c->job] = c->status;
  }

  // "a/scan/0" is the newest attempt of a task, "a/scan/0#1" its first.
  AttemptId attempt(const std::string& word) const {
    const auto parts = split(word, '#');
    const auto it = attempts_.find(parts[0]);
    const std::size_t n = parts.size() > 1 ? std::stoul(parts[1]) : 0;
    if (it != attempts_.end() && n <= it->second.size())
      return n == 0 ? it->second.back() : it->second[n - 1];
    ADD_FAILURE() << "no attempt " << word;
    return {};
  }

  std::vector<Event> events_of(const Line& line) {
    const std::string verb = line.word(0);
    if (verb == "repeat") return last_;
    last_.clear();
    if (verb == "submit")
      for (const auto id : story::jobs_named(line.word(1)))
        last_.emplace_back(story::submission(line, id, ++sequence_));
    else if (verb == "cancel")
      for (const auto id : story::jobs_named(line.word(1)))
        last_.emplace_back(CancelRequested{id, ""});
    else if (auto event = story::plain_event(line))
      last_.push_back(*std::move(event));
    else
      last_.push_back(event_of(line));
    return last_;
  }

  Event event_of(const Line& line) {
    const std::string verb = line.word(0);
    const std::string what = line.word(1);
    if (verb == "slot_lost") {
      const auto parts = split(what, '.');
      return SlotLost{WorkerId::parse(parts[0]).value(), std::stoi(parts[1]), line.has("killed"),
                      line.has("out_of_memory"), "scripted"};
    }
    if (verb == "started") return TaskStarted{attempt(what)};
    if (verb == "progress")
      return TaskProgressed{attempt(what), static_cast<std::uint64_t>(std::stoull(line.word(2))),
                            1};
    if (verb == "plan" || verb == "finish") return finish(line);
    if (verb == "fail") {
      TaskFailed failed;
      failed.failure.attempt = attempt(what);
      failed.failure.error = Error(code_from_name(line.word(2)).value(), "scripted");
      failed.failure.needed_memory = static_cast<std::uint64_t>(line.value("needed", 0));
      return failed;
    }
    if (verb == "output_lost")
      return OutputLost{
          attempt(what),
          {story::job_named(what[0]), static_cast<std::uint32_t>(line.value("stage", 1)),
           static_cast<std::uint32_t>(line.value("task", 0))},
          "scripted"};
    if (verb == "wait") now_ += std::stol(what);
    if (verb == "tick") now_ = std::max(now_, core_.next_deadline().value_or(now_));
    if (verb != "wait" && verb != "tick") ADD_FAILURE() << "unknown word " << verb;
    return Tick{};
  }

  Event finish(const Line& line) {
    TaskFinished f;
    const std::string what = line.word(1);
    const std::string task = what.size() == 1 ? what + "/plan/0" : what;
    f.result.attempt = attempt(task);
    f.result.wall_seconds = static_cast<double>(line.value("ms", 1000)) / 1000;
    Kept& kept = kept_[story::job_named(what[0])];
    if (line.word(0) == "plan") {
      auto& plan = kept.plans[split(task, '/')[1]];
      plan.clear();
      for (std::size_t i = 2; i < line.words.size(); ++i) plan.push_back(stage_from(line.words[i]));
      f.fragment = Fragment{plan, Json::array()};
    }
    if (line.values.contains("ends")) {
      const std::string ends = line.values.at("ends");
      f.result.ends_inside_if_outside = ends[0] == '1';
      f.result.ends_inside_if_inside = ends[1] == '1';
      const auto index = static_cast<std::uint32_t>(std::stoul(split(what, '/').back()));
      kept.ends[index] = {ends[0] == '1', ends[1] == '1'};
    }
    if (line.has("disputed")) f.result.disputed = Error(Code::kUserData, "scripted");
    return f;
  }

  Event good_result(const StartTask& task) {
    Kept& kept = kept_[task.task.job];
    TaskFinished f;
    f.result.attempt = task.attempt;
    f.result.wall_seconds = 1;
    f.result.ends_inside_if_inside = true;
    if (const auto it = kept.ends.find(task.task.index); it != kept.ends.end()) {
      f.result.ends_inside_if_outside = it->second.first;
      f.result.ends_inside_if_inside = it->second.second;
    }
    if (kept.stages[task.task.stage].kind == StageKind::kPlanner)
      f.fragment = Fragment{kept.plan_of(task.stage_name), Json::array()};
    return f;
  }

  static JobRestored restored(const Kept& kept) {
    JobRestored r;
    r.job = kept.spec;
    r.cancelling = kept.cancelling;
    for (const auto& stage : kept.stages) r.stages.push_back({stage, {}, 0, {}});
    for (const auto& [task, inside] : kept.finished) {
      RestoredStage& stage = r.stages[task.first];
      stage.finished.emplace_back(task.second, task.second);
      const auto ends = kept.ends.find(task.second);
      const auto [if_outside, if_inside] =
          ends == kept.ends.end() ? std::pair(false, true) : ends->second;
      stage.borders.push_back({task.second, inside, if_outside, if_inside});
    }
    return r;
  }

  Core core_;
  MonoTime now_ = 1000;
  std::uint64_t sequence_ = 0;
  std::map<std::string, std::vector<AttemptId>> attempts_;  // of a task, in order
  std::map<AttemptId, std::string> names_;
  std::map<AttemptId, bool> inside_;
  std::map<JobId, Kept> kept_;
  std::map<JobId, JobStatus> ended_;
  std::map<int, Event> settings_;  // what people had set: pause, limits, autoscale
  std::vector<Event> last_;
  bool replying_ = false;
  std::deque<Event> replies_;
};

std::vector<std::string> compared(const Script& script, std::vector<std::string> lines) {
  std::erase_if(lines, [&](const std::string& line) {
    return script.ignored.contains(line.substr(0, line.find(' ')));
  });
  return lines;
}

std::string joined(const std::vector<std::string>& lines) {
  std::string out;
  for (const auto& line : lines) out += "  " + line + "\n";
  return out;
}

// POLYSOME_SCENARIO_PRINT=1: the script with what the core answers in place of what is expected,
// for whoever writes one (and then reads every line of it).
void print_answers(const fs::path& path, const Script& script) {
  std::map<int, std::string> answers;
  Player player;
  for (const auto& line : script.lines)
    answers[line.number] = joined(compared(script, player.play(line)));
  std::ifstream in(path);
  int number = 0;
  for (std::string text; std::getline(in, text);) {
    const auto it = answers.find(++number);
    if (!text.starts_with(' '))
      std::cout << text << "\n" << (it == answers.end() ? "" : it->second);
  }
}

class Scenario : public testing::TestWithParam<fs::path> {};

TEST_P(Scenario, AnswersWithExactlyTheseCommands) {
  const Script script = read_script(GetParam());
  ASSERT_FALSE(script.lines.empty());
  if (std::getenv("POLYSOME_SCENARIO_PRINT") != nullptr) return print_answers(GetParam(), script);
  Player player;
  for (const auto& line : script.lines) {
    const auto got = compared(script, player.play(line));
    EXPECT_EQ(joined(got), joined(line.expected))
        << GetParam().filename().string() << " line " << line.number;
    if (HasFailure()) return;
  }
}

TEST_P(Scenario, ComesToItsEndWhenTheServiceIsKilledAfterAnyEvent) {
  const Script script = read_script(GetParam());
  for (std::size_t killed = 1; killed <= script.lines.size(); ++killed) {
    SCOPED_TRACE("killed after line " + std::to_string(script.lines[killed - 1].number));
    Player player;
    for (std::size_t i = 0; i < killed; ++i) player.play(script.lines[i]);
    player.restart_and_finish();
    if (HasFailure()) return;
  }
}

std::vector<fs::path> scripts() {
  std::vector<fs::path> paths;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(scripts_folder(), error))
    if (entry.path().extension() == ".txt") paths.push_back(entry.path());
  std::ranges::sort(paths);
  return paths;
}

TEST(Scenarios, AreFound) { EXPECT_GE(scripts().size(), 40U) << scripts_folder(); }

INSTANTIATE_TEST_SUITE_P(Scripts, Scenario, testing::ValuesIn(scripts()),
                         [](const auto& param) { return param.param.stem().string(); });

}  // namespace
}  // namespace polysome::core
