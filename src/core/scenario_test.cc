// Runs the scripts of tests/scenarios: timed events and, indented below each, exactly the commands
// the core must answer with. Each script is then played again with a restart of the service after
// every one of its events: nothing that was recorded may run again, and every job must come to its
// end. tests/scenarios/README.md tells the words.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "core/core_story.h"

namespace polysome::core {
namespace {

namespace fs = std::filesystem;

// Beside the source; a relative name in __FILE__ is one from the build folder, where this program
// lies.
fs::path scripts_folder() {
  const fs::path source(__FILE__);
  const fs::path build = fs::read_symlink("/proc/self/exe").parent_path();
  const fs::path here = source.is_absolute() ? source : build / source;
  return (here.parent_path() / ".." / ".." / "tests" / "scenarios").lexically_normal();
}

// "submit a priority=HIGH": the words, and the values of those with '='.
struct Line {
  int number = 0;
  std::vector<std::string> words;
  std::map<std::string, std::string> values;
  std::vector<std::string> expected;  // the indented lines below

  std::string word(std::size_t i) const { return i < words.size() ? words[i] : ""; }
  long value(const std::string& key, long otherwise) const {
    const auto it = values.find(key);
    return it == values.end() ? otherwise : std::stol(it->second);
  }
  bool has(const std::string& w) const { return std::ranges::find(words, w) != words.end(); }
};

struct Script {
  std::set<std::string> ignored;  // kinds of commands that are not compared
  std::vector<Line> lines;
};

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, at);)
    if (!part.empty()) parts.push_back(part);
  return parts;
}

