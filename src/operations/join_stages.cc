#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <string_view>
#include <unordered_map>

#include "operations/join.h"
#include "operations/record_stages.h"

namespace polysome {
namespace {

constexpr const char* kLeftView = "ps_left";
constexpr const char* kRightView = "ps_right";
// Of the grant, as parts of the memory to sort in: rows of one key, or of a table that is held.
constexpr std::size_t kHeldParts = 2;

std::string select_of(const std::string& key, const std::string& columns, const char* view) {
  return fmt::format("SELECT {}{}{} FROM {}", key, key.empty() || columns.empty() ? "" : ", ",
                     columns, view);
}

// --- pairs ---

// A pair as the stages hand it on: u32 length of the left record, it, the right record; a length of
// kNone stands for no left row, and kBit says that there is no right one.
constexpr std::uint32_t kNone = UINT32_MAX;
constexpr std::uint32_t kNoRight = 1U << 31;

void make_pair(const std::string_view* left, const std::string_view* right, std::string* out) {
  out->clear();
  std::uint32_t length = left == nullptr ? kNone : static_cast<std::uint32_t>(left->size());
  if (left != nullptr && right == nullptr) length |= kNoRight;
  out->append(reinterpret_cast<const char*>(&length), sizeof length);
  if (left != nullptr) out->append(*left);
  if (right != nullptr) out->append(*right);
}

class JoinedRows final : public RecordShape {
 public:
  JoinedRows(RowCodec left, RowCodec right, std::vector<std::uint32_t> keys)
      : left_(std::move(left)), right_(std::move(right)), keys_(std::move(keys)) {}

  std::vector<RowSource::Column> columns() const override {
    auto out = left_.columns();
    const auto right = right_.columns();
    for (std::size_t i = keys_.size(); i < right.size(); ++i) out.push_back(right[i]);
    return out;
  }

  void begin(duckdb_data_chunk chunk) override {
    const auto vector = [&](std::size_t i) { return duckdb_data_chunk_get_vector(chunk, i); };
    left_place_ = left_.place(chunk, 0);
    std::vector<duckdb_vector> all, only_right, only_left;
    if (right_.size() > 0)
      for (const auto k : keys_) all.push_back(vector(k));
    for (std::size_t i = keys_.size(); i < right_.size(); ++i) {
      only_right.push_back(vector(left_.size() + i - keys_.size()));
      all.push_back(only_right.back());
    }
    for (std::uint32_t i = 0; i < left_.size(); ++i)
      if (std::ranges::find(keys_, i) == keys_.end()) only_left.push_back(vector(i));
    right_place_ = RowCodec::place(all);
    only_right_ = RowCodec::place(only_right);
    only_left_ = RowCodec::place(only_left);
  }

  void put(std::string_view pair, std::size_t row) override {
    std::uint32_t length = 0;
    std::memcpy(&length, pair.data(), sizeof length);
    pair.remove_prefix(sizeof length);
    if (length == kNone) {
      RowCodec::decode_missing(only_left_, row);
      right_.decode(pair, right_place_, row);
      return;
    }
    const bool is_alone = (length & kNoRight) != 0;
    length &= ~kNoRight;
    if (is_alone)
      RowCodec::decode_missing(only_right_, row);
    else if (right_.size() > 0)
      right_.decode(pair.substr(length), right_place_, row);
    left_.decode(pair.substr(0, length), left_place_, row);
  }

 private:
  const RowCodec left_, right_;
  const std::vector<std::uint32_t> keys_;
  RowCodec::Place left_place_, right_place_, only_left_, only_right_;
};

// --- sorting by key ---

Status sort_body(TaskEnv& env) {
  const JoinDetails join = JoinDetails::from_json(env.plan().details.at("join"));
  POLYSOME_ASSIGN(const std::uint32_t input, env.body_number("input"));
  const char* view = input == 0 ? kLeftView : kRightView;
  POLYSOME_TRY(env.open_partition(view, 1, input));
  return sort_partition(env,
                        input == 0 ? select_of(join.left_key, join.left_columns, view)
                                   : select_of(join.right_key, join.right_columns, view),
                        {.positions = true});
}

// --- matching ---

std::string_view position_in(std::string_view body) { return body.substr(0, kPositionBytes); }
std::string_view record_in(std::string_view body) { return body.substr(kPositionBytes); }

// Rows of the right table that have the key at hand.
class RightRows {
 public:
  RightRows(std::size_t memory, std::string dataset)
      : memory_(memory), dataset_(std::move(dataset)) {}

