# Flags every target gets. Fixed vector widths and no contraction keep results the same bits on
# every CPU (architecture.md, decision 7).
# GCC 12 sees overlapping, overlong and out-of-bounds copies in std::string where there are none (PR105651).
add_compile_options(-Wall -Wextra -Wpedantic -Wno-restrict -Wno-stringop-overflow
                    -Wno-array-bounds -ffp-contract=off)
if(POLYSOME_WERROR)
  add_compile_options(-Werror)
endif()
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  add_compile_options(-O2 -g1)
endif()
if(POLYSOME_SANITIZE STREQUAL "address")
  # vptr, null, alignment and object-size cost most of the compile time in Asio and Beast.
  add_compile_options(-g1 -O1 -fsanitize=address,undefined -fno-sanitize=vptr,null,alignment,object-size
                      -fno-sanitize-recover=undefined -fno-omit-frame-pointer
                      -Wno-maybe-uninitialized)  # GCC 12 sees it in <regex> where there is none
  add_link_options(-fsanitize=address,undefined)
  add_compile_definitions(POLYSOME_SANITIZED=1)
elseif(POLYSOME_SANITIZE STREQUAL "thread")
  add_compile_options(-g1 -O1 -fsanitize=thread -Wno-tsan)
  add_link_options(-fsanitize=thread)
  add_compile_definitions(POLYSOME_SANITIZED=1)
endif()
add_compile_definitions(BOOST_ASIO_SEPARATE_COMPILATION BOOST_BEAST_SEPARATE_COMPILATION
                        BOOST_ASIO_NO_DEPRECATED _GNU_SOURCE=1)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
      CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${CCACHE})
endif()
