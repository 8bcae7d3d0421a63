// The table function ps_scan(handle): rows of text partitions as typed columns. Only the columns a
// query needs are parsed. Values that cannot be read are collected with file, line, column and
// value (at most 20) and fail the query at the end of the scan, or are counted as missing. The
// slot's thread.
#pragma once

#include "data/text_pieces.h"

namespace polysome {

// Makes ps_scan known in the session, once.
Status register_text_scan(Session& session);

}  // namespace polysome