  void clear() {
    bytes_.clear();
    ends_.clear();
  }
  Status add(std::string_view body, TaskContext* context) {
    if (bytes_.size() + body.size() + ends_.size() * sizeof(std::size_t) > memory_) {
      context->needed_memory = std::max<std::uint64_t>(context->needed_memory, 2 * context->memory);
      return fail(Code::kOutOfMemory,
                  fmt::format("more than {} rows of dataset {} have the same key; they are more "
                              "than this task can hold",
                              ends_.size(), dataset_));
    }
    bytes_.append(body);
    ends_.push_back(bytes_.size());
    return {};
  }
  std::size_t size() const { return ends_.size(); }
  std::string_view operator[](std::size_t i) const {
    const std::size_t begin = i == 0 ? 0 : ends_[i - 1];
    return std::string_view(bytes_).substr(begin, ends_[i] - begin);
  }

 private:
  const std::size_t memory_;
  const std::string dataset_;
  std::string bytes_;
  std::vector<std::size_t> ends_;
};

class Matcher {
 public:
  Matcher(TaskEnv& env, const JoinDetails& join)
      : env_(env),
        join_(join),
        rows_(sorting_memory(env) / kHeldParts, join.right_name),
        sorter_(sorting_memory(env), scratch_name(env, kRunRole)) {}

  Status run(RunMerge left, RunMerge right) {
    POLYSOME_ASSIGN(bool more_left, left.next());
    POLYSOME_ASSIGN(bool more_right, right.next());
    std::uint64_t bytes = 0;
    std::string key;
    while (more_left || more_right) {
      POLYSOME_TRY(env_.check_cancelled());
      // A missing key is empty and comes first.
      const int order = !more_left ? 1 : !more_right ? -1 : left.key().compare(right.key());
      const std::string_view least = order <= 0 ? left.key() : right.key();
      key.assign(least);
      rows_.clear();
      while (more_right && right.key() == key) {
        bytes += right.body().size();
        if (order != 0 || key.empty()) {
          POLYSOME_TRY(alone_right(right.body()));
        } else if (join_.takes_right_columns() || rows_.size() == 0) {
          POLYSOME_TRY(rows_.add(right.body(), &env_.context));
        }
        POLYSOME_ASSIGN(more_right, right.next());
      }
      while (more_left && left.key() == key) {
        bytes += left.body().size();
        POLYSOME_TRY(with_matches(left.body()));
        POLYSOME_ASSIGN(more_left, left.next());
      }
      if (env_.context.progress) env_.context.progress(bytes);
    }
    POLYSOME_ASSIGN(const std::uint64_t rows, sorter_.finish(env_.path_of(kRunRole)));
    env_.note_file(kRunRole, rows);
    env_.output.result.rows = rows;
    return {};
  }

 private:
  Status alone_right(std::string_view body) {
    if (join_.kind != JoinKind::kOuter) return {};
    place_.assign(kPositionBytes, '\xff');  // behind all rows of the left table
    place_.append(position_in(body));
    const std::string_view record = record_in(body);
    make_pair(nullptr, &record, &pair_);
    return sorter_.add(place_, pair_);
  }
  Status with_matches(std::string_view body) {
    const std::string_view record = record_in(body);
    const bool matched = rows_.size() > 0;
    if (!join_.takes_right_columns() || !matched) {
      const bool kept = join_.kind == JoinKind::kSemi    ? matched
                        : join_.kind == JoinKind::kInner ? false
                                                         : !matched;
      if (!kept) return {};
      make_pair(&record, nullptr, &pair_);
      return sorter_.add(position_in(body), pair_);
    }
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      if (i % 4096 == 4095) POLYSOME_TRY(env_.check_cancelled());
      place_.assign(position_in(body));
      place_.append(position_in(rows_[i]));
      const std::string_view right = record_in(rows_[i]);
      make_pair(&record, &right, &pair_);
      POLYSOME_TRY(sorter_.add(place_, pair_));
    }
    return {};
  }

  TaskEnv& env_;
  const JoinDetails& join_;
  RightRows rows_;
  RecordSorter sorter_;
  std::string place_, pair_;
};

Status match_body(TaskEnv& env) {
  const JoinDetails join = JoinDetails::from_json(env.plan().details.at("join"));
  POLYSOME_ASSIGN(const std::uint32_t left_tasks, env.body_number("left"));
  POLYSOME_ASSIGN(const std::uint32_t right_tasks, env.body_number("right"));
  POLYSOME_ASSIGN(const std::uint32_t parts, env.body_number("parts"));
  POLYSOME_ASSIGN(const StageRuns left, stage_runs(env, "left", left_tasks));
  POLYSOME_ASSIGN(const StageRuns right, stage_runs(env, "right", right_tasks));
  std::vector<RunIndex> all = left.runs;
  all.insert(all.end(), right.runs.begin(), right.runs.end());
  const auto cuts = cut_runs(all, parts, true);
  const std::uint32_t part = env.spec.task.index;
  const RunPlace* from = part > 0 ? &cuts[part - 1] : nullptr;
  const RunPlace* to = part + 1 < parts ? &cuts[part] : nullptr;
  const std::size_t buffer = merging_memory(env) / 2;
  POLYSOME_ASSIGN(RunMerge a, merge_between(left.paths, left.runs, from, to, buffer));
  POLYSOME_ASSIGN(RunMerge b, merge_between(right.paths, right.runs, from, to, buffer));
  return Matcher(env, join).run(std::move(a), std::move(b));
}

// --- a small right table ---

class HeldTable {
 public:
  explicit HeldTable(std::size_t memory) : memory_(memory) {}