Script read_script(const fs::path& path) {
  Script script;
  std::ifstream in(path);
  int number = 0;
  for (std::string text; std::getline(in, text);) {
    ++number;
    text = text.substr(0, text.find('#'));
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

// name[*tasks][~ borders][! final][? planner][/ can split][<stage,stage]
Stage stage_from(const std::string& word) {
  Stage stage;
  const auto after = split(word, '<');
  stage.name = after[0];
  if (after.size() > 1) stage.after = split(after[1], ',');
  for (bool mark = true; mark;) {
    mark = true;
    switch (stage.name.back()) {
      case '~': stage.borders = true; break;
      case '!': stage.final = true; break;
      case '?': stage.kind = StageKind::kPlanner; break;
      case '/': stage.can_split = true; break;
      default: mark = false;
    }
    if (mark) stage.name.pop_back();
  }
  const auto star = stage.name.find('*');
  if (star != std::string::npos) {
    stage.tasks = static_cast<std::uint32_t>(std::stoul(stage.name.substr(star + 1)));
    stage.name.resize(star);
  }
  return stage;
}

// What the store and the files of a service hold when it is killed.
struct Kept {
  JobSubmitted spec;
  bool cancelling = false;
  std::vector<Stage> stages{story::stage("plan", 1)};
  std::map<std::pair<std::uint32_t, std::uint32_t>, bool> finished;  // → started inside
  std::vector<Stage> plan{story::final_stage({})};                   // what its planner gives
  std::map<std::uint32_t, std::pair<bool, bool>> ends;               // border ends as scripted
};

class Player {
 public:
  explicit Player(std::uint32_t epoch = 1) : core_(config(epoch), 1) {}

  std::vector<std::string> play(const Line& line) { return take(event_of(line)); }

  // A new service on what this one left: runs everything to its end, without faults.
  void restart_and_finish() {
    core_ = Core(config(2), 2);
    now_ += 10'000;
    for (const auto& [id, status] : ended_) take(DependencyKnown{id, status});
    for (auto& [id, kept] : kept_) {
      if (ended_.contains(id)) continue;
      kept.stages[0].kind = StageKind::kPlanner;
      take(restored(kept));
    }
    todo_.clear();
    take(ClusterStarted{{2, 2, 8'000'000'000}});
    for (std::uint32_t w = 1; w <= 2; ++w) take(WorkerReady{WorkerId{w}, 1});
    for (int steps = 0; !todo_.empty(); ++steps) {
      ASSERT_LT(steps, 1000) << "does not come to its end";
      const StartTask task = todo_.front();
      todo_.erase(todo_.begin());
      take(good_result(task));
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
    if (const auto* s = std::get_if<JobSubmitted>(&event)) kept_[s->id].spec = *s;
    for (const auto& command : core_.step(event, now_)) {
      std::string text = story::line(command);
      if (const auto* c = std::get_if<CancelTask>(&command))
        text = "cancel_task " + names_.at(c->attempt);
      if (!text.empty()) lines.push_back(std::move(text));
      keep(command);
    }
    for (const auto& broken : core_.broken_invariants()) ADD_FAILURE() << broken;
    return lines;
  }

  void keep(const Command& command) {
    if (const auto* c = std::get_if<StartTask>(&command)) {
      const std::string name =
          story::job_name(c->task.job) + "/" + c->stage_name + "/" + std::to_string(c->task.index);
      names_[c->attempt] = name;
      attempts_[name].push_back(c->attempt);
      inside_[c->attempt] = c->start_inside_quotes;
      todo_.push_back(*c);
      EXPECT_FALSE(kept_[c->task.job].finished.contains({c->task.stage, c->task.index}))
          << name << " had been finished";
    }
    if (const auto* c = std::get_if<RecordTask>(&command)) {
      Kept& kept = kept_[c->task.job];
      kept.finished[{c->task.stage, c->task.index}] = inside_[c->attempt];
      if (c->planned) kept.stages.insert(kept.stages.end(), kept.plan.begin(), kept.plan.end());
    }
    if (const auto* c = std::get_if<ForgetTask>(&command))
      kept_[c->task.job].finished.erase({c->task.stage, c->task.index});
    if (const auto* c = std::get_if<JobEnded>(&command)) ended_[c->job] = c->status;
  }

  AttemptId attempt(const std::string& name) const {
    // "a/scan/0" is its newest attempt, "a/scan/0@1" its first.
    const auto at = name.find('@');
    const auto it = attempts_.find(name.substr(0, at));
    if (it != attempts_.end() && at == std::string::npos) return it->second.back();
    if (it != attempts_.end()) return it->second.at(std::stoul(name.substr(at + 1)) - 1);
    ADD_FAILURE() << "no attempt of " << name;
    return {};
  }

  Event event_of(const Line& line) {
    const std::string verb = line.word(0);
    const std::string what = line.word(1);
    const JobId job = story::job_named(what.empty() ? 'a' : what[0]);
    if (verb == "submit") return submission(line, job);
    if (verb == "cancel") {
      kept_[job].cancelling = true;
      return CancelRequested{job, ""};
    }
    if (verb == "start")
      return ClusterStarted{{static_cast<int>(line.value("workers", 1)),
                             static_cast<int>(line.value("threads", 1)), 2'000'000'000}};
    if (verb == "stop") return ClusterStopped{line.has("force")};
    if (verb == "scale") return ClusterScaled{std::stoi(what)};
    if (verb == "autoscale")
      return AutoscaleChanged{{!line.has("off"), static_cast<int>(line.value("min", 1)),
                               static_cast<int>(line.value("max", 32))}};
    if (verb == "drain") return WorkerDrainRequested{WorkerId::parse(what).value(), "scripted"};
    if (verb == "exclude")
      return WorkerExcludeRequested{WorkerId::parse(what).value(), "scripted",
                                    line.value("for", 0)};
    if (verb == "readmit") return WorkerReadmitRequested{WorkerId::parse(what).value()};
    if (verb == "ready") return WorkerReady{WorkerId::parse(what).value(), 1};
    if (verb == "heard") return WorkerHeard{WorkerId::parse(what).value(), 1, 1};
    if (verb == "worker_lost")
      return WorkerLost{WorkerId::parse(what).value(), line.has("killed"), "scripted"};
    if (verb == "slot_lost") {
      const auto parts = split(what, '.');
      return SlotLost{WorkerId::parse(parts[0]).value(), std::stoi(parts[1]), line.has("killed"),
                      line.has("out_of_memory"), "scripted"};
    }
    if (verb == "started") return TaskStarted{attempt(what)};
    if (verb == "plan" || verb == "finish") return finish(line);
    if (verb == "fail") {
      TaskFailed failed;
      failed.failure.attempt = attempt(what);
      failed.failure.error = Error(code_from_name(line.word(2)).value(), "scripted");
      return failed;
    }
    if (verb == "output_lost")
      return OutputLost{attempt(what),
                        {job, static_cast<std::uint32_t>(line.value("stage", 1)),
                         static_cast<std::uint32_t>(line.value("task", 0))},
                        "scripted"};
    if (verb == "wait") now_ += std::stol(what);
    if (verb == "tick") now_ = std::max(now_, core_.next_deadline().value_or(now_));
    if (verb != "wait" && verb != "tick") ADD_FAILURE() << "unknown word " << verb;
    return Tick{};
  }

  Event submission(const Line& line, JobId job) {
    JobSubmitted s;
    s.id = job;
    s.sequence = ++sequence_;
    if (line.values.contains("priority"))
      s.priority = priority_from_name(line.values.at("priority")).value();
    if (line.values.contains("after"))
      for (const auto& d : split(line.values.at("after"), ','))
        s.depends_on.push_back(story::job_named(d[0]));
    if (line.values.contains("max_cores"))
      s.limits.max_cores = static_cast<int>(line.value("max_cores", 1));
    if (line.values.contains("timeout")) s.limits.timeout_ms = line.value("timeout", 0);
    if (line.values.contains("memory"))
      s.limits.memory_per_worker = static_cast<std::uint64_t>(line.value("memory", 0));
    s.limits.max_attempts = static_cast<int>(line.value("max_attempts", 3));
    return s;
  }

  Event finish(const Line& line) {
    TaskFinished f;
    const std::string what = line.word(1);
    const bool plan = line.word(0) == "plan";
    f.result.attempt = attempt(plan ? what + "/plan/0" : what);
    f.result.wall_seconds = static_cast<double>(line.value("ms", 1000)) / 1000;
    Kept& kept = kept_[story::job_named(what[0])];
    if (plan) {
      kept.plan.clear();
      for (std::size_t i = 2; i < line.words.size(); ++i)
        kept.plan.push_back(stage_from(line.words[i]));
      f.fragment = Fragment{kept.plan, Json::array()};
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
    const Kept& kept = kept_[task.task.job];
    TaskFinished f;
    f.result.attempt = task.attempt;
    f.result.wall_seconds = 1;
    f.result.ends_inside_if_inside = true;
    if (const auto it = kept.ends.find(task.task.index); it != kept.ends.end()) {
      f.result.ends_inside_if_outside = it->second.first;
      f.result.ends_inside_if_inside = it->second.second;
    }
    if (task.stage_name == "plan") f.fragment = Fragment{kept.plan, Json::array()};
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
  std::map<std::string, std::vector<AttemptId>> attempts_;
  std::map<AttemptId, std::string> names_;
  std::map<AttemptId, bool> inside_;
  std::map<JobId, Kept> kept_;
  std::map<JobId, JobStatus> ended_;
  std::vector<StartTask> todo_;
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

class Scenario : public testing::TestWithParam<fs::path> {};

TEST_P(Scenario, AnswersWithExactlyTheseCommands) {
  const Script script = read_script(GetParam());
  ASSERT_FALSE(script.lines.empty());
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

TEST(Scenarios, AreFound) { EXPECT_GE(scripts().size(), 10U) << scripts_folder(); }

INSTANTIATE_TEST_SUITE_P(Scripts, Scenario, testing::ValuesIn(scripts()),
                         [](const auto& param) { return param.param.stem().string(); });

}  // namespace
}  // namespace polysome::core
