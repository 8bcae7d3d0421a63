#include "api/server.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <utility>
#include <vector>

#include "api/caller.h"
#include "api/connection.h"
#include "api/guard.h"
#include "base/log.h"

namespace polysome::api {
namespace {

using boost::asio::ip::tcp;
using boost::system::error_code;

constexpr int kMostTriesForAFreePort = 20;
constexpr Millis kAcceptPause{100};

// One bound address. Its handlers hold it, so it may outlive the server by a turn of the loop.
class Listener : public std::enable_shared_from_this<Listener> {
 public:
  Listener(boost::asio::io_context& loop, std::shared_ptr<ConnectionHub> hub)
      : acceptor_(loop), pause_(loop), hub_(std::move(hub)) {}

  error_code bind(const boost::asio::ip::address& address, std::uint16_t port) {
    const tcp::endpoint end(address, port);
    error_code ec;
    acceptor_.open(end.protocol(), ec);
    if (!ec && address.is_v6()) acceptor_.set_option(boost::asio::ip::v6_only(true), ec);
    if (!ec) acceptor_.set_option(tcp::acceptor::reuse_address(true), ec);
    if (!ec) acceptor_.bind(end, ec);
    if (!ec) acceptor_.listen(boost::asio::socket_base::max_listen_connections, ec);
    if (!ec) port_ = acceptor_.local_endpoint(ec).port();
    return ec;
  }
  std::uint16_t port() const { return port_; }

  void accept() {
    if (waiting_ || !acceptor_.is_open()) return;
    // Over the limit idle connections make room; without one, clients wait in the system's queue.
    while (hub_->open.size() > hub_->config.max_connections)
      if (!close_an_idle_one()) return;
    waiting_ = true;
    acceptor_.async_accept([self = shared_from_this()](const error_code& ec, tcp::socket socket) {
      self->waiting_ = false;
      if (ec == boost::asio::error::operation_aborted || !self->acceptor_.is_open()) return;
      if (ec) return self->rest(ec);
      const auto connection = std::make_shared<Connection>(std::move(socket), self->hub_);
      self->hub_->open.insert(connection);
      connection->start();
      self->accept();
    });
  }

  void close() {
    error_code ec;
    acceptor_.close(ec);
    pause_.cancel();
  }

 private:
  bool close_an_idle_one() {
    std::shared_ptr<Connection> longest;
    for (const auto& c : hub_->open)
      if (c->may_go() && (!longest || c->idle_since() < longest->idle_since())) longest = c;
    if (!longest) return false;
    waiting_ = true;  // drop() asks for accept() again
    longest->drop();
    waiting_ = false;
    return true;
  }
  // Out of file descriptors or memory: trying again at once would only burn the loop.
  void rest(const error_code& ec) {
    log::warning("can't accept a connection: {}", ec.message());
    waiting_ = true;
    pause_.expires_after(kAcceptPause);
    pause_.async_wait([self = shared_from_this()](const error_code& cancelled) {
      self->waiting_ = false;
      if (!cancelled) self->accept();
    });
  }

  tcp::acceptor acceptor_;
  boost::asio::steady_timer pause_;
  std::shared_ptr<ConnectionHub> hub_;
  std::uint16_t port_ = 0;
  bool waiting_ = false;
};

using Listeners = std::vector<std::shared_ptr<Listener>>;

Error bind_error(const error_code& ec, const std::string& host, std::uint16_t port,
                 bool dashboard) {
  const char* flag = dashboard ? "--dashboard-port" : "--port";
  if (ec == boost::asio::error::address_in_use) {
    const std::string holder = port_holder(port);
    return Error(
        Code::kConflict,
        fmt::format("port {} is in use{}", port, holder.empty() ? "" : " by " + holder),
        fmt::format("stop that, or choose another one: {} {}{}", flag,
                    port < 65000 ? port + 10 : port - 10, dashboard ? " (0: no dashboard)" : ""));
  }
  return Error(
      Code::kIo, fmt::format("can't listen on {} port {}: {}", host, port, ec.message()),
      ec == boost::asio::error::access_denied
          ? fmt::format("ports below 1024 are the system's; choose another one: {} 8001", flag)
          : std::string("check --host and the machine's network"));
}

bool no_such_address(const error_code& ec) {
  return ec == boost::asio::error::address_family_not_supported ||
         ec == boost::system::errc::address_not_available;
}

}  // namespace

class Server::Impl {
 public:
  Impl(boost::asio::io_context& loop, ServerConfig config, RequestHandler& handler)
      : loop_(loop), grace_(loop), hub_(std::make_shared<ConnectionHub>()) {
    hub_->config = std::move(config);
    hub_->handler = &handler;
    hub_->when_room = [this] { room(); };
  }
  ~Impl() {
    hub_->when_room = nullptr;
    hub_->stopping = true;
    close_listeners();
    drop_all();
  }

