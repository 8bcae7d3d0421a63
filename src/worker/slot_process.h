// A slot's process as its supervisor sees it: forked from it without an exec (loading the libraries
// of the program again would take longer than many a task), spoken to by one socketpair. Owned by
// the supervisor, its only thread, as a fork needs: the child asks the kernel to be killed when the
// thread that forked it ends.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/unique_fd.h"
#include "model/frames.h"
#include "worker/options.h"

namespace polysome {

// What a slot's process does; what it returns is its exit status.
using SlotMain = std::function<int(const WorkerOptions&)>;

class SlotProcess {
 public:
  struct End {
    pid_t pid = -1;
    int signal = 0;  // 0: it exited with `status`
    int status = 0;
    std::uint64_t peak_memory = 0;  // of its life or since it last put the mark back
    double cpu_seconds = 0;
  };

  // `main` is called in the child, which has nothing but its standard streams, its socket and the
  // lock open. `lock_fd` (or -1) stays open in the child, so that the supervisor's lock outlives it
  // until its slots are gone too.
  SlotProcess(WorkerOptions options, int lock_fd, SlotMain main);

  // Errors: kIo when the system refuses another process.
  Status start();
  bool alive() const { return pid_ > 0; }
  pid_t pid() const { return pid_; }
  int fd() const { return socket_.get(); }

  // Frames wait here until the process takes them; also while there is none.
  void queue(FrameKind kind, std::string_view payload);
  std::size_t queued_bytes() const { return out_.size(); }
  void drop_queued() { out_.clear(); }
  void flush();

  // Reads what is there and gives the frames in it. False: the process has ended or sends nonsense;
  // reap() is due.
  bool receive(const std::function<void(Frame&&)>& take);

  void kill() const;
  // Ends the process, if it still runs, and tells how it ended.
  End reap();

 private:
  WorkerOptions options_;
  int lock_fd_;
  SlotMain main_;
  pid_t pid_ = -1;
  UniqueFd socket_;
  FrameReader reader_;
  std::string out_;
};

}  // namespace polysome
