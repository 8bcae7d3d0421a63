#include "api/caller.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fmt/format.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pwd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstring>
#include <fstream>
#include <sstream>
#include <unordered_map>
#include <vector>

namespace polysome::api {
namespace {

// An address as the kernel's tables have it: four words, IPv4 in the first.
struct Address {
  int family = AF_INET;
  std::array<std::uint32_t, 4> words{};
};

std::optional<Address> parse_address(const std::string& text) {
  Address out;
  if (::inet_pton(AF_INET, text.c_str(), out.words.data()) == 1) return out;
  out.family = AF_INET6;
  if (::inet_pton(AF_INET6, text.c_str(), out.words.data()) != 1) return std::nullopt;
  if (out.words[0] == 0 && out.words[1] == 0 && out.words[2] == htonl(0xffff)) {
    out.family = AF_INET;
    out.words = {out.words[3], 0, 0, 0};
  }
  return out;
}

// A socket that is listening, over, or belongs to no process any more (inode 0, shown as root's)
// says nothing about who is calling.
bool says_owner(unsigned state, unsigned long inode) {
  return state != TCP_LISTEN && state != TCP_TIME_WAIT && state != TCP_CLOSE && inode != 0;
}

struct Fd {
  int fd;
  ~Fd() {
    if (fd >= 0) ::close(fd);
  }
};

// One exact look-up by the four ends. nullopt also when the kernel has no sock_diag.
std::optional<uid_t> ask_kernel(const Address& peer, std::uint16_t peer_port, const Address& local,
                                std::uint16_t local_port) {
  const Fd netlink{::socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG)};
  if (netlink.fd < 0) return std::nullopt;
  struct {
    nlmsghdr header;
    inet_diag_req_v2 request;
  } ask{};
  ask.header.nlmsg_len = sizeof(ask);
  ask.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  ask.header.nlmsg_flags = NLM_F_REQUEST;
  ask.request.sdiag_family = static_cast<__u8>(peer.family);
  ask.request.sdiag_protocol = IPPROTO_TCP;
  ask.request.idiag_states = ~0U;
  ask.request.id.idiag_sport = htons(peer_port);
  ask.request.id.idiag_dport = htons(local_port);
  std::memcpy(ask.request.id.idiag_src, peer.words.data(), sizeof(peer.words));
  std::memcpy(ask.request.id.idiag_dst, local.words.data(), sizeof(local.words));
  ask.request.id.idiag_cookie[0] = INET_DIAG_NOCOOKIE;
  ask.request.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  if (::sendto(netlink.fd, &ask, sizeof(ask), 0, reinterpret_cast<sockaddr*>(&kernel),
               sizeof(kernel)) < 0)
    return std::nullopt;
  alignas(nlmsghdr) std::array<char, 8192> answer{};
  // The kernel answers an exact question before sendto returns.
  const ssize_t n = ::recv(netlink.fd, answer.data(), answer.size(), MSG_DONTWAIT);
  const auto* header = reinterpret_cast<const nlmsghdr*>(answer.data());
  if (n < 0 || !NLMSG_OK(header, static_cast<std::size_t>(n)) ||
      header->nlmsg_type != SOCK_DIAG_BY_FAMILY ||
      header->nlmsg_len < NLMSG_LENGTH(sizeof(inet_diag_msg)))
    return std::nullopt;
  const auto* found = static_cast<const inet_diag_msg*>(NLMSG_DATA(header));
  if (found->id.idiag_dport != htons(local_port) ||
      !says_owner(found->idiag_state, found->idiag_inode))
    return std::nullopt;
  return found->idiag_uid;
}

// One line of /proc/net/tcp{,6}.
struct Line {
  std::string local, remote;  // "0100007F:1F41"
  unsigned state = 0;
  uid_t uid = 0;
  unsigned long inode = 0;
};

template <class F>
void each_line(const char* path, F f) {
  std::ifstream in(path);
  std::string text;
  std::getline(in, text);
  while (std::getline(in, text)) {
    std::istringstream fields(text);
    std::string slot, state, queues, timer, retransmits, timeout;
    Line line;
    if (!(fields >> slot >> line.local >> line.remote >> state >> queues >> timer >> retransmits >>
          line.uid >> timeout >> line.inode))
      continue;
    std::from_chars(state.data(), state.data() + state.size(), line.state, 16);
    if (f(line)) return;
  }
}

std::string in_table(const Address& a, std::uint16_t port, bool mapped) {
  if (a.family == AF_INET6)
    return fmt::format("{:08X}{:08X}{:08X}{:08X}:{:04X}", a.words[0], a.words[1], a.words[2],
                       a.words[3], port);
  if (mapped)
    return fmt::format("0000000000000000{:08X}{:08X}:{:04X}", htonl(0xffff), a.words[0], port);
  return fmt::format("{:08X}:{:04X}", a.words[0], port);
}

std::optional<uid_t> search_proc(const Address& peer, std::uint16_t peer_port, const Address& local,
                                 std::uint16_t local_port) {
  std::optional<uid_t> out;
  // A client may reach an IPv4 address through an IPv6 socket, so such a peer can be in either
  // table.
  for (const bool v6 : {false, true}) {
    if (out || (peer.family == AF_INET6 && !v6)) continue;
    const std::string from = in_table(peer, peer_port, v6), to = in_table(local, local_port, v6);
    each_line(v6 ? "/proc/net/tcp6" : "/proc/net/tcp", [&](const Line& line) {
      if (line.local != from || line.remote != to || !says_owner(line.state, line.inode))
        return false;
      out = line.uid;
      return true;
    });
  }
  return out;
}

// The process of ours or readable to us that has the socket open.
std::string process_with(unsigned long inode) {
  const std::string wanted = fmt::format("socket:[{}]", inode);
  DIR* processes = ::opendir("/proc");
  if (processes == nullptr) return {};
  std::string out;
  while (const dirent* process = ::readdir(processes)) {
    const std::string pid = process->d_name;
    if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
    DIR* files = ::opendir(("/proc/" + pid + "/fd").c_str());
    if (files == nullptr) continue;
    while (const dirent* file = ::readdir(files)) {
      std::array<char, 64> target{};
      const std::string path = "/proc/" + pid + "/fd/" + file->d_name;
      const ssize_t n = ::readlink(path.c_str(), target.data(), target.size());
      if (n < 0 || std::string_view(target.data(), static_cast<std::size_t>(n)) != wanted) continue;
      std::string name;
      std::ifstream comm("/proc/" + pid + "/comm");
      std::getline(comm, name);
      out = fmt::format("{} (pid {})", name.empty() ? "a process" : name, pid);
      break;
    }
    ::closedir(files);
    if (!out.empty()) break;
  }
  ::closedir(processes);
  return out;
}

}  // namespace

