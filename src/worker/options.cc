#include "worker/options.h"

#include <charconv>
#include <optional>

#include "model/resources.h"

namespace polysome {
namespace {

template <class T>
std::optional<T> number(const std::string& text) {
  T value{};
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (ec != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool set_mode(const std::string& flag, WorkerOptions* options) {
  if (flag == "--supervisor") return options->mode = WorkerMode::kSupervisor, true;
  if (flag == "--slot") return options->mode = WorkerMode::kSlot, true;
  if (flag == "--describe") return options->mode = WorkerMode::kDescribe, true;
  if (flag == "--version") return options->mode = WorkerMode::kVersion, true;
  if (flag == "--help") return options->mode = WorkerMode::kHelp, true;
  return false;
}

// False: the value is not one for this flag; nullopt: the flag is not known.
std::optional<bool> set_value(const std::string& flag, const std::string& value,
                              WorkerOptions* options) {
  const auto whole = [&](int* out, int least, int most) {
    const auto n = number<int>(value);
    if (!n || *n < least || *n > most) return false;
    *out = *n;
    return true;
  };
  if (flag == "--fd") return whole(&options->fd, 0, 1 << 20);
  if (flag == "--slots") return whole(&options->slots, 1, kMaxThreadsPerWorker);
  if (flag == "--index") return whole(&options->index, 0, kMaxThreadsPerWorker - 1);
  if (flag == "--memory") {
    const auto n = number<std::uint64_t>(value);
    options->memory = n.value_or(0);
    return n.has_value();
  }
  if (flag == "--worker") return options->worker = value, !value.empty();
  if (flag == "--lock") return options->lock_file = value, !value.empty();
  if (flag == "--control-group") return options->control_group = value, !value.empty();
  if (flag == "--connections") return options->connections = value, !value.empty();
  if (flag == "--scratch") return options->scratch = value, !value.empty();
  if (flag == "--read") return options->read.push_back(value), !value.empty();
  if (flag == "--write") return options->write.push_back(value), !value.empty();
  return std::nullopt;
}

}  // namespace

Result<WorkerOptions> parse_worker_options(const std::vector<std::string>& arguments) {
  WorkerOptions options;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& flag = arguments[i];
    if (set_mode(flag, &options)) continue;
    if (flag == "--prepare") {
      options.prepare = true;
      continue;
    }
    const bool has_value = i + 1 < arguments.size();
    const auto set = set_value(flag, has_value ? arguments[i + 1] : std::string(), &options);
    if (!set)
      return fail(Code::kInvalid, "polysome-worker does not know \"" + flag + "\"", worker_usage());
    if (!has_value) return fail(Code::kInvalid, flag + " needs a value", worker_usage());
    if (!*set)
      return fail(Code::kInvalid, "\"" + arguments[i + 1] + "\" is not a value for " + flag,
                  worker_usage());
    ++i;
  }
  const bool needs_fd =
      options.mode == WorkerMode::kSupervisor || options.mode == WorkerMode::kSlot;
  if (needs_fd && options.fd < 0)
    return fail(Code::kInvalid, "--fd is missing: the socket to the process that starts this one",
                worker_usage());
  return options;
}

std::vector<std::string> worker_arguments(const WorkerOptions& options) {
  const bool slot = options.mode == WorkerMode::kSlot;
  std::vector<std::string> out = {slot ? "--slot" : "--supervisor",
                                  "--fd",
                                  std::to_string(options.fd),
                                  slot ? "--index" : "--slots",
                                  std::to_string(slot ? options.index : options.slots),
                                  "--memory",
                                  std::to_string(options.memory),
                                  "--worker",
                                  options.worker};
  const auto add = [&](const char* flag, const std::string& value) {
    if (value.empty()) return;
    out.emplace_back(flag);
    out.push_back(value);
  };
  if (options.prepare) out.emplace_back("--prepare");
  add("--lock", options.lock_file);
  add("--control-group", options.control_group);
  for (const auto& dir : options.read) add("--read", dir);
  for (const auto& dir : options.write) add("--write", dir);
  add("--connections", options.connections);
  add("--scratch", options.scratch);
  return out;
}

std::string worker_usage() {
  return "polysome-worker is started by polysome. By hand: polysome-worker --describe (its "
         "operations as JSON) or --version";
}

}  // namespace polysome
