# Precompiled headers (GCC reads one a file): the plain one, with Asio for rooms that talk, with
# GoogleTest for tests. POLYSOME_PRECOMPILED=OFF compiles without, as a check that files include what
# they use.
option(POLYSOME_PRECOMPILED "Precompile the libraries' headers" ON)
function(polysome_prelude name)  # NAME header… LINK target…
  cmake_parse_arguments(PRELUDE "" "" "HEADERS;LINK" ${ARGN})
  if(NOT POLYSOME_PRECOMPILED)
    return()
  endif()
  file(WRITE ${CMAKE_BINARY_DIR}/prelude/${name}.cc.new "// Only carries a precompiled header.\n")
  file(COPY_FILE ${CMAKE_BINARY_DIR}/prelude/${name}.cc.new ${CMAKE_BINARY_DIR}/prelude/${name}.cc
       ONLY_IF_DIFFERENT)
  add_library(polysome_${name} OBJECT ${CMAKE_BINARY_DIR}/prelude/${name}.cc)
  target_link_libraries(polysome_${name} PRIVATE ${PRELUDE_LINK})
  target_include_directories(polysome_${name} PRIVATE ${CMAKE_SOURCE_DIR}/cmake)
  target_compile_definitions(polysome_${name} PRIVATE POLYSOME_VERSION="${PROJECT_VERSION}")
  target_precompile_headers(polysome_${name} PRIVATE ${PRELUDE_HEADERS})
  target_compile_options(polysome_${name} PRIVATE -fpch-preprocess)  # ccache asks for it
endfunction()
function(polysome_use_prelude target name)
  if(POLYSOME_PRECOMPILED)
    target_precompile_headers(${target} REUSE_FROM polysome_${name})
    target_compile_options(${target} PRIVATE -fpch-preprocess)
  endif()
endfunction()

# polysome_tests(NAME SOURCES file… LINK target…): a test program, built and run with unit_tests.
function(polysome_tests name)
  cmake_parse_arguments(TESTS "" "" "SOURCES;LINK" ${ARGN})
  add_executable(${name} EXCLUDE_FROM_ALL ${TESTS_SOURCES})
  target_link_libraries(${name} PRIVATE ${TESTS_LINK} GTest::gmock_main)
  # As position-independent as the precompiled header, which is made for a library.
  set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
  target_compile_options(${name} PRIVATE -fPIC)
  polysome_use_prelude(${name} test_prelude)
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST)
  set_property(GLOBAL APPEND PROPERTY POLYSOME_TESTS ${name})
  if(NOT TARGET unit_tests)
    add_custom_target(unit_tests)
  endif()
  add_dependencies(unit_tests ${name})
endfunction()

# polysome_room(NAME [ROOMS other…] [LINK target…] [PRELUDE name]): the library polysome_NAME from src/NAME/*.cc and,
# when there are any, the test program NAME_test from src/NAME/*_test.cc. MODULE file: it is no library to link but
# lib<file>.so, beside the programs, to be opened while they run.
function(polysome_room name)
  cmake_parse_arguments(ROOM "" "PRELUDE;MODULE" "ROOMS;LINK" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/*.cc)
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "(_test|/main)\\.cc$")
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  list(TRANSFORM ROOM_ROOMS PREPEND polysome_)
  if(ROOM_MODULE)
    add_library(${ROOM_MODULE} MODULE ${sources})
    polysome_use_prelude(${ROOM_MODULE} prelude)
    target_include_directories(${ROOM_MODULE} PRIVATE ${CMAKE_SOURCE_DIR}/src)
    target_link_libraries(${ROOM_MODULE} PRIVATE ${ROOM_ROOMS} ${ROOM_LINK})
    target_compile_definitions(${ROOM_MODULE} PRIVATE POLYSOME_VERSION="${PROJECT_VERSION}")
    set_target_properties(${ROOM_MODULE} PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
    return()
  endif()
  if(sources)
    add_library(polysome_${name} STATIC ${sources})
    set(scope PUBLIC)
    if(NOT ROOM_PRELUDE)
      set(ROOM_PRELUDE prelude)
    endif()
    polysome_use_prelude(polysome_${name} ${ROOM_PRELUDE})
  else()
    add_library(polysome_${name} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(polysome_${name} ${scope} ${CMAKE_SOURCE_DIR}/src)
  target_link_libraries(polysome_${name} ${scope} ${ROOM_ROOMS} ${ROOM_LINK})
  target_compile_definitions(polysome_${name} ${scope} POLYSOME_VERSION="${PROJECT_VERSION}")
  if(tests)
    polysome_tests(${name}_test SOURCES ${tests} LINK polysome_${name})
  endif()
endfunction()

# Programs lie at the top of the build folder, beside each other.
function(polysome_program name)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
endfunction()

# polysome_embed(NAME FILE): build/embedded/NAME.cc with `std::string_view polysome::embedded::NAME()`.
function(polysome_embed name file)
  add_custom_command(
    OUTPUT ${CMAKE_BINARY_DIR}/embedded/${name}.cc
    COMMAND ${CMAKE_COMMAND} -DNAME=${name} -DINPUT=${file}
            -DOUTPUT=${CMAKE_BINARY_DIR}/embedded/${name}.cc -P ${CMAKE_SOURCE_DIR}/cmake/embed.cmake
    DEPENDS ${file} ${CMAKE_SOURCE_DIR}/cmake/embed.cmake VERBATIM)
endfunction()
