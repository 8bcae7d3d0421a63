// Which attempt or request a frame is about, found without reading its JSON: routing and cancelling
// happen for every frame and must cost nothing. Relies on the order in which our own writers put
// the members: an id comes first or right after short ones.
#pragma once

#include <string_view>

namespace polysome {

// "3-17" of {"attempt":"3-17",…} and of a TaskSpec, "12" of {"id":12,…}; empty when there is none.
std::string_view frame_key(std::string_view payload);

}  // namespace polysome