  Status add(std::string_view key, std::string_view record, TaskContext* context) {
    if (key.empty()) return {};
    bytes_ += key.size() + record.size() + sizeof(std::string) * 4;
    if (bytes_ > memory_) {
      context->needed_memory = std::max<std::uint64_t>(context->needed_memory, 2 * context->memory);
      return fail(Code::kOutOfMemory, "the second table is more than this task can hold");
    }
    rows_[std::string(key)].emplace_back(record);
    return {};
  }
  const std::vector<std::string>* find(std::string_view key) {
    wanted_.assign(key);
    const auto it = key.empty() ? rows_.end() : rows_.find(wanted_);
    return it == rows_.end() ? nullptr : &it->second;
  }

 private:
  const std::size_t memory_;
  std::size_t bytes_ = 0;
  std::unordered_map<std::string, std::vector<std::string>> rows_;
  std::string wanted_;
};

Status look_up(TaskEnv& env, const JoinDetails& join, HeldTable& held, RunWriter& run) {
  std::string place, pair;
  std::uint64_t row = 0;
  return each_record(
      env, select_of(join.left_key, join.left_columns, kLeftView),
      [&](std::string_view key, std::string_view record) -> Status {
        const auto* matches = held.find(key);
        place.clear();
        append_position(env.spec.task.index, row++, &place);
        if (join.takes_right_columns() && matches != nullptr) {
          for (std::uint64_t i = 0; i < matches->size(); ++i) {
            place.resize(kPositionBytes);
            append_position(0, i, &place);
            const std::string_view right = (*matches)[i];
            make_pair(&record, &right, &pair);
            POLYSOME_TRY(run.add(place, pair));
          }
          return {};
        }
        if (join.kind == JoinKind::kInner || (join.kind == JoinKind::kSemi) != (matches != nullptr))
          return {};
        make_pair(&record, nullptr, &pair);
        return run.add(place, pair);
      });
}

Status look_up_body(TaskEnv& env) {
  const JoinDetails join = JoinDetails::from_json(env.plan().details.at("join"));
  HeldTable held(sorting_memory(env));
  POLYSOME_TRY(env.open_whole(kRightView, 1));
  POLYSOME_TRY(each_record(env, select_of(join.right_key, join.right_columns, kRightView),
                           [&](std::string_view key, std::string_view record) {
                             return held.add(key, record, &env.context);
                           }));
  POLYSOME_TRY(env.open_partition(kLeftView, 1));
  POLYSOME_ASSIGN(RunWriter run, RunWriter::create(env.path_of(kRunRole)));
  const Status done = look_up(env, join, held, run);
  if (!done) {
    if (env.dispute(done.error())) return {};
    return done;
  }
  POLYSOME_TRY(run.finish());
  env.note_file(kRunRole, run.records());
  env.finish_scan();
  env.output.result.rows = run.records();
  return {};
}

// --- the answer ---

Status place_body(TaskEnv& env) {
  const JoinDetails join = JoinDetails::from_json(env.plan().details.at("join"));
  POLYSOME_ASSIGN(const std::uint32_t matched, env.body_number("matched"));
  POLYSOME_ASSIGN(const std::uint32_t parts, env.body_number("parts"));
  POLYSOME_ASSIGN(const StageRuns runs, stage_runs(env, "match", matched));
  POLYSOME_TRY(env.open_nothing(kLeftView, 0));
  POLYSOME_TRY(env.open_nothing(kRightView, 1));
  POLYSOME_ASSIGN(RowCodec left, codec_of(env, select_of({}, join.left_columns, kLeftView)));
  RowCodec right;
  if (join.takes_right_columns()) {
    POLYSOME_ASSIGN(right, codec_of(env, select_of({}, join.right_columns, kRightView)));
  }
  JoinedRows shape(std::move(left), std::move(right), join.keys);
  POLYSOME_ASSIGN(RunMerge merge, merge_part(env, runs, env.spec.task.index, parts));
  return write_merged_part(env, std::move(merge), shape, runs, std::nullopt);
}

}  // namespace

std::vector<StageBody> join_bodies() {
  return {{"join.sort", sort_body},
          {"join.match", match_body},
          {"join.look_up", look_up_body},
          {"join.place", place_body}};
}

}  // namespace polysome
