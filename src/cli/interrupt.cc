#include "cli/interrupt.h"

#include <unistd.h>

#include <csignal>

namespace polysome::cli {
namespace {

volatile std::sig_atomic_t flag = 0;
volatile std::sig_atomic_t limit_seconds = 0;
volatile std::sig_atomic_t limit_exit_code = 0;

void on_interrupt(int) {
  flag = 1;
  if (limit_seconds > 0) ::alarm(static_cast<unsigned>(limit_seconds));
}

void on_limit(int) { ::_exit(limit_exit_code); }

void install(int signal, void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  sigemptyset(&action.sa_mask);
  sigaction(signal, &action, nullptr);  // no SA_RESTART: waits end at once
}

}  // namespace

void catch_interrupts() {
  install(SIGINT, on_interrupt);
  install(SIGTERM, on_interrupt);
}

void catch_interrupts_with_limit(unsigned seconds, int exit_code) {
  limit_seconds = static_cast<int>(seconds);
  limit_exit_code = exit_code;
  install(SIGALRM, on_limit);
  catch_interrupts();
}

bool interrupted() { return flag != 0; }

}  // namespace polysome::cli
