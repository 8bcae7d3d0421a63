// How the queue looks to people: one line, the users and their parts, the jobs that wait. For queue
// and top. Prints on stdout; main thread.
#pragma once

#include <string>
#include <vector>

#include "cli/output.h"

namespace polysome::cli {

// "12 pending, 3 running; paused: disk is being moved"
std::string queue_line(const Json& queue);
// Users with their part of the cluster, when there are several or one has a weight of its own.
void print_users(const Output& output, const Json& queue);
void print_queue(const Output& output, const Json& queue);
const std::vector<ListColumn>& queue_columns();
const std::vector<ListColumn>& user_columns();
// Rows of a list as a table's lines, for a picture that is drawn again.
std::vector<std::string> table_lines(const Json& items, const std::vector<ListColumn>& columns,
                                     const TableLayout& layout);

}  // namespace polysome::cli
