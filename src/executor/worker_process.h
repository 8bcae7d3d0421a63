// One polysome-worker process as the service sees it: started with its end of a socketpair, frames
// in both directions, and its end told exactly once. Shared by the local executor and the data
// service. Loop thread only. Frames sent in one turn of the loop leave in one write. Closing the
// socket is what ends the process; one that lingers, sends nonsense or does not read is killed.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "model/frames.h"

namespace polysome {

class WorkerProcess : public std::enable_shared_from_this<WorkerProcess> {
 public:
  struct End {
    bool by_kill = false;  // SIGKILL, SIGTERM or an orderly exit: no fault of its own
    std::string message;
  };
  struct Handler {
    std::function<void(Frame)> frame;
    std::function<void(End)> ended;  // after the last frame
  };

  // Starts `program --supervisor --fd 3 arguments…`. `name` is for messages. Errors: kIo.
  static Result<std::shared_ptr<WorkerProcess>> start(boost::asio::io_context& loop,
                                                      const std::string& program,
                                                      const std::vector<std::string>& arguments,
                                                      std::string name, Handler handler);
  ~WorkerProcess();
  WorkerProcess(const WorkerProcess&) = delete;
  WorkerProcess& operator=(const WorkerProcess&) = delete;

  int pid() const { return pid_; }
  void send(FrameKind kind, std::uint16_t slot, std::string_view payload);
  // Kills it for a fault of its own.
  void give_up(std::string why);
  // Kills it when it has not ended after this long.
  void expect_end(std::chrono::milliseconds within);
  // The owner goes: nothing more is told, and the process ends.
  void close();
  // After close(): waits for the process, kills it at the deadline. Blocking.
  void wait_until(std::chrono::steady_clock::time_point deadline);

 private:
  WorkerProcess(boost::asio::io_context& loop, std::string name, Handler handler);
  Status spawn(const std::string& program, const std::vector<std::string>& arguments);
  void read();
  void take(std::size_t bytes);
  void drain();
  void flush();
  void watch_end();
  void finish();
  void kill() const;
  End story(int status) const;

  boost::asio::io_context& loop_;
  const std::string name_;
  Handler handler_;
  int pid_ = -1;
  boost::asio::local::stream_protocol::socket socket_;
  boost::asio::posix::stream_descriptor pidfd_;
  boost::asio::steady_timer patience_;
  FrameReader reader_;
  std::vector<char> received_;
  std::string queued_;   // for the next write
  std::string writing_;  // of the write that is under way
  bool flush_posted_ = false;
  bool reaped_ = false;
  std::string fault_;
};

}  // namespace polysome
