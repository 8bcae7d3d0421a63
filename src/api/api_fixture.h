// For tests: a server with all routes over a fake backend on free ports, its loop in a thread of
// its own.
#pragma once

#include <gtest/gtest.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>

#include "api/fake_backend.h"
#include "api/raw_client.h"
#include "api/routes.h"
#include "api/server.h"

namespace polysome::api {

class ApiTest : public testing::Test {
 protected:
  ~ApiTest() override {
    if (!thread_.joinable()) return;
    on_loop([this] { server.reset(); });
    work_.reset();
    thread_.join();
  }

  void start() {
    config.port = 0;
    add_routes(router, backend, push);
    server = std::make_unique<Server>(loop, config, router);
    const auto started = server->start();
    ASSERT_TRUE(started) << started.error().message;
    port = server->port();
    thread_ = std::thread([this] { loop.run(); });
  }
  // Runs on the loop's thread, where server and backend live.
  void on_loop(const std::function<void()>& f) {
    std::promise<void> done;
    boost::asio::post(loop, [&] {
      f();
      done.set_value();
    });
    done.get_future().wait();
  }
  template <class F>
  auto from_loop(F f) {
    decltype(f()) out{};
    on_loop([&] { out = f(); });
    return out;
  }
  // Waits until `f`, asked on the loop, is true.
  bool eventually(const std::function<bool()>& f) {
    for (int i = 0; i < 3000; ++i) {
      if (from_loop(f)) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }

  static std::string request(const std::string& method, const std::string& path,
                             const std::string& body = {}, const std::string& headers = {}) {
    std::string out = method + " " + path + " HTTP/1.1\r\nHost: localhost:8001\r\n" + headers;
    if (!body.empty())
      out += "Content-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
             "\r\n";
    return out + "\r\n" + body;
  }
  // One request over a connection of its own; `path` below the API's base unless it begins with
  // "/".
  RawAnswer ask(const std::string& method, const std::string& path, const std::string& body = {},
                const std::string& headers = {}) {
    RawClient client(port);
    client.send(
        request(method, path.starts_with('/') ? path : "/api/processing/" + path, body, headers));
    return client.answer(method == "HEAD");
  }
  RawAnswer raw(const std::string& bytes) {
    RawClient client(port);
    client.send(bytes);
    return client.answer();
  }

  ServerConfig config;
  PushConfig push;
  boost::asio::io_context loop;
  FakeBackend backend;
  Router router;
  std::unique_ptr<Server> server;
  std::uint16_t port = 0;

 private:
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{
      loop.get_executor()};
  std::thread thread_;
};

}  // namespace polysome::api
