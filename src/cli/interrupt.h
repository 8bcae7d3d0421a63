// Ctrl-C and SIGTERM as a flag, for commands that end in their own way: watching detaches, run
// cancels. Other commands keep the system's default and just end. Process-wide.
#pragma once

namespace polysome::cli {

// From now on SIGINT and SIGTERM only set the flag; system calls return EINTR.
void catch_interrupts();
// As above, and the process ends with `exit_code` if it is still there `seconds` after the signal.
void catch_interrupts_with_limit(unsigned seconds, int exit_code);
bool interrupted();

}  // namespace polysome::cli
