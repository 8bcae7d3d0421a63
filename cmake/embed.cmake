# Writes OUTPUT: a C++ source that holds the bytes of INPUT as polysome::embedded::NAME().
file(READ ${INPUT} hex HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
file(WRITE ${OUTPUT}
"#include <string_view>
namespace polysome::embedded {
static const unsigned char k_${NAME}[] = {${bytes}0};
std::string_view ${NAME}() { return {reinterpret_cast<const char*>(k_${NAME}), sizeof k_${NAME} - 1}; }
}  // namespace polysome::embedded
")
