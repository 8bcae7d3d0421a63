// Which login is at the other end of a loopback connection, from the kernel's socket tables; and
// who holds a port that we can't have. Loop thread; answers in microseconds where the kernel has
// sock_diag, else reads /proc/net.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "api/http_message.h"

namespace polysome::api {

// The owner of the peer's end of the connection peer → local. Unknown: the connection is over, or
// the kernel does not tell.
std::optional<uid_t> socket_owner(const Endpoint& peer, const Endpoint& local);
// Whether this system tells the owner of a connection, tried on one of our own. Blocks for a
// moment; at start.
bool owners_can_be_told();
// The same from /proc/net/tcp and tcp6 alone.
std::optional<uid_t> socket_owner_from_proc(const Endpoint& peer, const Endpoint& local);
// The account's name, or its number as text when it has none.
std::string login_name(uid_t uid);
// "polysome (pid 812)", "a process of user root", or "" when it can't be told.
std::string port_holder(std::uint16_t port);

}  // namespace polysome::api