  Status start() {
    POLYSOME_TRY(check_bind_host(hub_->config.host, hub_->config.has_tokens));
    POLYSOME_ASSIGN(api_, listen(hub_->config.port, false));
    if (hub_->config.dashboard_port > 0) {
      auto dashboard = listen(static_cast<std::uint16_t>(hub_->config.dashboard_port), true);
      if (dashboard)
        dashboard_ = std::move(*dashboard);
      else
        log::warning("no dashboard port: {}; {}", dashboard.error().message,
                     dashboard.error().hint);
    }
    accept_all();
    return {};
  }

  std::uint16_t port() const { return api_.empty() ? 0 : api_.front()->port(); }
  std::uint16_t dashboard_port() const {
    return dashboard_.empty() ? 0 : dashboard_.front()->port();
  }
  std::size_t connections() const { return hub_->open.size(); }

  void stop(std::function<void()> done) {
    if (hub_->stopping) return;
    hub_->stopping = true;
    done_ = std::move(done);
    close_listeners();
    const auto open = hub_->open;
    for (const auto& c : open) c->finish_up();
    grace_.expires_after(hub_->config.stop_grace);
    grace_.async_wait([this](const error_code& ec) {
      if (!ec) drop_all();
    });
    room();
  }

 private:
  // All addresses of the host on one port; for 0 one that is free on all of them.
  Result<Listeners> listen(std::uint16_t port, bool dashboard) {
    std::string host = hub_->config.host;
    if (host.starts_with('[')) host = host.substr(1, host.size() - 2);
    const bool both = same_name(host, "localhost");
    error_code ec;
    std::vector<boost::asio::ip::address> addresses;
    if (both)
      addresses = {boost::asio::ip::address_v4::loopback(),
                   boost::asio::ip::address_v6::loopback()};
    else
      addresses = {boost::asio::ip::make_address(host, ec)};
    if (ec) return fail(bind_error(ec, host, port, dashboard));
    for (int tries = 0;; ++tries) {
      Listeners out;
      std::uint16_t bound = port;
      for (const auto& address : addresses) {
        auto listener = std::make_shared<Listener>(loop_, hub_);
        ec = listener->bind(address, bound);
        if (both && address.is_v6() && no_such_address(ec)) {  // a machine without IPv6
          ec = {};
          continue;
        }
        if (ec) break;
        bound = listener->port();
        out.push_back(std::move(listener));
      }
      if (!ec) return out;
      for (const auto& l : out) l->close();
      if (port != 0 || tries >= kMostTriesForAFreePort)
        return fail(bind_error(ec, host, bound, dashboard));
    }
  }

  void accept_all() {
    for (const auto& l : api_) l->accept();
    for (const auto& l : dashboard_) l->accept();
  }
  void close_listeners() {
    for (const auto& l : api_) l->close();
    for (const auto& l : dashboard_) l->close();
  }
  void drop_all() {
    const auto open = hub_->open;
    for (const auto& c : open) c->drop();
  }
  void room() {
    if (!hub_->stopping) return accept_all();
    if (!hub_->open.empty()) return;
    grace_.cancel();
    if (done_) boost::asio::post(loop_, std::exchange(done_, nullptr));
  }

  boost::asio::io_context& loop_;
  boost::asio::steady_timer grace_;
  std::shared_ptr<ConnectionHub> hub_;
  Listeners api_, dashboard_;
  std::function<void()> done_;
};

Server::Server(boost::asio::io_context& loop, ServerConfig config, RequestHandler& handler)
    : impl_(std::make_unique<Impl>(loop, std::move(config), handler)) {}
Server::~Server() = default;
Status Server::start() { return impl_->start(); }
std::uint16_t Server::port() const { return impl_->port(); }
std::uint16_t Server::dashboard_port() const { return impl_->dashboard_port(); }
std::size_t Server::connections() const { return impl_->connections(); }
void Server::stop(std::function<void()> done) { impl_->stop(std::move(done)); }

}  // namespace polysome::api