std::optional<uid_t> socket_owner(const Endpoint& peer, const Endpoint& local) {
  const auto from = parse_address(peer.address), to = parse_address(local.address);
  if (!from || !to || from->family != to->family) return std::nullopt;
  if (const auto uid = ask_kernel(*from, peer.port, *to, local.port)) return uid;
  return search_proc(*from, peer.port, *to, local.port);
}

std::optional<uid_t> socket_owner_from_proc(const Endpoint& peer, const Endpoint& local) {
  const auto from = parse_address(peer.address), to = parse_address(local.address);
  if (!from || !to || from->family != to->family) return std::nullopt;
  return search_proc(*from, peer.port, *to, local.port);
}

bool owners_can_be_told() {
  const Fd listener{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  const Fd client{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  sockaddr_in end{};
  end.sin_family = AF_INET;
  end.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(end);
  auto* address = reinterpret_cast<sockaddr*>(&end);
  if (::bind(listener.fd, address, size) != 0 || ::listen(listener.fd, 1) != 0 ||
      ::getsockname(listener.fd, address, &size) != 0 || ::connect(client.fd, address, size) != 0)
    return false;
  const std::uint16_t port = ntohs(end.sin_port);
  if (::getsockname(client.fd, address, &size) != 0) return false;
  return socket_owner({"127.0.0.1", ntohs(end.sin_port), true}, {"127.0.0.1", port, true}) ==
         ::geteuid();
}

std::string login_name(uid_t uid) {
  // Account databases can be slow (LDAP): each is asked once.
  static std::unordered_map<uid_t, std::string> known;
  if (const auto it = known.find(uid); it != known.end()) return it->second;
  std::vector<char> buffer(16384);
  passwd entry{};
  passwd* found = nullptr;
  const bool there =
      ::getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr;
  return known[uid] = there ? std::string(entry.pw_name) : std::to_string(uid);
}

std::string port_holder(std::uint16_t port) {
  const std::string ending = fmt::format(":{:04X}", port);
  std::string out;
  for (const char* table : {"/proc/net/tcp", "/proc/net/tcp6"})
    each_line(table, [&](const Line& line) {
      if (line.state != TCP_LISTEN || !line.local.ends_with(ending)) return false;
      out = process_with(line.inode);
      if (out.empty()) out = fmt::format("a process of user {}", login_name(line.uid));
      return true;
    });
  return out;
}

}  // namespace polysome::api
